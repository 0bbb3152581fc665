"""Alerts as the page lists them: the open ones, those that ended, and those that are on the disk."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from runtime.alerts.told import Told
from runtime.evidence.folder import CLIP, DISK_ERRORS, JSON, SAMPLES, SNAPSHOT, EventFolder, folders
from runtime.messages import AlertMessage

MOST_LISTED = 50
KEPT_FILES = (SNAPSHOT, CLIP, SAMPLES, JSON)


class Listed(BaseModel):
    """One alert; ``message`` is the newest that was told of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message: AlertMessage
    is_open: bool
    started_utc_s: float | None
    """Unix time, where the clock of the machine says it."""
    files: tuple[str, ...]
    """Of KEPT_FILES, those that can be had now."""


class AlertList:
    """For any thread. What was read of a folder is remembered until its ``event.json`` changes."""

    def __init__(self, told: Told, root: Path | None) -> None:
        """``root`` is the camera's folder of evidence; None where none is kept."""
        self._told, self._root = told, root
        self._read: OrderedDict[Path, tuple[int, AlertMessage | None]] = OrderedDict()

    def listed(self) -> list[Listed]:
        """Open ones first, newest first; at most MOST_LISTED that are not open."""
        open_ = {one.event_id: one for one in self._told.open_alerts()}
        ended = {one.event_id: one for one in self._told.ended_alerts()}
        on_disk = {one.event_id: one for one in self._on_disk() if one.event_id not in open_}
        past = sorted((on_disk | ended).values(), key=lambda one: one.time_utc, reverse=True)
        # By their begin: a list that changes its order under a finger is pressed at the wrong place.
        now = sorted(open_.values(), key=lambda one: one.started_t_s, reverse=True)
        return [
            *(self._listed(one, is_open=True) for one in now),
            *(self._listed(one, is_open=False) for one in past[:MOST_LISTED]),
        ]

    def file(self, event_id: str, name: str) -> Path | None:
        """A file of an event's evidence; None for whatever is no such file, a link included."""
        if self._root is None or name not in KEPT_FILES:
            return None
        folder = self._root / event_id
        if folder.parent != self._root or folder not in self._folders():
            return None
        path = folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def _folders(self) -> list[Path]:
        try:
            return [] if self._root is None else [one.path for one in folders(self._root)]
        except OSError:
            return []

    def _listed(self, message: AlertMessage, *, is_open: bool) -> Listed:
        files: Iterable[str] = ()
        if self._root is not None:
            folder = self._root / message.event_id
            files = (name for name in KEPT_FILES if (folder / name).is_file())
        return Listed(
            message=message,
            is_open=is_open,
            started_utc_s=_started(message),
            files=tuple(files),
        )

    def _on_disk(self) -> list[AlertMessage]:
        """The last message of the newest events that are kept."""
        dated: list[tuple[int, Path]] = []
        for path in self._folders():
            try:
                dated.append(((path / JSON).stat().st_mtime_ns, path))
            except OSError:
                continue
        newest = sorted(dated, reverse=True)[:MOST_LISTED]
        found = []
        for written_ns, path in newest:
            known = self._read.get(path)
            if known is None or known[0] != written_ns:
                self._read[path] = known = (written_ns, _last_message(path))
                while len(self._read) > 2 * MOST_LISTED:
                    self._read.popitem(last=False)
            if known[1] is not None:
                found.append(known[1])
        return found


def _last_message(path: Path) -> AlertMessage | None:
    try:
        file = EventFolder(path).read()
    except DISK_ERRORS:
        return None
    return file.messages[-1] if file is not None and file.messages else None


def _started(message: AlertMessage) -> float | None:
    try:
        told = datetime.fromisoformat(message.time_utc.replace("Z", "+00:00"))
    except ValueError:
        return None
    return told.timestamp() - (message.t_s - message.started_t_s)
