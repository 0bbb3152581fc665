"""Wires the stations, owns the threads: one camera, one daemon.

The capturing thread reads the camera. The measuring thread gets every frame through a bounded queue;
the magnifying thread gets the newest frame whenever it is free. Neither waits for the other, and
nothing waits for the network: the publisher has threads and an outbox of its own.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from failure import Failure
from runtime.alert_config import notices
from runtime.alert_memory import AlertMemory
from runtime.camera import is_file
from runtime.camera.recovery import Clock, RecoveringCamera
from runtime.camera.watch import CameraCounters
from runtime.config import Config
from runtime.evidence import EvidenceRecorder
from runtime.frame import Frame
from runtime.magnification import Magnifier
from runtime.measurement import Measured, Measurement
from runtime.mqtt import Publisher
from runtime.suppressed_record import SuppressedRecord
from runtime.telling import Raised, Telling

log = logging.getLogger(__name__)

QUEUE_FRAMES = 32
"""Frames that may wait for the measurement; at full HD that is 200 MB."""
LONGEST_DEAF_S = 0.25
TELL_EVERY_S = 60.0

Shown = Callable[[Frame, NDArray[np.uint8]], None]


@dataclass(slots=True)
class Counters:
    """What the daemon did with its frames, each counted by the one thread that does it."""

    captured: int = 0
    measured: int = 0
    magnified: int = 0
    not_measured: int = 0
    """Frames dropped because the measurement was behind: its results have gaps there."""
    camera: CameraCounters = field(default_factory=CameraCounters)


@dataclass(slots=True)
class _Newest:
    """Room for one frame; a newer one takes the place of one that nobody fetched."""

    _frame: Frame | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, frame: Frame) -> None:
        with self._changed:
            self._frame = frame
            self._changed.notify()

    def get(self, timeout_s: float) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None, timeout_s)
            frame, self._frame = self._frame, None
            return frame

    def look(self, timeout_s: float) -> Frame | None:
        """The frame that waits, which stays there."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None, timeout_s)
            return self._frame


