"""The station of evidence: takes what others hand over, and keeps it in threads of its own.

One thread encodes pictures into the ring, another writes to the disk, so that a disk that waits costs
no picture. Both give way to the measurement.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from runtime.camera import is_file
from runtime.config import Config
from runtime.controls import Controls
from runtime.displacement import Displacement
from runtime.evidence.inbox import Inbox, Sampled, Shot
from runtime.evidence.keeper import ENDED, EventKeeper, EvidenceCounters, Snapped
from runtime.evidence.ring import Kind, PictureRing
from runtime.frame import Frame
from runtime.magnification import Magnified
from runtime.messages import AlertMessage
from runtime.priority import give_way

_log = logging.getLogger(__name__)

LONGEST_WRITE_S = 1.5
"""Of one picture, and of what ends a file."""


class EvidenceRecorder:
    """Keeps evidence of one camera's alerts.

    ``see``, ``see_magnified``, ``measured`` and ``alert`` never wait; each is for one thread.
    """

    def __init__(
        self,
        config: Config,
        *,
        engine: str | None = None,
        controls: Controls | None = None,
        snapped: Snapped = lambda _picture: None,
        finish_s: float = 10.0,
    ) -> None:
        """``engine`` is what magnifies, None where nothing does; ``controls`` are its settings; ``snapped``
        gets the snapshot of each alert. ``finish_s``: at the end, the time for pictures that are still to be
        written."""
        self._finish_s = finish_s
        self.pictures, self.events = Inbox(), Inbox()
        """What waits for each of the two threads, and what of it was lost."""
        self._ring = PictureRing(round(config.evidence.memory_mb * 1e6))
        self._keeper = EventKeeper(
            config,
            self._ring,
            engine=engine,
            controls=controls,
            lost_pictures=lambda: self.pictures.lost[Shot],
            snapped=snapped,
        )
        self._rate_hz = config.evidence.clip_rate_hz
        # Files that are played as fast as possible have times of their own.
        self._has_clock = config.camera.real_time or not is_file(config.camera.source)
        self._slots: dict[Kind, int] = {}
        self._threads = (
            threading.Thread(target=self._keep_pictures, name="evidence-pictures", daemon=True),
            threading.Thread(target=self._keep_events, name="evidence", daemon=True),
        )

    @property
    def problem(self) -> str | None:
        """One sentence while evidence cannot be kept."""
        return self._keeper.problem

    @property
    def counters(self) -> EvidenceCounters:
        return self._keeper.counters

    def start(self, open_events: Collection[str] = ()) -> None:
        """Begin; ``open_events`` were open when the process before ended, and are not deleted."""
        self._keeper.begin(open_events)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Complete what is open, in little more than the time for that; a disk that hangs is not waited for."""
        longest_s = self._finish_s + LONGEST_WRITE_S
        closed_by_s = time.monotonic() + longest_s
        for inbox, thread in zip((self.pictures, self.events), self._threads, strict=True):
            inbox.close()
            if thread.ident is not None:
                thread.join(max(0.0, closed_by_s - time.monotonic()))
                if thread.is_alive():
                    _log.error(
                        "evidence of the last alerts may be incomplete: its disk has not answered for "
                        "%g s; check it",
                        longest_s,
                    )

    def see(self, frame: Frame) -> None:
        """A picture of the camera; of most only the time is looked at."""
        if self._is_due("raw", frame.t_capture_ns):
            self.pictures.put(Shot(frame.t_capture_ns, frame.image))

    def see_magnified(self, magnified: Magnified) -> None:
        """What was magnified of a frame; of most only the time is looked at."""
        t_ns = magnified.frame.t_capture_ns
        if self._is_due("magnified", t_ns):
            self.pictures.put(Shot(t_ns, magnified.picture, magnified.settings.gain))

    def measured(self, displacements: tuple[Displacement, ...]) -> None:
        """The displacements of one frame."""
        if displacements:
            t_ns = displacements[0].t_capture_ns
            unix_s = time.time() - (time.monotonic_ns() - t_ns) / 1e9 if self._has_clock else None
            self.events.put(Sampled(t_ns, unix_s, displacements))

    def alert(self, message: AlertMessage) -> None:
        """A step in the life of an event, after the samples that led to it."""
        self.events.put(message)

    def folder_of(self, message: AlertMessage) -> str | None:
        """The name of the event's folder; None while nothing can be kept."""
        return message.event_id if self.problem is None else None

    def _is_due(self, kind: Kind, t_ns: int) -> bool:
        """Whether it is the first picture of its slot in time, so that both kinds choose the same."""
        slot = int(t_ns * self._rate_hz // 1e9)
        due = slot != self._slots.get(kind)
        self._slots[kind] = slot
        return due

    def _keep_pictures(self) -> None:
        give_way()
        while not self.pictures.done:
            shot = self.pictures.get(timeout_s=1.0)
            if isinstance(shot, Shot):
                with _going_on():
                    kind: Kind = "raw" if shot.gain is None else "magnified"
                    self._ring.add(kind, shot.t_ns, shot.image, shot.gain)

    def _keep_events(self) -> None:
        give_way()
        while not self.events.done:
            busy = False
            with _going_on():
                busy = self._keeper.work()
            item = self.events.get(timeout_s=0.0 if busy else 0.2)
            with _going_on():
                if isinstance(item, Sampled):
                    self._keeper.take_samples(item)
                elif isinstance(item, AlertMessage):
                    self._keeper.take_message(item)
        with _going_on():
            self._keeper.finish(ENDED, within_s=self._finish_s)


@contextmanager
def _going_on() -> Iterator[None]:
    """A defect here is told with its traceback, and must not end the measurement."""
    try:
        yield
    except Exception:
        _log.exception(
            "a defect in keeping evidence, please report it; alerts and measurement go on"
        )
