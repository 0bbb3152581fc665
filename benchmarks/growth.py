"""How time and memory grow: with the number of regions, their size, the picture's size, the video's length.

Each amount is measured in a process of its own, which says the most memory that it held. The time of a frame is
processor time of all threads: one copy of the picture into the frame's memory, hand-over, evidence,
displacement, vibration, rules, telemetry; or, for the network, that of ONNX Runtime. It is the median of turns
after the windows are full.

An exponent is that of t = a + b n^p, with a >= 0 and b > 0, fitted by least squares to relative errors: what a
frame costs whatever n is (a) is no growth. Beside it stands the plain slope of log t over log n, which a
flattens.
"""

import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import av
import numpy as np
from scipy.optimize import least_squares

from benchmarks.clips import Floats, Scene, render, sine
from benchmarks.daemon_process import peak_mib
from benchmarks.film import Size, pictures, regions
from benchmarks.per_frame import QUIET, Line
from runtime.assembly import assembled
from runtime.config import Camera, Config, Magnification, Mqtt, Region, Storage
from runtime.delivery.outbox import Outbox
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.evidence.inbox import Shot
from runtime.frame import Frame
from runtime.messages import State
from runtime.mqtt.publisher import Publisher

RATE_HZ = 30
PHASES, NOISES = 6, 2
FULL_HD: Size = (1920, 1080)
REGION_COUNTS = (1, 2, 4, 8, 16, 32, 64)
REGION_SIDES_PX = (32, 48, 64, 96, 128, 192)
PICTURES_PX: tuple[Size, ...] = (
    (640, 360), (960, 540), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160),
)  # fmt: skip
NETWORK_PX: tuple[Size, ...] = ((256, 144), (384, 216), (512, 288), (640, 360), (960, 540))
LENGTHS_S = (40, 80, 160, 240)
"""From where every window and ring is full."""
LENGTH_PX: Size = (640, 360)
MOST_EXPONENT = 1.1
MOST_MEMORY = 1.05
"""Of the longest video's peak over that of the shortest."""


@dataclass(frozen=True, slots=True)
class Point:
    """What one amount took."""

    amount: float
    ms: float
    """A frame."""
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Growth:
    """One thing grows, all else stays."""

    of: str
    unit: str
    fixed: str
    points: tuple[Point, ...]

    @property
    def slope(self) -> float:
        """Of log time over log amount."""
        amounts, ms = self._columns()
        return float(np.polyfit(np.log(amounts), np.log(ms), 1)[0])

    @property
    def fit(self) -> tuple[float, float, float]:
        """a (ms), b (ms at amount 1) and p of a + b n^p."""
        amounts, ms = self._columns()
        relative = amounts / amounts.max()

        def errors(parameters: Floats, /) -> Floats:
            a, log_b, p = parameters
            return np.asarray((a + np.exp(log_b) * relative**p) / ms - 1)

        start = (ms.min() / 2, math.log(ms.max()), 1.0)
        bounds = ([0.0, -np.inf, 0.05], [float(ms.min()), np.inf, 4.0])
        a, log_b, p = least_squares(errors, start, bounds=bounds, x_scale=(ms.min(), 1, 1)).x
        return float(a), float(np.exp(log_b) / amounts.max() ** p), float(p)

    @property
    def off_the_line(self) -> float:
        """The largest share by which a point lies off the best a + b n."""
        amounts, ms = self._columns()
        table = np.stack([1 / ms, amounts / ms], axis=1)
        line = np.linalg.lstsq(table, np.ones_like(ms))[0]
        return float(np.abs(table @ line - 1).max())

    def _columns(self) -> tuple[Floats, Floats]:
        return (
            np.array([point.amount for point in self.points]),
            np.array([point.ms for point in self.points]),
        )


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is done."""

    region_counts: Sequence[int] = REGION_COUNTS
    region_sides_px: Sequence[int] = REGION_SIDES_PX
    pictures_px: Sequence[Size] = PICTURES_PX
    network_px: Sequence[Size] = NETWORK_PX
    lengths_s: Sequence[int] = LENGTHS_S
    base_px: Size = FULL_HD
    learning: int = 320
    """Frames that fill the window of the spectrum, ten seconds."""
    turns: int = 5
    frames: int = 60
    """Of each turn."""


def measure(extent: Extent | None = None) -> tuple[list[Growth], Growth]:
    """What grows with regions and pixels, whose time is judged; and with length, whose memory is."""
    extent = extent or Extent()
    with TemporaryDirectory() as place:
        folder = Path(place)
        moved_px = tuple(sine(PHASES, RATE_HZ, RATE_HZ / PHASES, 0.3))
        for size_px in sorted({*extent.pictures_px, extent.base_px}):
            pictures(folder / _name(size_px), size_px, moved_px, noises=NOISES)
        few = partial(regions, 8)

        def frame(size_px: Size, watched: tuple[Region, ...]) -> tuple[float, float]:
            return alone(partial(_of_line, folder, size_px, watched, extent))

        base_px, base = extent.base_px, _name(extent.base_px)
        grown = [
            Growth(
                "number of regions",
                "regions",
                f"{base}, regions of 64x64 px",
                tuple(
                    Point(number, *frame(base_px, regions(number, 64, base_px)))
                    for number in extent.region_counts
                ),
            ),
            Growth(
                "pixels of each region",
                "px",
                f"{base}, 8 regions",
                tuple(
                    Point(side_px**2, *frame(base_px, few(side_px, base_px)))
                    for side_px in extent.region_sides_px
                ),
            ),
            Growth(
                "pixels of the picture",
                "px",
                "8 regions of 48x48 px, no network",
                tuple(
                    Point(size_px[0] * size_px[1], *frame(size_px, few(48, size_px)))
                    for size_px in extent.pictures_px
                ),
            ),
            Growth(
                "pixels of the magnified picture",
                "px",
                "the network alone",
                tuple(
                    Point(size_px[0] * size_px[1], *alone(partial(_of_network, size_px, extent)))
                    for size_px in extent.network_px
                ),
            ),
        ]
        length = Growth(
            "length of the video",
            "s",
            f"{_name(LENGTH_PX)}, 4 regions, MJPEG, evidence kept, no network",
            tuple(
                Point(seconds, *alone(partial(_of_video, folder, seconds)))
                for seconds in extent.lengths_s
            ),
        )
        return grown, length


def alone(work: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """``work`` in a process of its own: milliseconds a frame, and its peak memory (MiB)."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work).result()


