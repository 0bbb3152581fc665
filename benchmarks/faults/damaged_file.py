"""An outbox file that is cut at any byte, or holds noise, is found at the start."""

import random
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Plan, alert, is_delivered, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox

ALERTS = 60
KINDS = {
    "cut": "outbox file cut at any byte",
    "noise": "noise in the outbox file",
    "log": "outbox file and its log of a killed process, either damaged",
}
_TOPIC = "tremorscope/cam/alerts"
_PAGE = 4096
_NOISE_BYTES = (1, 16, 512, 4096, 20_000)


def rows(plan: Plan) -> Iterator[Row]:
    for kind, title in KINDS.items():
        row = Row(title, "what is whole in it arrives, the rest is kept aside and told")
        plan.run(row, partial(trial, kind), at_once=6)
        whole = row.stored / row.created if row.created else 0
        row.notes.append(
            f"{row.stored} of {row.created} alerts ({whole:.0%}) were still whole in the damaged files"
        )
        yield row


def trial(kind: str, chance: random.Random, folder: Path) -> Trial:
    """Promised are alerts whose bytes are whole, on a page whose bytes are whole."""
    path = folder / "outbox.sqlite"
    names = [f"{number}" for number in range(ALERTS)]
    files = _outbox(path, names, killed=kind == "log")
    harmed = chance.choice(sorted(files))
    content = bytearray(files[harmed])
    begin, length = chance.randrange(len(content)), len(content)
    if kind == "cut" or (kind == "log" and chance.random() < 0.5):
        del content[begin:]
    else:
        length = chance.choice(_NOISE_BYTES)
        content[begin : begin + length] = chance.randbytes(len(content[begin : begin + length]))
    for name, sound in files.items():
        (folder / name).write_bytes(content if name == harmed else sound)
    with Broker(folder / "broker") as broker, Consumer(broker) as consumer:
        complaints = []
        since = time.monotonic()
        box = Outbox(path)
        found = {row.payload: row for row in box.pending(1000)}
        whole = [name for name in names if _payload(name) in found]
        if box.problem is not None:
            complaints.append("the outbox is not usable")
        aside = list(folder.glob("outbox.sqlite.damaged-*"))
        with publishing(broker, box) as one:
            one.publish_alert(alert("new"))
            if not wait_until(lambda: one.counts().connected and is_delivered(one), 20):
                complaints.append("not delivered within 20 s")
            recovery_s = time.monotonic() - since
            consumer.wait_for({*whole, "new"})
            acknowledged, parked = one.counts().acknowledged, one.counts().parked
        # A cut log is what any process leaves that is killed while it writes: SQLite takes its whole part.
        is_plain = harmed.endswith(("-wal", "-shm"))
        if len(whole) < ALERTS and not (aside or parked or is_plain):
            complaints.append("a loss was not kept aside")
        if kind != "log" and len(whole) < _legible(bytes(content), files[harmed], names):
            complaints.append("an alert on a whole page was not read")
        return Trial(
            [*names, "new"],
            [*whole, "new"],
            consumer.event_ids(),
            acknowledged,
            recovery_s,
            tuple(complaints),
        )


def _payload(name: str) -> bytes:
    return alert(name).model_dump_json().encode()


def _outbox(path: Path, names: list[str], *, killed: bool) -> dict[str, bytes]:
    """The files of an outbox with these alerts, as a process leaves them that was closed, or killed."""
    with closing(Outbox(path)) as box:
        for name in names[: len(names) // 2]:
            box.put(_TOPIC, _payload(name))
    box = Outbox(path)
    for name in names[len(names) // 2 :]:
        box.put(_TOPIC, _payload(name))
    if not killed:
        box.close()
    files = {one.name: one.read_bytes() for one in path.parent.glob("outbox.sqlite*")}
    if killed:
        box.close()
    for one in path.parent.glob("outbox.sqlite*"):
        one.unlink()
    return files


def _legible(content: bytes, before: bytes, names: list[str]) -> int:
    """At least so many must be read while schema and root are whole.

    SQLite leaves a second copy of a message where it has split a page; so one less for each damaged page.
    """
    if content[: 2 * _PAGE] != before[: 2 * _PAGE]:
        return 0
    pages = {place: before[place : place + _PAGE] for place in range(0, len(before), _PAGE)}
    whole = [page for place, page in pages.items() if content[place : place + _PAGE] == page]
    found = sum(any(_payload(name) in page for page in whole) for name in names)
    return found - (len(pages) - len(whole))
