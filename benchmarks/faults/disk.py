"""The disk is full, or has become read-only: alerts stay in memory, it is told, and all goes on after."""

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Impossible, Plan, alert, is_delivered, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox

MOST_UNSAVED = 40
"""1000 in the daemon; a trial stays below it, or is a trial of what happens beyond."""

Fault = Callable[[Path], None]


def rows(plan: Plan) -> Iterator[Row]:
    for title, make, harm, mend in (
        ("disk full", _small, _fill, _empty),
        ("file system becomes read-only (ext4, after an error)", _ext4, _break, _repair),
    ):
        yield plan.run(Row(title), partial(trial, make, harm, mend))
    title = "daemon starts on a read-only file system"
    yield plan.run(Row(title), partial(trial, _small, _forbid, _allow, harmed_first=True))
    row = Row("disk full for longer than memory has room", "the newest of the bound kept, counted")
    yield plan.run(row, beyond_the_bound)


def trial(
    make: Callable[[Path], None],
    harm: Fault,
    mend: Fault,
    chance: random.Random,
    folder: Path,
    *,
    harmed_first: bool = False,
) -> Trial:
    """In half of the trials there is no broker either while the disk takes nothing."""
    with Broker(folder / "broker") as broker, Consumer(broker) as consumer:
        broker_is_down = chance.random() < 0.5
        complaints: list[str] = []
        names = [f"{number}" for number in range(chance.randint(15, MOST_UNSAVED))]
        begin = 0 if harmed_first else chance.randrange(10)
        with _mounted(folder / "disk", make) as disk:
            if harmed_first:
                harm(disk)
            with publishing(
                broker, Outbox(disk / "outbox.sqlite", most_unsaved=MOST_UNSAVED)
            ) as one:
                wait_until(lambda: one.counts().connected)
                for number, name in enumerate(names):
                    if number == begin:
                        if broker_is_down:
                            broker.stop()
                            wait_until(lambda: not one.counts().connected)
                        if not harmed_first:
                            harm(disk)
                    one.publish_alert(alert(name))
                if not wait_until(lambda: one.outbox_problem is not None, 5):
                    complaints.append("not told")
                mend(disk)
                since = time.monotonic()
                if broker_is_down:
                    broker.start()
                if not wait_until(
                    lambda: (
                        one.outbox_problem is None and one.counts().connected and is_delivered(one)
                    )
                ):
                    complaints.append("does not resume within 30 s")
                recovery_s = time.monotonic() - since
                if one.counts().dropped_alerts:
                    complaints.append("dropped below the bound")
                consumer.wait_for(set(names))
                acknowledged = one.counts().acknowledged
                return Trial(
                    names, names, consumer.event_ids(), acknowledged, recovery_s, tuple(complaints)
                )


def beyond_the_bound(chance: random.Random, folder: Path) -> Trial:
    """Neither disk nor broker, and more alerts than memory may take: the oldest go, and are counted."""
    names = [f"{number}" for number in range(MOST_UNSAVED + chance.randint(1, 60))]
    complaints = []
    with _mounted(folder / "disk", _small) as disk:
        box = Outbox(disk / "outbox.sqlite", most_unsaved=MOST_UNSAVED)
        _fill(disk)
        for name in names:
            box.put("alerts", name.encode())
        counts = box.counts()
        if counts.unsaved > MOST_UNSAVED:
            complaints.append("more in memory than may be")
        if counts.pending + counts.dropped_alerts != len(names):
            complaints.append("a loss was not counted")
        _empty(disk)
        wait_until(lambda: _saved(box), 10)
        kept = [row.payload.decode() for row in box.pending(1000)]
        box.close()
        if set(kept) < set(names[-MOST_UNSAVED:]):
            complaints.append("not the newest were kept")
    return Trial(names, kept, kept, complaints=tuple(complaints))


def _saved(box: Outbox) -> bool:
    box.save()
    return box.problem is None


@contextmanager
def _mounted(where: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    where.mkdir()
    try:
        make(where)
        yield where
    finally:
        while (
            subprocess.run(["umount", "-l", where], capture_output=True, check=False).returncode
            == 0
        ):
            pass


def _run(*command: object) -> None:
    try:
        subprocess.run([str(one) for one in command], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise Impossible(f"{error.filename} is missing") from None
    except subprocess.CalledProcessError as error:
        raise Impossible(
            f"file systems need root and CAP_SYS_ADMIN ({error.stderr.strip()})"
        ) from None


def _small(where: Path) -> None:
    _run("mount", "-t", "tmpfs", "-o", "size=512k", "none", where)


def _fill(where: Path) -> None:
    with (where / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        for size in (4096, 1):
            with suppress(OSError):
                while True:
                    filler.write(b"x" * size)


def _empty(where: Path) -> None:
    (where / "filler").unlink()


def _forbid(where: Path) -> None:
    _run("mount", "-o", "remount,ro", where)


def _allow(where: Path) -> None:
    _run("mount", "-o", "remount,rw", where)


def _image(where: Path) -> Path:
    return where.with_name("image")


def _ext4(where: Path) -> None:
    image = _image(where)
    with image.open("wb") as file:
        file.truncate(8 << 20)
    _run("mkfs.ext4", "-q", "-F", image)
    _run("mount", "-o", "loop,errors=remount-ro", image, where)


def _break(where: Path) -> None:
    """The kernel meets an error in the file system, and forbids all writing, to open files too."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    (device,) = [each[0] for each in mounts if each[1] == str(where)]
    try:
        Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("campaign\n")
    except OSError as error:
        raise Impossible(f"ext4 takes no order to fail here ({error})") from None


def _repair(where: Path) -> None:
    """The disk is repaired and mounted again, under the daemon that still has the old one open."""
    image = _image(where)
    repaired = image.with_name("repaired")
    shutil.copy(image, repaired)
    subprocess.run(["e2fsck", "-f", "-y", str(repaired)], capture_output=True, check=False)
    _run("mount", "-o", "loop", repaired, where)
