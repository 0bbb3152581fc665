"""What becomes of events: which are written together, until when, and what a refusing disk changes."""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version

from failure import Failure
from runtime.camera.pipelines import shown as without_password
from runtime.clips import Picture, magnified_label, side_by_side
from runtime.config import Config
from runtime.controls import Controls
from runtime.evidence.clip import Raised
from runtime.evidence.folder import DISK_ERRORS, EventFile, EventFolder
from runtime.evidence.group import Group, Member
from runtime.evidence.inbox import Sampled
from runtime.evidence.retention import check_room, lacks_room, tidy
from runtime.evidence.ring import PictureRing
from runtime.evidence.samples import SampleRing
from runtime.evidence.strip import LENGTH_S
from runtime.messages import AlertMessage
from runtime.region_scale import scale_of

_log = logging.getLogger(__name__)

SETTLE_NS = 500_000_000
"""A picture is written this long after it was taken: by then it was measured and magnified."""
SLOWEST_NS = 2_000_000_000
"""A magnified picture may be this much older than the raw one that it is shown beside."""
LONGEST_HOLD_S = 60.0
"""By how much a rule's ``raise_after_s`` lengthens what is held from before an event, at most."""
PATIENCE_S = 5.0
"""Beyond ``longest_s`` on the steady clock, how long frames are waited for that do not come."""
FLUSH_EVERY_S = 1.0
TIDY_EVERY_S = 600.0

CLOCK_WENT_BACK = "the camera's clock went back, so what came after it is not kept"
ENDED = "the daemon ended before this was complete"


Snapped = Callable[[Picture], object]
"""Takes a picture (height, width, 3) and does not keep the thread for long."""


@dataclass(slots=True)
class EvidenceCounters:
    """Since the start."""

    events: int = 0
    incomplete: int = 0
    """Events whose evidence lacks something because the disk refused."""
    deleted: int = 0
    """Events that were too old or too much."""


