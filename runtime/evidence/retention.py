"""What is deleted, and when: by age, by size, and before the disk is full.

Deleted are whole events, the oldest first, and never one whose alert is open or whose evidence is being
written.
"""

import logging
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from failure import Failure
from runtime.config.evidence import Evidence
from runtime.evidence.folder import DISK_ERRORS, EventFolder, folders

_log = logging.getLogger(__name__)

LEFT_FREE_BYTES, LEFT_FREE_SHARE = 512_000_000, 0.1
"""Left on the disk for alerts that wait for the broker: the smaller of both."""


@dataclass(frozen=True, slots=True)
class _Weighed:
    folder: EventFolder
    written_s: float
    bytes: float


def tidy(
    root: Path, settings: Evidence, *, is_open: Collection[str] = (), written: Collection[str] = ()
) -> int:
    """Finish what killed processes left, delete what is too old or too much; how many events went.

    ``is_open``: events that have not ended; ``written``: those that are being written now.
    Raises OSError or another of DISK_ERRORS when the disk refuses.
    """
    found = []
    problem: Exception | None = None
    for folder in folders(root):
        if folder.event_id not in written:
            try:
                folder.finish_leftovers()
            except DISK_ERRORS as error:  # room may yet be made below
                problem = error
        if folder.path.exists():
            found.append(_weighed(folder))
    found.sort(key=lambda one: one.written_s)
    oldest_s = time.time() - 86400 * settings.keep_days
    total = sum(one.bytes for one in found)
    gone = 0
    for one in found:
        too_much = total > 1e9 * settings.keep_gb or lacks_room(root)
        if one.folder.event_id in is_open or one.folder.event_id in written:
            continue
        if one.written_s >= oldest_s and not too_much:
            continue
        shutil.rmtree(one.folder.path)
        total -= one.bytes
        gone += 1
    if gone:
        _log.info("%s: the oldest %d events were deleted, as evidence.keep_... says", root, gone)
    if problem is not None:
        raise problem
    return gone


def check_room(root: Path) -> None:
    """Raises Failure where evidence would take what is left free for alerts."""
    if lacks_room(root):
        total, _, free = shutil.disk_usage(root)
        raise Failure(
            f"{root}: {max(free, 0) / 1e6:.0f} of {total / 1e6:.0f} MB are free, and those are left to alerts "
            "that wait for the broker; free some space, or set evidence.folder"
        )


def lacks_room(root: Path) -> bool:
    """Whether less is free than is left to alerts."""
    usage = shutil.disk_usage(root)
    return usage.free < min(LEFT_FREE_BYTES, LEFT_FREE_SHARE * usage.total)


def _weighed(folder: EventFolder) -> _Weighed:
    """A clip that several folders share is counted once, a part in each."""
    stats = [file.stat() for file in folder.path.iterdir()]
    newest_s = max((one.st_mtime for one in stats), default=folder.path.stat().st_mtime)
    return _Weighed(folder, newest_s, sum(one.st_size / one.st_nlink for one in stats))
