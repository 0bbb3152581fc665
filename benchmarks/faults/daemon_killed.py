"""The daemon's process is killed at every step that an alert takes through the outbox."""

import multiprocessing
import random
import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import connection
from pathlib import Path

from benchmarks.faults import dying_publisher
from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Plan, alert, is_delivered, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.dying_publisher import NOT_REACHED, POINTS, REFUSED_POINTS, SALVAGE_POINTS
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox
from runtime.messages import AlertMessage

_asking = threading.Lock()
"""Starting a process asks how all others are; two threads that ask at once are told different ends."""
_PAGE = 4096
_OLD = 60


def rows(plan: Plan) -> Iterator[Row]:
    """A row for each point; together they have four times the trials of another fault."""
    context = multiprocessing.get_context("forkserver")  # a child costs little, and has no threads
    context.set_forkserver_preload(["benchmarks.faults.dying_publisher"])
    for points, work in ((POINTS, _plain), (REFUSED_POINTS, _refused), (SALVAGE_POINTS, _salvage)):
        for point in points:
            row = Row(f"daemon SIGKILL: {point}")
            trials = max(2, plan.trials // 5)
            yield plan.run(row, partial(work, context, point), at_once=6, trials=trials)


def _plain(
    context: multiprocessing.context.ForkServerContext,
    point: str,
    chance: random.Random,
    folder: Path,
) -> Trial:
    most = 3 if "deletion" in point or "DELETE" in point else 8  # one may be of several alerts
    return _trial(context, point, chance.randint(1, most), folder)


def _refused(
    context: multiprocessing.context.ForkServerContext,
    point: str,
    chance: random.Random,
    folder: Path,
) -> Trial:
    """The broker refuses alerts until after the death."""
    rules = folder / "rules"
    rules.write_text("topic readwrite tremorscope/cam/state\ntopic read tremorscope/#\n")
    rules.chmod(0o600)
    return _trial(context, point, chance.randint(1, 3), folder, rules=rules)


def _salvage(
    context: multiprocessing.context.ForkServerContext,
    point: str,
    chance: random.Random,
    folder: Path,
) -> Trial:
    """The outbox that the process begins with is damaged; what an undisturbed one saves is expected."""
    path, copy = folder / "outbox.sqlite", folder / "copy" / "outbox.sqlite"
    box = Outbox(path)
    for number in range(_OLD):
        box.put("tremorscope/cam/alerts", alert(f"old-{number}").model_dump_json().encode())
    box.close()
    content = bytearray(path.read_bytes())
    begin = chance.randrange(5, len(content) // _PAGE - 1) * _PAGE
    content[begin : begin + _PAGE] = chance.randbytes(_PAGE)
    path.write_bytes(content)
    copy.parent.mkdir()
    shutil.copy(path, copy)
    undisturbed = Outbox(copy)
    old = [
        AlertMessage.model_validate_json(row.payload).event_id for row in undisturbed.pending(1000)
    ]
    undisturbed.close()
    most = {"a row read out": 40, "SALVAGE not committed": 40, "a file moved": 2}.get(point, 1)
    return _trial(context, point, chance.randint(1, most), folder, old=old)


def _trial(
    context: multiprocessing.context.ForkServerContext,
    point: str,
    number: int,
    folder: Path,
    *,
    rules: Path | None = None,
    old: list[str] | None = None,
) -> Trial:
    access = ["allow_anonymous true", *([] if rules is None else [f"acl_file {rules}"])]
    with Broker(folder / "broker", access=access) as broker, Consumer(broker) as consumer:
        complaints = []
        child = context.Process(
            target=dying_publisher.publish, args=(folder, broker.host, broker.port, point, number)
        )
        with _asking:
            child.start()
        connection.wait([child.sentinel], 20)
        with _asking:
            child.join(0)
        if child.exitcode == NOT_REACHED:
            complaints.append("the point was not reached")
        elif child.exitcode != -9:
            complaints.append(f"the process ended otherwise: {child.exitcode}")
        if rules is not None:
            rules.write_text("topic readwrite #\n")
            broker.reload()
        since = time.monotonic()
        outbox = Outbox(folder / "outbox.sqlite")
        with publishing(broker, outbox, keep_accepted_s=0.1) as one:
            created = [*(old or ()), *_names(folder / "created")]
            stored = [*(old or ()), *_names(folder / "stored")]
            if not wait_until(lambda: one.counts().connected and is_delivered(one)):
                complaints.append("not delivered within 30 s")
            recovery_s = time.monotonic() - since
            consumer.wait_for(set(stored))
            if one.counts().parked:
                complaints.append("something is still parked")
            return Trial(
                created,
                stored,
                consumer.event_ids(),
                one.counts().acknowledged,
                recovery_s,
                tuple(complaints),
            )


def _names(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
