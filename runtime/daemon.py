"""Wires the stations, owns the threads: one camera, one daemon.

The capturing thread reads the camera. The measuring thread gets every frame through a bounded queue;
the magnifying thread gets the newest frame whenever it is free. Neither waits for the other, and
nothing waits for the network: the publisher has threads and an outbox of its own.
"""

import json
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace

from failure import Failure
from runtime.alerts.memory import AlertMemory
from runtime.alerts.suppressed_record import SuppressedRecord
from runtime.alerts.telling import Raised, Telling
from runtime.alerts.told import Told
from runtime.camera import is_file
from runtime.camera.pipelines import shown as without_password
from runtime.camera.recovery import Clock, RecoveringCamera
from runtime.camera.watch import CameraCounters
from runtime.config import Config
from runtime.config.alerts import notices
from runtime.controls import Controls
from runtime.evidence import EvidenceRecorder
from runtime.evidence.inbox import Sampled, Shot
from runtime.frame import Frame
from runtime.handover import Newest
from runtime.latency import Latency, Pace
from runtime.magnification import Magnified, Magnifier
from runtime.measurement import Measured, Measurement
from runtime.messages import utc_text
from runtime.mqtt.publisher import Publisher
from runtime.priority import give_way, stay_in_thread
from runtime.remote import Command, Remote
from runtime.service.manager import ServiceManager
from runtime.service.rounds import Rounds
from runtime.snapshot import Frames, Latencies, Snapshot, Waiting
from runtime.vibration.window import Record

log = logging.getLogger(__name__)

QUEUE_FRAMES = 32
"""Frames that may wait for the measurement; at full HD that is 200 MB."""
MOST_ACKNOWLEDGED, MOST_ASKED = 100, 16
LONGEST_DEAF_S = 0.25
LONGEST_CLOSE_S = 10.0
TELL_EVERY_S = 60.0

Seen = Callable[[Frame], None]
Shown = Callable[[Magnified], None]


@dataclass(slots=True)
class Counters:
    """What the daemon did with its frames, each counted by the one thread that does it."""

    captured: int = 0
    measured: int = 0
    magnified: int = 0
    not_measured: int = 0
    """Frames dropped because the measurement was behind: its results have gaps there."""
    camera: CameraCounters = field(default_factory=CameraCounters)


@dataclass(frozen=True, slots=True)
class _Stations:
    """From capture to each station, as ``Latencies`` names them; each written by one thread."""

    arrived: Latency = field(default_factory=Latency)
    measured: Latency = field(default_factory=Latency)
    judged: Latency = field(default_factory=Latency)
    published: Latency = field(default_factory=Latency)
    magnified: Latency = field(default_factory=Latency)
    shown: Latency = field(default_factory=Latency)