def _name(size_px: Size) -> str:
    return f"{size_px[0]}x{size_px[1]}"


def _of_line(
    folder: Path, size_px: Size, watched: tuple[Region, ...], extent: Extent
) -> tuple[float, float]:
    """The daemon's stations on frames as fast as they are measured, at times 1/30 s apart."""
    files = [folder / _name(size_px) / f"{number}.bgr" for number in range(PHASES * NOISES)]
    numbers = count()

    def source() -> Frame:
        number = next(numbers)
        # The one copy that a camera's buffer costs: out of the page cache.
        image = np.fromfile(files[number % len(files)], np.uint8).reshape(*size_px[::-1], 3)
        image.setflags(write=False)
        return Frame(number, round(number * 1e9 / RATE_HZ), image)

    with TemporaryDirectory() as place:
        config = Config(
            camera=Camera(source="gst: a benchmark's"),
            regions=watched,
            alerts=(QUIET,),
            storage=Storage(directory=Path(place)),
        )
        outbox = Outbox(Path(place) / "outbox.sqlite")
        state = State(state="online", version="benchmark", source="benchmark")
        # Never started: telemetry is made and dropped.
        publisher = Publisher(config.mqtt, name=config.name, outbox=outbox, state=state)
        line = Line(config, publisher)
        line.evidence.start()
        for _ in range(extent.learning):
            line.carry(source)
        taken_ms = []
        for _ in range(extent.turns):
            begun_s = time.process_time()
            for _ in range(extent.frames):
                line.carry(source)
            while line.evidence.pictures.waiting(Shot):
                time.sleep(0.005)
            taken_ms.append(1e3 * (time.process_time() - begun_s) / extent.frames)
        line.evidence.close()
        outbox.close()
    return median(taken_ms), peak_mib()


def _of_network(size_px: Size, extent: Extent) -> tuple[float, float]:
    engine = OnnxRuntimeEngine(SHIPPED)
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (*size_px[::-1], 3), dtype=np.uint8)
    taken_ms = []
    for _ in range(extent.turns + 1):
        begun_s = time.process_time()
        engine.step(image, 20.0, (1.0, 0.05))
        taken_ms.append(1e3 * (time.process_time() - begun_s))
    return median(taken_ms[1:]), peak_mib()


def _of_video(folder: Path, seconds: int) -> tuple[float, float]:
    """The whole daemon on a file that it plays as fast as it can."""
    path = _video(folder / f"{seconds}.mkv", seconds)
    with TemporaryDirectory() as place:
        config = Config(
            camera=Camera(source=str(path), real_time=False),
            regions=regions(4, 64, LENGTH_PX),
            alerts=(QUIET,),
            magnification=Magnification(enabled=False),
            mqtt=Mqtt(enabled=False),
            storage=Storage(directory=Path(place)),
        )
        with assembled(config) as daemon:
            begun_s = time.process_time()
            daemon.run()
            took_s = time.process_time() - begun_s
        return 1e3 * took_s / daemon.counters.measured, peak_mib()


def _video(path: Path, seconds: int) -> Path:
    """A sway of a fifth of a second, encoded once and repeated: every picture of MJPEG stands alone."""
    moved_px = np.tile(sine(PHASES, RATE_HZ, RATE_HZ / PHASES, 0.3), NOISES)
    width_px, height_px = LENGTH_PX
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuvj444p"
        encoded = [
            packet
            for frame in render(Scene(width_px, height_px), moved_px, np.zeros_like(moved_px))
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame.image, format="bgr24"))
        ]
        encoded += stream.encode()
        for number in range(seconds * RATE_HZ):
            packet = av.Packet(bytes(encoded[number % len(encoded)]))
            packet.stream, packet.time_base = (
                stream,
                stream.time_base or stream.codec_context.time_base,
            )
            packet.pts = packet.dts = round(number / RATE_HZ / packet.time_base)
            packet.is_keyframe = True
            container.mux(packet)
    return path
