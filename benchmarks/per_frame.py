"""What a frame costs besides the network: processor time of one core, station by station.

``python -m benchmarks.per_frame`` runs it: full HD, 16 regions of 64x64 px, 60 frames a second, evidence kept,
telemetry published. Every station is the daemon's own. Frames come as fast as they are measured, with times
1/60 s apart, so that what happens once a second has its right share of each.

The yardstick is one copy of the picture (``np.copyto``) in the same process, by turns: what any program that
touches a frame must pay.
"""

import queue
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import Scene, render, sine
from benchmarks.mosquitto import mosquitto
from machine import processor
from runtime.alerts.telling import Telling
from runtime.camera.source import BaseSource
from runtime.config import Alert, Camera, Config, Mqtt, Rectangle, Region, Storage
from runtime.delivery.outbox import Outbox
from runtime.evidence import EvidenceRecorder
from runtime.evidence.inbox import Shot
from runtime.frame import Frame
from runtime.handover import Newest
from runtime.latency import Latency
from runtime.magnification import Magnified
from runtime.measurement import Measurement
from runtime.messages import State
from runtime.mqtt.publisher import Publisher
from runtime.priority import stay_in_thread
from runtime.service.heap import keep_memory_flat

MOST_MS, MOST_COPIES = 4.0, 10.0
"""The marks: processor time a frame, and how many copies of the frame take as long."""
WIDTH, HEIGHT, RATE_HZ = 1920, 1080, 60.0
REGIONS, SIDE_PX = 16, 64
PHASES, NOISES = 12, 3
"""Rendered are this many pictures of one period of the motion, each with noise of several kinds, which are
drawn by chance. What they have in common comes again with every period and is found as harmonics: five tones
of a region instead of two, so that the spectra cost rather more than they would."""
PICTURES = PHASES * NOISES
QUIET = Alert(name="vibration", quantity="signal_to_noise", raise_above=1e6)
"""The default rule, at a threshold that is never reached: an alert would write a clip."""
VELOCITY = Alert(name="fast", quantity="ppv_px_s", raise_above=1e6)
"""A rule that has velocity found ten times a second, and not only for telemetry."""
LEARNING = 660
"""Frames that fill the window of the spectrum, ten seconds."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn:
    """Processor time (ms) a frame of one turn."""

    stations_ms: dict[str, float]
    copy_ms: float
    """Of one ``np.copyto`` of the picture."""

    @property
    def total_ms(self) -> float:
        return sum(self.stations_ms.values())

    @property
    def copies(self) -> float:
        return self.total_ms / self.copy_ms


@dataclass(frozen=True, slots=True)
class PerFrame:
    """Medians of turns by turns in one process; each station's median is its own."""

    turns: tuple[Turn, ...]
    frames: int
    """Of each turn."""
    published: bool
    """Whether there was a broker; without one, telemetry is made and dropped."""
    from_gstreamer: bool
    """Whether frames came out of GStreamer's buffers; else they were copied from an array."""
    processor: str

    @property
    def stations_ms(self) -> dict[str, float]:
        names = self.turns[0].stations_ms
        return {name: median(turn.stations_ms[name] for turn in self.turns) for name in names}

    @property
    def total_ms(self) -> float:
        return median(turn.total_ms for turn in self.turns)

    @property
    def copy_ms(self) -> float:
        return median(turn.copy_ms for turn in self.turns)

    @property
    def copies(self) -> float:
        """How many copies of the picture take as long as all stations."""
        return median(turn.copies for turn in self.turns)

    @property
    def holds(self) -> bool:
        return self.total_ms <= MOST_MS and self.copies <= MOST_COPIES


def measure(*, turns: int = 5, frames: int = 240, rules: tuple[Alert, ...] = (QUIET,)) -> PerFrame:
    """Run all stations on ``turns`` x ``frames`` frames. It takes about half a minute."""
    keep_memory_flat()  # as the service does
    source, from_gstreamer = _source()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        port = stack.enter_context(mosquitto(folder))
        line = stack.enter_context(_line(folder, port, rules))
        # Before the line begins: frames that it did not get would be a gap in every record.
        copied = [source().image.copy() for _ in range(PICTURES)]
        for _ in range(LEARNING):
            line.carry(source)
        return PerFrame(
            turns=tuple(_turn(line, source, frames, copied) for _ in range(turns)),
            frames=frames,
            published=port is not None,
            from_gstreamer=from_gstreamer,
            processor=processor(),
        )


