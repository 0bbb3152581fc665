"""An engine on trial: what it shows of golden pictures, and how fast."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from export import golden
from export.agreement import Agreement
from export.artifact import EngineSidecar
from runtime.engine import Engine
from runtime.engine.tensorrt import TensorRtEngine

LARGEST_GAIN_ERROR = 0.02
LARGEST_MEAN_DIFFERENCE = 1.0
"""Grey levels: more than eight bits cost, less than an eye sees."""
FEWEST_FRAMES = 3
"""That are timed, however slow an engine is."""
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long an engine is run first, so that clocks have risen, and for how many frames it is then
    timed; a slow one for fewer, until ``longest_s`` have passed."""

    warm_up_s: float = 3.0
    frames: int = 300
    longest_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians over ``frames``: from bytes to bytes, and by the GPU's clock where there is one."""

    frames: int
    frame_s: float
    computing_s: float | None = None
    copying_s: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one engine; differences are in grey levels from the pictures that it should show."""

    name: str
    precision: str
    description: str
    size_px: tuple[int, int]
    largest_difference: float
    mean_difference: float
    gain_error: float
    """By what share it adds too much motion."""
    speed: Speed
    plan: tuple[Path, EngineSidecar] | None = None
    """None for ONNX Runtime."""

    @property
    def holds(self) -> bool:
        """Whether it shows what it should."""
        return (
            abs(self.gain_error) <= LARGEST_GAIN_ERROR
            and self.mean_difference <= LARGEST_MEAN_DIFFERENCE
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Of an engine that could not be tried: the sentence that says why."""

    name: str
    sentence: str


def tried(
    engine: Engine,
    name: str,
    precision: str,
    pictures: tuple[list[Picture], list[Picture]],
    effort: Effort,
    plan: tuple[Path, EngineSidecar] | None = None,
) -> Verdict:
    """What ``engine`` shows of golden frames, against the pictures that they should become."""
    frames, expected = pictures
    agreement = Agreement()
    for number, (frame, right) in enumerate(zip(frames, expected, strict=True)):
        shown = _first(engine, frame) if number == 0 else _next(engine, frame)
        agreement.add(frame, right, shown)
    height_px, width_px = frames[0].shape[:2]
    return Verdict(
        name=name,
        precision=precision,
        description=engine.description,
        size_px=(width_px, height_px),
        largest_difference=agreement.largest_difference,
        mean_difference=agreement.mean_difference,
        gain_error=agreement.gain_error,
        speed=timed(engine, frames, effort),
        plan=plan,
    )


def timed(engine: Engine, frames: Sequence[Picture], effort: Effort) -> Speed:
    """How fast it shows the frames, over and over."""
    _first(engine, frames[0])
    warm_s = time.monotonic() + effort.warm_up_s
    while time.monotonic() < warm_s:
        _next(engine, frames[1])
    over_s = time.monotonic() + effort.longest_s
    taken_s: list[float] = []
    gpu = []
    while len(taken_s) < effort.frames:
        if len(taken_s) >= FEWEST_FRAMES and time.monotonic() > over_s:
            break
        begun_s = time.perf_counter()
        _next(engine, frames[len(taken_s) % len(frames)])
        taken_s.append(time.perf_counter() - begun_s)
        if isinstance(engine, TensorRtEngine):
            gpu.append(engine.frame_times())
    return Speed(
        frames=len(taken_s),
        frame_s=median(taken_s),
        computing_s=median(each.computing_s for each in gpu) if gpu else None,
        copying_s=median(each.copying_s for each in gpu) if gpu else None,
    )


def _first(engine: Engine, frame: Picture) -> Picture:
    engine.reset()
    return engine.step(frame, 1.0, (1.0, 1.0))


def _next(engine: Engine, frame: Picture) -> Picture:
    return engine.step(frame, golden.GAIN, golden.FOLLOW)