class Daemon:
    """Runs one camera until it is stopped or, for a file, until it ends.

    ``seen`` gets every frame in the capturing thread, ``shown`` everything magnified in the magnifying
    thread, ``raised`` every alert in the measuring thread; none may wait. ``memory`` lets alerts outlive this
    process; ``record`` takes what was not raised; ``evidence`` keeps what was seen and measured around one.
    ``snapshot`` is the command that sends a picture.

    ``controls``, ``told``, ``snapshot``, ``record`` and ``acknowledge`` are for any thread.
    """

    def __init__(
        self,
        config: Config,
        *,
        magnifier: Magnifier | None,
        publisher: Publisher | None,
        seen: Seen | None = None,
        shown: Shown | None = None,
        raised: Raised | None = None,
        memory: AlertMemory | None = None,
        record: SuppressedRecord | None = None,
        evidence: EvidenceRecorder | None = None,
        clock: Clock | None = None,
        snapshot: Command | None = None,
        manager: ServiceManager | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._camera = RecoveringCamera(config.camera, config.recovery, clock=self._clock)
        self.counters = Counters(camera=self._camera.counters)
        self.controls = Controls(config.magnification) if magnifier is None else magnifier.controls
        self._config = config
        self._magnifier = magnifier
        self._publisher = publisher
        self._seen, self._shown = seen, shown
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
        self._acknowledged: queue.Queue[str] = queue.Queue(MOST_ACKNOWLEDGED)
        self._asked: queue.Queue[tuple[str, Future[Record]]] = queue.Queue(MOST_ASKED)
        self._to_measure: queue.Queue[Frame | None] = queue.Queue(QUEUE_FRAMES)
        self._to_magnify = Newest()
        self._stations = _Stations()
        self._captures, self._magnifies = Pace(), Pace()
        self._started_ns = time.monotonic_ns()
        # Files that are played as fast as possible have times of their own.
        self._has_clock = config.camera.real_time or not is_file(config.camera.source)
        self._manager = manager
        self._rounds = Rounds() if publisher is None else publisher.rounds
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        if publisher is not None:  # which may have a connection, and commands, by now
            remote = Remote(self.controls, self.acknowledge, snapshot=snapshot)
            publisher.serve(remote.answer)
            self.controls.tell(publisher.tell_controls)

    def run(self) -> None:
        """Run to the end. Raises what made a station fail; the others are stopped first.

        The calling thread only waits, so a signal handler in it may call ``stop``.
        """
        stay_in_thread()
        # A driver may not come back from a call; the process must be able to end without it.
        capture = threading.Thread(
            target=self._guard, args=(self._capture,), name="capture", daemon=True
        )
        measure = threading.Thread(target=self._guard, args=(self._measure,), name="measure")
        magnify = threading.Thread(target=self._guard, args=(self._magnify,), name="magnify")
        threads = [capture, measure] if self._magnifier is None else [capture, measure, magnify]
        if self._evidence is not None:
            kept = () if self._remembered is None else self._remembered.kept
            self._evidence.start([one.told.event_id for one in kept if one.told is not None])
        for thread in threads:
            thread.start()
        if self._manager is not None:
            self._manager.ready()
        tell_at = time.monotonic() + TELL_EVERY_S
        closed_by = math.inf
        # The measurement finishes what it was given; the eye has seen enough by then.
        while capture.is_alive() or measure.is_alive():
            # Python calls signal handlers in this thread alone, and not before it runs again: a
            # signal that the kernel gives to another thread does not end a join.
            capture.join(LONGEST_DEAF_S)
            measure.join(LONGEST_DEAF_S)
            if self._manager is not None:
                self._manager.alive(self._rounds)
            if time.monotonic() > tell_at:
                self._tell_how_it_goes()
                tell_at += TELL_EVERY_S
            if self._stopping.is_set():
                closed_by = min(closed_by, time.monotonic() + LONGEST_CLOSE_S)
                if time.monotonic() > closed_by:
                    break
        self.stop()
        for thread in threads:
            if thread is not capture:
                thread.join()
        if capture.is_alive():
            self._failure = self._failure or Failure(
                f"{without_password(self._config.camera.source)}: its driver has not come back for "
                f"{LONGEST_CLOSE_S:g} s; ending without it"
            )
        if self._evidence is not None:
            self._evidence.close()
        if self._failure is not None:
            raise self._failure

    def _tell_how_it_goes(self) -> None:
        line = self.snapshot().line()
        log.info("%s", line)
        if self._manager is not None:
            self._manager.status(line)

    def stop(self) -> None:
        """End soon; may be called from any thread and from a signal handler: it waits for nothing."""
        if not self._stopping.is_set():
            self._stopping.set()
            threading.Thread(target=self._camera.stop, name="stop", daemon=True).start()

    @property
    def suppressed(self) -> int:
        """Alerts that would have been raised since the start, and were not."""
        return self._telling.suppressed

    def tell_configuration_problem(self, problem: str | None) -> None:
        """Why the newest configuration is not the one in use: an alert of the health's until it is None."""
        self._measurement.health.configuration_problem = problem

    @property
    def told(self) -> Told:
        """Open alerts, and the newest ten minutes of telemetry."""
        return self._telling.told

    def snapshot(self) -> Snapshot:
        """Everything that can be told of this moment. It takes some milliseconds: not for each frame."""
        now_ns = time.monotonic_ns()
        counters, evidence, stations = self.counters, self._evidence, self._stations
        return Snapshot(
            name=self._config.name,
            time_utc=utc_text(time.time()),
            running_s=(now_ns - self._started_ns) / 1e9,
            source=without_password(self._config.camera.source),
            engine=None if self._magnifier is None else self._magnifier.description,
            picture_px=self.controls.picture_px,
            frame_age_s=self._captures.age_s(now_ns),
            frame_step_s=self._captures.step_s(),
            camera_hz=self._captures.rate_hz(now_ns),
            magnified_hz=self._magnifies.rate_hz(now_ns),
            camera_problem=None if self._camera.problem is None else str(self._camera.problem),
            health=self.told.problems,
            frames=Frames(
                captured=counters.captured,
                measured=counters.measured,
                not_measured=counters.not_measured,
                magnified=counters.magnified,
                not_magnified=self._to_magnify.overtaken,
            ),
            camera=replace(counters.camera),
            waiting=Waiting(
                frames_to_measure=self._to_measure.qsize(),
                most_frames_to_measure=QUEUE_FRAMES,
                pictures_to_keep=0 if evidence is None else evidence.pictures.waiting(Shot),
                lost_pictures=0 if evidence is None else evidence.pictures.lost[Shot],
                lost_samples=0 if evidence is None else evidence.events.lost[Sampled],
            ),
            latencies=Latencies(
                **{name: getattr(stations, name).spread() for name in Latencies.model_fields}
            ),
            magnification=self.controls.settings,
            open_alerts=self.told.open_alerts(),
            suppressed=self.suppressed,
            telemetry=self.told.newest(),
            delivery=None if self._publisher is None else self._publisher.counts(),
            evidence=None if evidence is None else evidence.counters,
            evidence_problem=None if evidence is None else evidence.problem,
        )

    def acknowledge(self, event_id: str) -> None:
        """A person has seen this alert; may be called from any thread.

        Raises Failure when no open alert has this ``event_id``, or too many wait.
        """
        known = [alert.event_id for alert in self.told.open_alerts()]
        if event_id not in known:
            raise Failure(
                f"no open alert has the event_id {json.dumps(event_id[:64])}; open are: "
                f"{', '.join(known) or 'none'}"
            )
        try:
            self._acknowledged.put_nowait(event_id)
        except queue.Full:
            raise Failure(
                f"{MOST_ACKNOWLEDGED} acknowledgements wait for the measurement; try again later"
            ) from None

    def record(self, region: str) -> "Future[Record]":
        """A copy of a region's newest seconds, after the frame that is measured now; while it runs."""
        asked: Future[Record] = Future()
        try:
            self._asked.put_nowait((region, asked))
        except queue.Full:
            asked.set_exception(Failure(f"{MOST_ASKED} wait for a record already; try again later"))
        return asked

    def _capture(self) -> None:
        try:
            with closing(self._camera.frames()) as frames:
                for frame in frames:
                    self._hand_over(frame)
        finally:
            self._put_for_measuring(None)

    def _hand_over(self, frame: Frame) -> None:
        self.counters.captured += 1
        self._captures.add(time.monotonic_ns())
        self._passed(self._stations.arrived, frame)
        self.controls.picture_is((frame.image.shape[1], frame.image.shape[0]))
        if self._evidence is not None:
            self._evidence.see(frame)
        if self._seen is not None:
            self._seen(frame)
        if self._magnifier is not None:
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
        waited_from_s = self._clock.now_s()
        for notice in notices(self._config.alerts, None):
            log.warning("%s", notice)
        if self._remembered is not None:
            self._telling.tell_again(self._remembered.untold)
        while not self._stopping.is_set():
            self._rounds.came("measure")
            try:
                frame = self._to_measure.get(timeout=0.2)
            except queue.Empty:
                self._wait(self._clock.now_s() - waited_from_s)
                self._acknowledge()
                self._answer()
                continue
            if frame is None:
                break
            waited_from_s = self._clock.now_s()
            measured = self._measurement.process(frame)
            self._passed(self._stations.measured, frame, self._measurement.t_measured_ns)
            if measured.judged:
                self._passed(self._stations.judged, frame)
            self._telling.tell(measured, self._measurement)
            if measured.alerts or measured.telemetry:
                self._passed(self._stations.published, frame)
            self.counters.measured += 1
            self._acknowledge()
            self._answer()
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

    def _answer(self) -> None:
        while not self._asked.empty():
            region, asked = self._asked.get()
            if asked.set_running_or_notify_cancel():
                asked.set_result(self._measurement.record(region))

    def _magnify(self) -> None:
        assert self._magnifier is not None
        give_way()
        while not self._stopping.is_set():
            self._rounds.came("magnify")
            frame = self._to_magnify.get(timeout_s=0.2)
            if frame is None:
                continue
            magnified = self._magnifier.process(frame, self._to_magnify.look)
            self.counters.magnified += 1
            self._magnifies.add(time.monotonic_ns())
            self._passed(self._stations.magnified, frame)
            if self._evidence is not None:
                self._evidence.see_magnified(magnified)
            if self._shown is not None:
                self._shown(magnified)
                self._passed(self._stations.shown, frame)

    def _passed(self, station: Latency, frame: Frame, t_ns: int | None = None) -> None:
        if self._has_clock:
            station.add((time.monotonic_ns() if t_ns is None else t_ns) - frame.t_capture_ns)

    def _guard(self, station: Callable[[], None]) -> None:
        """A station that fails stops the daemon; nothing runs on with a part missing."""
        try:
            station()
        except BaseException as error:
            self._failure = self._failure or error
            self.stop()
        finally:
            self._rounds.left(threading.current_thread().name)
