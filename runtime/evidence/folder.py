"""The folder of one event: its pieces, each complete under its name or recognised as unfinished.

``event.json`` and ``snapshot.jpg`` are replaced whole (``atomic_file.py``). Clip and samples grow in
``clip.unfinished.mp4`` and ``samples.unfinished.csv``, and get their names when they are complete; what a
killed process leaves under such a name is finished by ``finish_leftovers``.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import av
import cv2
from pydantic import BaseModel, ConfigDict, ValidationError

from atomic_file import replaced
from failure import Failure
from runtime.clips import Picture, rewritten_clip
from runtime.evidence import samples
from runtime.messages import AlertMessage

_log = logging.getLogger(__name__)

JSON, SNAPSHOT, CLIP, SAMPLES = "event.json", "snapshot.jpg", "clip.mp4", "samples.csv"
UNFINISHED_CLIP, UNFINISHED_SAMPLES = "clip.unfinished.mp4", "samples.unfinished.csv"
EVENT_ID = re.compile(r"[0-9a-f]{32}")
MOST_MESSAGES = 200
CUT_SHORT = "the daemon ended while this was recorded; what there was until then is kept"

DISK_ERRORS = (Failure, OSError, av.FFmpegError)
"""What a disk that refuses raises here: through Python, and through FFmpeg, which has its own."""


class ClipFacts(BaseModel):
    """The clip's second 0 is ``begins_t_s`` of the camera's clock."""

    model_config = ConfigDict(extra="forbid")

    begins_t_s: float
    begins_utc: str | None
    ends_t_s: float
    pictures: int
    missed_pictures: int
    """Taken, but not kept in time: the machine was too busy."""
    shared_by: tuple[str, ...]
    """Events that overlap have one clip together."""


class EventFile(BaseModel):
    """``event.json``: what was told of the event, what is kept of it, and what produced it."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["tremorscope event 1"] = "tremorscope event 1"
    event_id: str
    camera: str
    version: str
    recording: bool = False
    """Whether clip and samples are still being written."""
    clip_in: str | None = None
    """Of events with one clip, the folder that it is written in."""
    messages: tuple[AlertMessage, ...] = ()
    messages_left_out: int = 0
    """Of very many, those after the first half of MOST_MESSAGES and before the newest half."""
    clip: ClipFacts | None = None
    samples: int | None = None
    """Frames in samples.csv."""
    notes: tuple[str, ...] = ()
    """What is not as it should be with this evidence."""
    settings: dict[str, Any]

    @property
    def has_ended(self) -> bool:
        return bool(self.messages) and self.messages[-1].type == "end"

    def add(self, message: AlertMessage) -> None:
        """Take a message in, once."""
        key = (message.type, message.sequence)
        if any((one.type, one.sequence) == key for one in self.messages):
            return
        kept = (*self.messages, message)
        if len(kept) > MOST_MESSAGES:
            kept = (*kept[: MOST_MESSAGES // 2], *kept[MOST_MESSAGES // 2 + 1 :])
            self.messages_left_out += 1
        self.messages = kept

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes = (*self.notes, sentence)


class EventFolder:
    """One event's folder. Every method raises one of DISK_ERRORS when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def event_id(self) -> str:
        return self.path.name

    def read(self) -> EventFile | None:
        """What is written of the event; None where that is missing or cannot be understood."""
        try:
            return EventFile.model_validate_json((self.path / JSON).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, file: EventFile) -> None:
        with replaced(self.path / JSON) as scratch:
            scratch.write_text(file.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def write_snapshot(self, picture: Picture) -> None:
        with replaced(self.path / SNAPSHOT) as scratch:
            if not cv2.imwrite(str(scratch), picture, [cv2.IMWRITE_JPEG_QUALITY, 90]):
                raise Failure(f"{self.path / SNAPSHOT}: cannot be written; free some space")

    def finish_clip(self) -> None:
        """Give the clip its name; it can be sought in from then on."""
        unfinished = self.path / UNFINISHED_CLIP
        rewritten_clip(unfinished, self.path / CLIP)
        unfinished.unlink()

    def share_clip(self, other: "EventFolder") -> None:
        """Give another event the same clip; on most file systems it takes no further room."""
        source, target = self.path / CLIP, other.path / CLIP
        with replaced(target) as scratch:
            try:
                scratch.hardlink_to(source)
            except OSError:  # a file system without links, such as an SD card's FAT
                scratch.write_bytes(source.read_bytes())

    def finish_samples(self) -> None:
        (self.path / UNFINISHED_SAMPLES).replace(self.path / SAMPLES)

    def drop_unfinished(self) -> None:
        """Remove what will not be finished, so that its room is free again."""
        for name in (UNFINISHED_CLIP, UNFINISHED_SAMPLES):
            with suppress(OSError):
                (self.path / name).unlink()

    def finish_leftovers(self) -> None:
        """Finish or remove what a process left that was killed here."""
        for scratch in self.path.glob(".*"):  # of files that were about to be replaced
            scratch.unlink()
        if not any(self.path.iterdir()):
            self.path.rmdir()
            return
        file = self.read()
        clip, table = self.path / UNFINISHED_CLIP, self.path / UNFINISHED_SAMPLES
        left = clip.exists() or table.exists() or (file is not None and file.recording)
        if not left:
            return
        if table.exists():
            if samples.mended(table):
                self.finish_samples()
            else:
                table.unlink()
        if clip.exists():
            try:
                self.finish_clip()
            except Failure as failure:
                _log.warning("%s", failure)  # it held no picture yet
                clip.unlink()
        if file is None:
            return
        owner = EventFolder(self.path.parent / file.clip_in) if file.clip_in else self
        if owner.path != self.path and not (self.path / CLIP).exists():
            if (owner.path / UNFINISHED_CLIP).exists():
                owner.finish_leftovers()
            if (owner.path / CLIP).exists():
                owner.share_clip(self)
        file.recording = False
        file.note(CUT_SHORT)
        self.write(file)


def folders(root: Path) -> Iterator[EventFolder]:
    """All events of a camera. Raises OSError where the folder cannot be read."""
    if root.exists():
        for path in sorted(root.iterdir()):
            # Whatever else lies there is somebody else's.
            if EVENT_ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                yield EventFolder(path)