def _turn(
    line: "Line", source: Callable[[], Frame], frames: int, copied: list[NDArray[np.uint8]]
) -> Turn:
    copy_ms = _copy_ms(copied)
    line.spent_ns.clear()
    all_ns, own_ns = time.process_time_ns(), time.thread_time_ns()
    for _ in range(frames):
        line.carry(source)
    while line.evidence.pictures.waiting(Shot):
        time.sleep(0.005)
    all_ns, own_ns = time.process_time_ns() - all_ns, time.thread_time_ns() - own_ns
    spent = dict(line.spent_ns)
    inside_ns = spent["displacement"] + spent["look of the picture"]
    spent["vibration and rules"] = spent.pop("measurement") - inside_ns
    spent["other threads: evidence, publisher"] = all_ns - own_ns
    spent["between"] = own_ns - sum(spent.values()) + spent["other threads: evidence, publisher"]
    return Turn({name: ns / 1e6 / frames for name, ns in spent.items()}, copy_ms)


def _copy_ms(pictures: list[NDArray[np.uint8]]) -> float:
    """Of pictures that no cache holds, as those from a camera; the median of one copy of each."""
    targets, took_ms = [np.zeros_like(pictures[0]) for _ in range(8)], []
    for number, picture in enumerate(pictures):
        begun_ns = time.thread_time_ns()
        np.copyto(targets[number % len(targets)], picture)
        took_ms.append((time.thread_time_ns() - begun_ns) / 1e6)
    return median(took_ms)


class Line:
    """The daemon's stations in one thread, evidence and publisher in theirs."""

    def __init__(self, config: Config, publisher: Publisher) -> None:
        stay_in_thread()
        self.spent_ns: defaultdict[str, int] = defaultdict(int)
        self.evidence = EvidenceRecorder(config)
        self._measurement = Measurement(config)
        self._telling = Telling(config.alerts, publisher=publisher, evidence=self.evidence)
        self._to_measure: queue.Queue[Frame] = queue.Queue(32)
        self._to_magnify, self._arrived = Newest(), Latency()
        self._magnification = config.magnification
        meter, health = self._measurement._meter, self._measurement.health
        setattr(meter, "measure", self._timed("displacement", meter.measure))  # noqa: B010
        setattr(health, "look", self._timed("look of the picture", health.look))  # noqa: B010
        self._measure = self._timed("measurement", self._measurement.process)
        self._tell = self._timed("telling", self._telling.tell)
        self._hand_over = self._timed("hand-over", self._handed_over)

    def carry(self, source: Callable[[], Frame]) -> None:
        """One frame, from the camera's buffer to the network's."""
        frame = self._hand_over(self._timed("taking the camera's buffer", source)())
        self._tell(self._measure(frame), self._measurement)
        while self.evidence.pictures.waiting(Shot) > 4:  # its thread is behind: it must lose none
            time.sleep(0.001)

    def _handed_over(self, frame: Frame) -> Frame:
        self._arrived.add(time.monotonic_ns() - frame.t_capture_ns)
        self.evidence.see(frame)
        self._to_magnify.put(frame)
        # What the network would give: evidence keeps it beside the raw picture.
        self.evidence.see_magnified(Magnified(frame, frame.image, self._magnification))
        self._to_measure.put_nowait(frame)
        return self._to_measure.get()

    def _timed(self, name: str, station: Callable[..., T]) -> Callable[..., T]:
        def timed(*args: Any) -> T:
            begun_ns = time.thread_time_ns()
            result = station(*args)
            self.spent_ns[name] += time.thread_time_ns() - begun_ns
            return result

        return timed