class EventKeeper:
    """Writes the evidence of one camera's events; for one thread, which calls ``work`` often.

    ``problem`` is one sentence while evidence cannot be kept, and may be read by any thread.
    """

    def __init__(
        self,
        config: Config,
        pictures: PictureRing,
        *,
        engine: str | None = None,
        controls: Controls | None = None,
        lost_pictures: Callable[[], int] = lambda: 0,
        snapped: Snapped = lambda _picture: None,
    ) -> None:
        """``engine`` magnifies as ``controls`` say, None: nothing does. ``lost_pictures``: how many
        never came into the ring. ``snapped`` gets the snapshot of each event."""
        self.counters = EvidenceCounters()
        self.problem: str | None = None
        self.root = config.evidence_folder
        self._config, self._engine = config, engine
        self._controls = controls or Controls(config.magnification)
        self._pictures, self._lost_pictures = pictures, lost_pictures
        self._snapped = snapped
        self._samples = SampleRing()
        self._scales = {region.name: scale_of(region) for region in config.regions}
        hold_s = max((rule.raise_after_s for rule in config.alerts), default=0.0)
        self._held_ns = _ns(config.evidence.before_s + min(hold_s, LONGEST_HOLD_S))
        self._groups: list[Group] = []
        self._open: set[str] = set()
        self._tidied_s = self._flushed_s = float("-inf")

    def begin(self, open_events: Collection[str]) -> None:
        """These were open when the process before ended: they are not deleted."""
        self._open |= set(open_events)

    def take_samples(self, row: Sampled) -> None:
        """One frame's samples, in the order of their times."""
        newest = self._samples.newest
        if newest is not None and row.t_ns <= newest.t_ns:
            self.finish(CLOCK_WENT_BACK, within_s=0.0)
            self._samples.clear()
        self._samples.add(row)
        for group in tuple(self._groups):
            if row.unix_s is not None:
                group.unix_s = row.unix_s - row.t_ns / 1e9
            with self._care(group):
                group.write_samples(row)

    def take_message(self, message: AlertMessage) -> None:
        """A step in the life of an event, after the samples that led to it."""
        if message.type == "end":
            self._open.discard(message.event_id)
        else:
            self._open.add(message.event_id)
        for group in tuple(self._groups):
            member = group.member(message.event_id)
            if member is not None:
                member.file.add(message)
                if message.type == "end":
                    member.raised.to_ns = _ns(message.t_s)
                    wanted_ns = _ns(message.t_s + self._config.evidence.after_s)
                    member.until_ns = min(member.until_ns, wanted_ns)
                with self._care(group):
                    member.folder.write(member.file)
                return
        with self._care(lost=int(message.type == "new")):
            folder = EventFolder(self.root / message.event_id)
            file = folder.read()
            if file is None:
                file = self._new_file(message)
                if message.type == "new":
                    self._begin(folder, file, message)
                    return
            file.add(message)
            folder.write(file)

    def work(self) -> bool:
        """Write what is due: at most one picture of each clip. Whether there may be more at once."""
        now_s = time.monotonic()
        busy = False
        for group in tuple(self._groups):
            given_up = now_s >= group.gives_up_s
            settled_ns = group.until_ns if given_up else self._newest_ns() - SETTLE_NS
            wrote = False
            with self._care(group):
                wrote = group.write_picture(self._pictures, self._samples, settled_ns)
            busy = busy or wrote
            if not wrote and (given_up or settled_ns > group.until_ns):
                self._finish(group)
        if now_s - self._flushed_s >= FLUSH_EVERY_S:
            self._flushed_s = now_s
            for group in tuple(self._groups):
                with self._care(group):
                    group.flush()
            self._forget()
        if now_s - self._tidied_s >= TIDY_EVERY_S:
            self._tidied_s = now_s
            self._tidy()
        return busy

    def finish(self, why: str, *, within_s: float) -> None:
        """Write what there is for every event within a time, and end all; ``why`` is noted."""
        until_s = time.monotonic() + within_s
        for group in tuple(self._groups):
            for member in group.members:
                if self._newest_ns() < member.until_ns:
                    member.file.note(why)
            more = True
            with self._care(group):
                while more and time.monotonic() < until_s:
                    more = group.write_picture(self._pictures, self._samples, group.until_ns)
                if more:  # the time was too short
                    for member in group.members:
                        member.file.note(why)
            self._finish(group)

    def _begin(self, folder: EventFolder, file: EventFile, message: AlertMessage) -> None:
        """The first that is heard of an event."""
        self.counters.events += 1
        file.add(message)
        self.root.mkdir(parents=True, exist_ok=True)
        settings = self._config.evidence
        from_ns = max(
            _ns(message.started_t_s - settings.before_s), _ns(message.t_s) - self._held_ns
        )
        member = Member(
            folder,
            file,
            Raised(_ns(message.started_t_s), message.regions, self._watched(message)),
            from_ns,
            from_ns + _ns(settings.longest_s),
        )
        if lacks_room(self.root):
            self._tidy()
        try:
            check_room(self.root)
        except Failure as failure:
            file.note(str(failure))
            with suppress(*DISK_ERRORS):  # what little room there is may take the messages
                folder.write(file)
            raise
        group = self._group_for(member, message)
        with self._care(group):
            file.recording, file.clip_in = True, group.members[0].folder.event_id
            folder.write(file)
            group.begin_samples(member, self._samples)
            self._keep_snapshot(folder, message)

    def _group_for(self, member: Member, message: AlertMessage) -> Group:
        """The clip that has room for the event and what comes after it, or a new one."""
        settings = self._config.evidence
        for group in self._groups:
            if _ns(message.t_s + settings.after_s) <= group.limit_ns:
                group.add(member)
                return group
        group = Group(
            member,
            limit_ns=member.until_ns,
            gives_up_s=time.monotonic() + settings.longest_s + PATIENCE_S,
            rate_hz=settings.clip_rate_hz,
            regions=self._config.regions,
            scales=self._scales,
            magnifies=self._engine is not None,
            lost_pictures=self._lost_pictures,
        )
        newest = self._samples.newest
        if newest is not None and newest.unix_s is not None:
            group.unix_s = newest.unix_s - newest.t_ns / 1e9
        self._groups.append(group)
        return group

    def _keep_snapshot(self, folder: EventFolder, message: AlertMessage) -> None:
        raw, newest = self._pictures.newest("raw"), self._pictures.newest("magnified")
        if raw is None:
            return
        magnified, gain = newest or (None, None)
        if magnified is not None and magnified.shape != raw[0].shape:
            magnified = None
        picture = side_by_side(
            raw[0], magnified, self._config.regions, magnified_label(gain), set(message.regions)
        )
        self._snapped(picture)  # even where the disk refuses
        folder.write_snapshot(picture)

    def _finish(self, group: Group) -> None:
        if group not in self._groups:
            return  # it was abandoned meanwhile
        with self._care(group):
            group.finish()
            self._groups.remove(group)
            if self.problem is not None:
                self._mended()

    @contextmanager
    def _care(self, group: Group | None = None, *, lost: int = 0) -> Iterator[None]:
        """A disk that refuses ends this group's evidence, or that of ``lost`` events, and nothing else."""
        try:
            yield
        except DISK_ERRORS as error:
            sentence = self._sentence(error)
            if self.problem is None:
                _log.error("evidence is not kept: %s; alerts and measurement go on", sentence)
            self.problem = sentence
            self.counters.incomplete += lost if group is None else len(group.members)
            if group is not None:
                self._abandon(group, sentence)
        except Exception:
            if group is None:
                raise
            _log.exception("a defect in keeping evidence, please report it; the event goes without")
            self._abandon(group, "a defect of tremorscope ended it; the log has more")

    def _abandon(self, group: Group, sentence: str) -> None:
        if group in self._groups:
            self._groups.remove(group)
            group.abandon(sentence)

    def _mended(self) -> None:
        _log.info("%s: evidence is kept again", self.root)
        self.problem = None

    def _tidy(self) -> None:
        """Finish leftovers, delete what is too much, and look whether a disk that refused does so still."""
        written = {member.folder.event_id for group in self._groups for member in group.members}
        problem = self.problem
        with self._care():
            self.counters.deleted += tidy(
                self.root, self._config.evidence, is_open=self._open, written=written
            )
            if problem is not None:
                self.root.mkdir(parents=True, exist_ok=True)
                check_room(self.root)
                probe = self.root / ".probe"
                probe.write_bytes(bytes(4096))
                probe.unlink()
                self._mended()

    def _forget(self) -> None:
        reached = [group.reached_ns for group in self._groups]
        needed_ns = min([self._newest_ns() - self._held_ns, *reached])
        self._pictures.forget(needed_ns - SLOWEST_NS)
        self._samples.forget(needed_ns - _ns(LENGTH_S))

    def _newest_ns(self) -> int:
        newest = self._samples.newest
        return -(2**62) if newest is None else newest.t_ns

    def _watched(self, message: AlertMessage) -> tuple[str, ...]:
        """The regions that the event is about; all of them where it is about the camera."""
        every = tuple(region.name for region in self._config.regions)
        if message.region in every:
            return (message.region,)
        rules = () if message.kind == "health" else self._config.alerts
        return next((rule.regions for rule in rules if rule.name == message.rule), ()) or every

    def _new_file(self, message: AlertMessage) -> EventFile:
        config = self._config.model_dump(mode="json", exclude={"mqtt", "home_assistant", "page"})
        config["magnification"] = self._controls.settings.model_dump(mode="json")
        config["camera"]["source"] = without_password(config["camera"]["source"])
        scales = {
            name: None if scale is None else scale.model_dump()
            for name, scale in self._scales.items()
        }
        return EventFile(
            event_id=message.event_id,
            camera=self._config.name,
            version=version("tremorscope"),
            settings={"config": config, "scales": scales, "engine": self._engine},
        )

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, Failure):
            return str(error)
        where = getattr(error, "filename", None) or self.root
        return (
            f"{where}: cannot be written ({getattr(error, 'strerror', None) or error}); free some "
            "space, or set evidence.folder to one that can be written"
        )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