class Daemon:
    """Runs one camera until it is stopped or, for a file, until it ends.

    ``shown`` gets every magnified picture in the magnifying thread, ``raised`` every alert message in
    the measuring thread. ``memory`` lets alerts outlive this process; ``record`` takes what was not
    raised; ``evidence`` keeps what was seen and measured around an alert.
    """

    def __init__(
        self,
        config: Config,
        *,
        magnifier: Magnifier | None,
        publisher: Publisher | None,
        shown: Shown | None = None,
        raised: Raised | None = None,
        memory: AlertMemory | None = None,
        record: SuppressedRecord | None = None,
        evidence: EvidenceRecorder | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._camera = RecoveringCamera(config.camera, config.recovery, clock=self._clock)
        self.counters = Counters(camera=self._camera.counters)
        self._config = config
        self._magnifier = magnifier
        self._shown = shown
        self._evidence = evidence
        self._telling = Telling(
            config.alerts,
            publisher=publisher,
            memory=memory,
            record=record,
            evidence=evidence,
            raised=raised,
            unlocked=lambda: self._camera.unlocked,
        )
        self._remembered = None if memory is None else memory.load()
        self._measurement = Measurement(config, self._remembered)
        self._acknowledged: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._to_measure: queue.Queue[Frame | None] = queue.Queue(QUEUE_FRAMES)
        self._to_magnify = _Newest()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Run to the end. Raises what made a station fail; the others are stopped first.

        The calling thread only waits, so a signal handler in it may call ``stop``.
        """
        capture = threading.Thread(target=self._guard, args=(self._capture,), name="capture")
        measure = threading.Thread(target=self._guard, args=(self._measure,), name="measure")
        magnify = threading.Thread(target=self._guard, args=(self._magnify,), name="magnify")
        threads = [capture, measure] if self._magnifier is None else [capture, measure, magnify]
        if self._evidence is not None:
            kept = () if self._remembered is None else self._remembered.kept
            self._evidence.start([one.told.event_id for one in kept if one.told is not None])
        for thread in threads:
            thread.start()
        # The measurement finishes what it was given; the eye has seen enough by then.
        while capture.is_alive() or measure.is_alive():
            # Python calls signal handlers in this thread alone, and not before it runs again: a
            # signal that the kernel gives to another thread does not end a join.
            capture.join(LONGEST_DEAF_S)
            measure.join(LONGEST_DEAF_S)
        self.stop()
        for thread in threads:
            thread.join()
        if self._evidence is not None:
            self._evidence.close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End soon; may be called from any thread and from a signal handler."""
        self._stopping.set()
        self._camera.stop()

    @property
    def suppressed(self) -> int:
        """Alerts that would have been raised since the start, and were not."""
        return self._telling.suppressed

    def acknowledge(self, event_id: str) -> None:
        """A person has seen this alert; may be called from any thread. An unknown one is logged."""
        self._acknowledged.put(event_id)

    def _capture(self) -> None:
        try:
            with closing(self._camera.frames()) as frames:
                for frame in frames:
                    self._hand_over(frame)
        finally:
            self._put_for_measuring(None)

    def _hand_over(self, frame: Frame) -> None:
        self.counters.captured += 1
        if self._evidence is not None:
            self._evidence.see(frame)
        self._to_magnify.put(frame)
        self._put_for_measuring(frame)

    def _put_for_measuring(self, frame: Frame | None) -> None:
        """A file waits for the measurement; a camera does not, its newest frame is dropped."""
        if frame is None or is_file(self._config.camera.source):
            while not self._stopping.is_set():
                try:
                    self._to_measure.put(frame, timeout=0.2)
                    return
                except queue.Full:
                    continue
            return
        try:
            self._to_measure.put_nowait(frame)
        except queue.Full:
            self.counters.not_measured += 1
            if self.counters.not_measured == 1:
                log.warning(
                    "the measurement is slower than the camera: frames are dropped and counted; "
                    "measure fewer or smaller regions, or lower the frame rate"
                )

    def _measure(self) -> None:
        tell_at = time.monotonic() + TELL_EVERY_S
        waited_from_s = self._clock.now_s()
        for notice in notices(self._config.alerts, None):
            log.warning("%s", notice)
        if self._remembered is not None:
            self._telling.tell_again(self._remembered.untold)
        while not self._stopping.is_set():
            try:
                frame = self._to_measure.get(timeout=0.2)
            except queue.Empty:
                self._wait(self._clock.now_s() - waited_from_s)
                self._acknowledge()
                continue
            if frame is None:
                break
            waited_from_s = self._clock.now_s()
            self._telling.tell(self._measurement.process(frame), self._measurement)
            self.counters.measured += 1
            self._acknowledge()
            if time.monotonic() > tell_at:
                log.info("%s", self.counters)
                if self._evidence is not None:
                    log.info("%s", self._evidence.counters)
                tell_at += TELL_EVERY_S
        self._telling.finish(self._measurement)

    def _wait(self, waited_s: float) -> None:
        """No frame came; the health and the rules of a live camera are judged all the same."""
        if not is_file(self._config.camera.source):
            measured = self._measurement.wait(waited_s, self._camera.problem)
            self._telling.tell(measured, self._measurement)

    def _acknowledge(self) -> None:
        """Take in what people have acknowledged meanwhile."""
        while not self._acknowledged.empty():
            event_id = self._acknowledged.get()
            try:
                alerts = self._measurement.acknowledge(event_id)
            except Failure as failure:
                log.warning("%s", failure)
            else:
                self._telling.tell(Measured((), alerts=alerts, judged=True), self._measurement)

    def _magnify(self) -> None:
        assert self._magnifier is not None
        while not self._stopping.is_set():
            frame = self._to_magnify.get(timeout_s=0.2)
            if frame is None:
                continue
            picture = self._magnifier.process(frame, self._to_magnify.look)
            self.counters.magnified += 1
            if self._evidence is not None:
                self._evidence.see_magnified(frame, picture)
            if self._shown is not None:
                self._shown(frame, picture)

    def _guard(self, station: Callable[[], None]) -> None:
        """A station that fails stops the daemon; nothing runs on with a part missing."""
        try:
            station()
        except BaseException as error:
            self._failure = self._failure or error
            self.stop()