@contextmanager
def _line(folder: Path, port: int | None, rules: tuple[Alert, ...]) -> Iterator[Line]:
    regions = tuple(
        Region(
            name=f"r{place}", x=48 + 480 * column, y=48 + 270 * row, width=SIDE_PX, height=SIDE_PX
        )
        for place, (row, column) in enumerate(np.ndindex(4, REGIONS // 4))
    )
    config = Config(
        camera=Camera(source="gst: a benchmark's", rate_hz=RATE_HZ),
        regions=regions,
        alerts=rules,
        storage=Storage(directory=folder),
        mqtt=Mqtt(host="127.0.0.1", port=port or 1),
    )
    with ExitStack() as stack:
        outbox = Outbox(folder / "outbox.sqlite")
        stack.callback(outbox.close)
        state = State(state="online", version="benchmark", source="benchmark")
        publisher = Publisher(config.mqtt, name=config.name, outbox=outbox, state=state)
        publisher.start()
        stack.callback(publisher.close, 1.0)
        line = Line(config, publisher)
        line.evidence.start()
        stack.callback(line.evidence.close)
        until_s = time.monotonic() + 10
        while port is not None and not publisher.counts().connected and time.monotonic() < until_s:
            time.sleep(0.05)
        yield line


class _Film(BaseSource):
    """Gives its pictures out of buffers, as GStreamer's converter does behind a camera."""

    def __init__(self, take: Callable[[int], NDArray[np.uint8]]) -> None:
        # A mask, as a camera at a road has one.
        super().__init__("film", mask=(Rectangle(x=0, y=0, width=400, height=40),))
        self._take = take
        self._random = np.random.default_rng(5)

    def __call__(self) -> Frame:
        noise = int(self._random.integers(NOISES))
        image = self._take(noise * PHASES + self._index % PHASES).reshape(HEIGHT, WIDTH, 3)
        return self._frame(round(self._index * 1e9 / RATE_HZ), image)

    def close(self) -> None:
        pass


def _source() -> tuple[_Film, bool]:
    x_px = np.tile(sine(PHASES, RATE_HZ, RATE_HZ / PHASES, 0.3), NOISES)
    # Its JPEGs are as large as those of the finest texture that evidence.ring reckons with.
    scene = Scene(WIDTH, HEIGHT, finest_px=10.0)
    pictures = [frame.image for frame in render(scene, x_px, 0.5 * x_px, rate_hz=RATE_HZ)]
    try:
        import gi

        gi.require_version("Gst", "1.0")
        from gi.repository import Gst
    except (ImportError, ValueError):
        return _Film(lambda number: pictures[number].copy()), False
    from runtime.camera.gst_buffer import Memory, bytes_of

    Gst.init(None)
    pool = Gst.BufferPool.new()
    settings = pool.get_config()
    Gst.BufferPool.config_set_params(settings, None, pictures[0].nbytes, 0, 0)
    pool.set_config(settings)
    pool.set_active(True)
    buffers = [pool.acquire_buffer(None)[1] for _ in pictures]
    for buffer, picture in zip(buffers, pictures, strict=True):
        buffer.fill(0, picture.tobytes())
    memory = Memory()
    return _Film(lambda number: bytes_of(buffers[number], memory)), True


def main() -> None:
    """Print every station's share, and say whether the marks hold."""
    found = measure()
    print(
        f"{WIDTH}x{HEIGHT}, {REGIONS} regions of {SIDE_PX}x{SIDE_PX} px, {RATE_HZ:g} Hz; processor time "
        f"a frame, medians of {len(found.turns)} turns of {found.frames} frames; {found.processor}"
    )
    for name, took_ms in sorted(found.stations_ms.items(), key=lambda item: -item[1]):
        print(f"  {took_ms:6.3f} ms  {name}")
    print(f"  {found.total_ms:6.3f} ms  all (at most {MOST_MS:g})")
    print(f"  {found.copy_ms:6.3f} ms  one copy of the picture")
    print(
        f"  {found.copies:6.2f}     copies of the picture take as long as all (at most {MOST_COPIES:g})"
    )
    if not found.published:
        print("  telemetry was made and dropped: install Debian's mosquitto to have it published")
    if not found.from_gstreamer:
        print("  frames did not come out of GStreamer's buffers, which is not installed")
    faster = measure(rules=(QUIET, VELOCITY))
    print(f"  {faster.total_ms:6.3f} ms  all, with a rule on peak particle velocity besides")
    sys.exit(0 if found.holds else "the marks do not hold")


if __name__ == "__main__":
    main()
