"""Events that overlap, and what is written of them: samples and files for each, one clip for all."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from calibration.scale import Scale
from runtime.clips import ClipEncoder
from runtime.config import Region
from runtime.evidence.clip import ClipRecording, Raised
from runtime.evidence.folder import (
    DISK_ERRORS,
    UNFINISHED_CLIP,
    UNFINISHED_SAMPLES,
    ClipFacts,
    EventFile,
    EventFolder,
)
from runtime.evidence.inbox import Sampled
from runtime.evidence.ring import PictureRing
from runtime.evidence.samples import SampleRing, SamplesFile
from runtime.messages import utc_text

TOO_LITTLE_MEMORY = (
    "the clip begins late or has gaps: "
    "evidence.memory_mb does not hold the pictures that were waiting"
)
NO_PICTURE = "no picture came in its time, so there is no clip"


@dataclass(slots=True)
class Member:
    """One event of a group: samples are written from ``from_ns`` to ``until_ns``."""

    folder: EventFolder
    file: EventFile
    raised: Raised
    from_ns: int
    until_ns: int
    samples: SamplesFile | None = None


class Group:
    """Overlapping events with one clip; for one thread.

    Every method that writes raises one of DISK_ERRORS when the disk refuses; the group is then
    abandoned.
    """

    def __init__(
        self,
        first: Member,
        *,
        limit_ns: int,
        gives_up_s: float,
        rate_hz: float,
        regions: Sequence[Region],
        scales: Mapping[str, Scale | None],
        magnifies: bool,
        lost_pictures: Callable[[], int],
    ) -> None:
        """``limit_ns``: no picture after it is kept. ``gives_up_s``: of the steady clock, when to end
        although no frame has come any more."""
        self.members = [first]
        self.limit_ns, self.gives_up_s = limit_ns, gives_up_s
        self.unix_s: float | None = None
        """What to add to the camera's clock for the time of day; None where that is not known."""
        self._scales = scales
        self._lost_pictures, self._lost_before = lost_pictures, lost_pictures()
        first.folder.path.mkdir(parents=True, exist_ok=True)
        self._clip = ClipRecording(
            ClipEncoder(first.folder.path / UNFINISHED_CLIP, rate_hz, fragments=True, crf=23),
            first.from_ns,
            regions=regions,
            scales=scales,
            magnifies=magnifies,
        )
        self._clip.events.append(first.raised)

    @property
    def until_ns(self) -> int:
        """The newest picture that any member wants."""
        return min(self.limit_ns, max(member.until_ns for member in self.members))

    @property
    def reached_ns(self) -> int:
        """Pictures up to this time are written."""
        return self._clip.reached_ns

    def member(self, event_id: str) -> Member | None:
        return next((one for one in self.members if one.folder.event_id == event_id), None)

    def add(self, member: Member) -> None:
        """Another event that overlaps; its clip is the same."""
        self.members.append(member)
        self._clip.events.append(member.raised)

    def begin_samples(self, member: Member, ring: SampleRing) -> None:
        """Open the file of samples, and write those from before the event."""
        regions = member.raised.watched
        path = member.folder.path / UNFINISHED_SAMPLES
        member.samples = SamplesFile(path, regions, self._scales)
        for row in ring.since(member.from_ns):
            self._write(member, row)
        member.samples.flush()

    def write_samples(self, row: Sampled) -> None:
        for member in self.members:
            self._write(member, row)

    def write_picture(self, pictures: PictureRing, samples: SampleRing, up_to_ns: int) -> bool:
        """Write the next picture of the clip; False when there is none to ``up_to_ns`` yet."""
        up_to_ns = min(up_to_ns, self.until_ns)
        if pictures.dropped_to_ns > self.reached_ns:
            for member in self.members:
                member.file.note(TOO_LITTLE_MEMORY)
        return self._clip.write_next(pictures, samples, up_to_ns, self.unix_s)

    def flush(self) -> None:
        for member in self.members:
            if member.samples is not None:
                member.samples.flush()

    def finish(self) -> None:
        """Complete every piece of every member."""
        owner = self.members[0].folder
        facts = self._facts()
        self._clip.finish()
        if facts is None:
            (owner.path / UNFINISHED_CLIP).unlink(missing_ok=True)
        else:
            owner.finish_clip()
        for member in self.members:
            if member.samples is not None:
                member.samples.close()
                member.folder.finish_samples()
                member.file.samples = member.samples.rows
            if facts is None:
                member.file.note(NO_PICTURE)
            elif member.folder.path != owner.path:
                owner.share_clip(member.folder)
            member.file.clip = facts
            member.file.recording = False
            member.folder.write(member.file)

    def abandon(self, sentence: str) -> None:
        """Keep what is complete, remove the rest, and note why; a disk that refuses that too may."""
        self._clip.abandon()
        for member in self.members:
            with suppress(OSError):
                if member.samples is not None:
                    member.samples.close()
            member.folder.drop_unfinished()
            member.file.recording = False
            member.file.note(sentence)
            with suppress(*DISK_ERRORS):
                member.folder.write(member.file)

    def _write(self, member: Member, row: Sampled) -> None:
        if member.samples is not None and member.from_ns <= row.t_ns <= member.until_ns:
            member.samples.write(row)

    def _facts(self) -> ClipFacts | None:
        begins_ns = self._clip.begins_ns
        if begins_ns is None:
            return None
        utc = None if self.unix_s is None else utc_text(begins_ns / 1e9 + self.unix_s)
        return ClipFacts(
            begins_t_s=begins_ns / 1e9,
            begins_utc=utc,
            ends_t_s=self._clip.ends_ns / 1e9,
            pictures=self._clip.pictures,
            missed_pictures=self._lost_pictures() - self._lost_before,
            shared_by=tuple(member.folder.event_id for member in self.members),
        )
