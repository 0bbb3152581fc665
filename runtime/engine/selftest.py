"""``tremorscope selftest``: the engines on this device against what torch made, and their speed.

The shipped graph in ONNX Runtime is held against golden pictures that torch made of it on a
workstation; each engine that was built here, against the shipped graph at the engine's size.
"""

import platform
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from export import golden
from export.agreement import Agreement
from export.artifact import checked_engine
from machine import processor
from runtime.engine import Engine
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.engine.tensorrt import TensorRtEngine

FRAMES = 12
"""That are compared and timed, of every engine."""
LARGEST_GAIN_ERROR = 0.02
LARGEST_MEAN_DIFFERENCE = 1.0
"""Grey levels: more than eight bits cost, less than an eye sees."""
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Line:
    """Of one engine; differences are in grey levels from the pictures that it should show."""

    engine: str
    size_px: tuple[int, int]
    largest_difference: float
    mean_difference: float
    gain_error: float
    """By what share it adds too much motion."""
    frame_s: float

    @property
    def holds(self) -> bool:
        """Whether it shows what it should."""
        return (
            abs(self.gain_error) <= LARGEST_GAIN_ERROR
            and self.mean_difference <= LARGEST_MEAN_DIFFERENCE
        )


def selftest(engines: Path | None, console: Console) -> bool:
    """Print a table to paste into a report; False when an engine does not show what it should.

    Raises Failure for an engine that cannot be loaded.
    """
    lines = golden_lines()
    plans = [plan.absolute() for plan in sorted(engines.glob("*.engine"))] if engines else []
    # A build keeps the plan under a name of its own, and the engine's name is a link to it.
    linked = {plan.resolve() for plan in plans if plan.is_symlink()}
    for plan in plans:
        if plan not in linked:
            lines += engine_lines(plan)
    machine = f"{platform.machine()}, {processor()}, ONNX Runtime {onnxruntime.__version__}"
    table = Table("engine", "size", "largest", "mean", "gain", "frames/s", "", title=machine)
    for line in lines:
        table.add_row(
            line.engine,
            "x".join(map(str, line.size_px)),
            f"{line.largest_difference:.0f}",
            f"{line.mean_difference:.3f}",
            f"{line.gain_error:+.2%}",
            f"{1 / line.frame_s:.1f}",
            "holds" if line.holds else "DIFFERS",
        )
    console.print(table)
    console.print(
        "largest, mean: grey levels from the right picture; gain: motion too much or little"
    )
    for size_px in sorted({line.size_px for line in lines[1:]}):
        console.print(advice(size_px, lines[1:]))
    return all(line.holds for line in lines)


def advice(size_px: tuple[int, int], lines: Sequence[Line]) -> str:
    """Which engine to use for pictures of this size: the fastest that shows what it should."""
    width_px, height_px = size_px
    holding = [line for line in lines if line.size_px == size_px and line.holds]
    if not holding:
        return f"{width_px}x{height_px}: no engine shows what it should; report this table"
    best = min(holding, key=lambda line: line.frame_s)
    return f"{width_px}x{height_px}: use {best.engine}"


def golden_lines() -> list[Line]:
    """The shipped graph against torch's pictures."""
    frames, expected = golden.load(golden.golden_path(SHIPPED))
    with closing(OnnxRuntimeEngine(SHIPPED)) as engine:
        return [line(engine, frames, expected)]


def engine_lines(plan: Path) -> list[Line]:
    """An engine, and the shipped graph at its size, which it is held against."""
    frames, _ = golden.load(golden.golden_path(SHIPPED))
    size_px = checked_engine(plan).size_px
    # Larger pictures of the same motion, over and over.
    sized = [_resized(frames[number % len(frames)], size_px) for number in range(FRAMES)]
    with closing(OnnxRuntimeEngine(SHIPPED)) as reference, closing(TensorRtEngine(plan)) as engine:
        expected, _ = _played(reference, sized)
        return [line(reference, sized, expected), line(engine, sized, expected)]


def _resized(frame: Picture, size_px: tuple[int, int]) -> Picture:
    larger = cv2.resize(frame, size_px, interpolation=cv2.INTER_CUBIC)
    return larger.astype(np.uint8, copy=False)


def line(engine: Engine, frames: list[Picture], expected: list[Picture]) -> Line:
    """What ``engine`` shows of ``frames``, held against what it should."""
    found, frame_s = _played(engine, frames)
    agreement = Agreement()
    for frame, right, shown in zip(frames, expected, found, strict=True):
        agreement.add(frame, right, shown)
    height_px, width_px = frames[0].shape[:2]
    return Line(
        engine=engine.description,
        size_px=(width_px, height_px),
        largest_difference=agreement.largest_difference,
        mean_difference=agreement.mean_difference,
        gain_error=agreement.gain_error,
        frame_s=frame_s,
    )


def _played(engine: Engine, frames: list[Picture]) -> tuple[list[Picture], float]:
    """What it shows of each frame, and the median of the seconds that it took."""
    engine.reset()
    shown = [engine.step(frames[0], 1.0, (1.0, 1.0))]
    taken_s = []
    for frame in frames[1:]:
        begun_s = time.perf_counter()
        shown.append(engine.step(frame, golden.GAIN, golden.FOLLOW))
        taken_s.append(time.perf_counter() - begun_s)
    return shown, median(taken_s)
