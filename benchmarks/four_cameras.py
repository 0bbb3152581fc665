"""Four cameras at once: four daemons in four processes, each on a GStreamer camera of its own.

The largest of ``SIZES_PX`` at which no frame is lost without magnification; then the same with it.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.clips import sine
from benchmarks.daemon_process import Reading, running
from benchmarks.film import Size, camera, pictures, regions
from benchmarks.latency import AREA
from benchmarks.mosquitto import mosquitto
from runtime.config import Alert, Camera, Config, Magnification, Mqtt, Storage

CAMERAS = 4
RATE_HZ = 30
SIZES_PX: tuple[Size, ...] = ((1920, 1080), (1280, 720), (640, 360))
REGIONS, SIDE_PX = 16, 48
WARMING_S = 12.0
"""The window of the spectrum is full then."""
PHASES, NOISES = 6, 2
QUIET = Alert(name="vibration", quantity="signal_to_noise", raise_above=1e6)
"""The default rule, at a threshold that is never reached: an alert would write a clip."""


@dataclass(frozen=True, slots=True)
class OneCamera:
    """What one daemon did while all ran."""

    camera_hz: float
    measured_hz: float
    lost: int
    """Frames that the camera had and the daemon never saw, by the gaps in their times."""
    not_measured: int
    magnified_hz: float
    cores: float
    """Processor time over time, what stands in for the camera included."""
    judged_p99_ms: float
    """From capture to the rules' judgement, of the newest."""

    @property
    def missed(self) -> int:
        return self.lost + self.not_measured


@dataclass(frozen=True, slots=True)
class AtOnce:
    """All cameras, with or without magnification."""

    size_px: Size
    seconds: float
    magnified: bool
    cameras: tuple[OneCamera, ...]

    @property
    def missed(self) -> int:
        return sum(one.missed for one in self.cameras)


def measure(
    *, seconds: float = 20.0, sizes_px: tuple[Size, ...] = SIZES_PX, warming_s: float = WARMING_S
) -> tuple[AtOnce, ...]:
    """Every size that was tried without magnification, and the last of them with it."""
    tried = []
    for size_px in sizes_px:
        tried.append(_at_once(size_px, seconds, warming_s, magnified=False))
        if tried[-1].missed == 0:
            break
    return (*tried, _at_once(tried[-1].size_px, seconds, warming_s, magnified=True))


def _at_once(size_px: Size, seconds: float, warming_s: float, *, magnified: bool) -> AtOnce:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        moved_px = sine(PHASES, RATE_HZ, RATE_HZ / PHASES, 0.3)
        files = pictures(folder / "pictures", size_px, tuple(moved_px), noises=NOISES)
        # Longer than all daemons together take to start.
        count = round(RATE_HZ * (warming_s + seconds + 60))
        frames = [files[number % len(files)] for number in range(count)]
        port = stack.enter_context(mosquitto(folder))
        daemons = []
        for number in range(CAMERAS):
            whole = size_px[0] < AREA.x + AREA.width or size_px[1] < AREA.y + AREA.height
            config = Config(
                name=f"camera{number}",
                camera=Camera(source=camera(folder / f"film{number}", frames, size_px, RATE_HZ)),
                regions=regions(REGIONS, SIDE_PX, size_px),
                alerts=(QUIET,),
                magnification=Magnification(enabled=magnified, area=None if whole else AREA),
                mqtt=Mqtt(enabled=port is not None, host="127.0.0.1", port=port or 1883),
                storage=Storage(directory=folder),
            )
            daemons.append(stack.enter_context(running(config)))
        time.sleep(warming_s)
        before = [daemon.reading() for daemon in daemons]
        time.sleep(seconds)
        after = [daemon.reading() for daemon in daemons]
        return AtOnce(size_px, seconds, magnified, tuple(map(_between, before, after)))


def _between(before: Reading, after: Reading) -> OneCamera:
    took_s = (after.t_ns - before.t_ns) / 1e9
    was, now = before.snapshot, after.snapshot
    judged = now.latencies.judged
    return OneCamera(
        camera_hz=(now.frames.captured - was.frames.captured) / took_s,
        measured_hz=(now.frames.measured - was.frames.measured) / took_s,
        lost=now.camera.lost - was.camera.lost,
        not_measured=now.frames.not_measured - was.frames.not_measured,
        magnified_hz=(now.frames.magnified - was.frames.magnified) / took_s,
        cores=(after.cpu_s - before.cpu_s) / took_s,
        judged_p99_ms=float("nan") if judged is None else judged.p99_ms,
    )
