"""Point-frames a second of the measurement and of pyidi, on one core each, in one process by turns.

A part of ``python -m benchmarks.marks``.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.clips import Scene, render, sine
from benchmarks.floor import Floor, floor
from benchmarks.lucas_kanade import lucas_kanade
from benchmarks.verdicts import Mark
from runtime.config import Camera, Config, Region
from runtime.displacement import DisplacementMeter
from runtime.frame import Frame
from runtime.measurement import Measurement

WANTED_TIMES, WANTED_HZ = 50.0, 120.0
RATE_HZ, MOTION_HZ, MOTION_PX = 120.0, 3.37, 0.05
LEARNING = 80
"""Frames after which the reference is learned."""


@dataclass(frozen=True, slots=True)
class Case:
    """A grid of equal regions, and how many frames of it are measured."""

    columns: int
    rows: int
    side_px: int
    frames: int

    @property
    def points(self) -> int:
        return self.columns * self.rows

    def clip(self) -> tuple[list[Region], list[Frame]]:
        pitch_px = self.side_px + 8
        regions = [
            Region(
                name=f"r{column}-{row}",
                x=16 + column * pitch_px,
                y=16 + row * pitch_px,
                width=self.side_px,
                height=self.side_px,
            )
            for row in range(self.rows)
            for column in range(self.columns)
        ]
        scene = Scene(self.columns * pitch_px + 24, self.rows * pitch_px + 24)
        x_px = sine(self.frames, RATE_HZ, MOTION_HZ, MOTION_PX)
        return regions, list(render(scene, x_px, 0.5 * x_px, rate_hz=RATE_HZ))


CASES = (Case(5, 5, 35, 600), Case(8, 4, 65, 300), Case(20, 20, 35, 160))
STEADY = Case(8, 4, 64, 240)


@dataclass(frozen=True, slots=True)
class Race:
    """Processor time (s) of every run of one case, the measurement and pyidi by turns."""

    case: Case
    floor: Floor
    learning_s: tuple[float, ...]
    """Of the measurement's first LEARNING frames."""
    after_s: tuple[float, ...]
    """Of all its others."""
    peer_s: tuple[float, ...]
    """pyidi's, of the whole clip."""
    uncompiled_s: tuple[float, ...]
    """pyidi's without its compiled kernel."""

    @property
    def after_hz(self) -> float:
        """Point-frames a second once the reference is learned."""
        frames = self.case.frames - LEARNING
        return self.case.points * frames / float(np.median(self.after_s))

    @property
    def whole_hz(self) -> float:
        work = self.case.points * self.case.frames
        return work / float(np.median(np.add(self.learning_s, self.after_s)))

    @property
    def peer_hz(self) -> float:
        return self.case.points * self.case.frames / float(np.median(self.peer_s))

    @property
    def uncompiled_hz(self) -> float:
        return self.case.points * self.case.frames / float(np.median(self.uncompiled_s))

    @property
    def ratio(self) -> float:
        """Over pyidi, once the reference is learned; median over the runs."""
        return self._over(self.peer_s)

    @property
    def uncompiled_ratio(self) -> float:
        return self._over(self.uncompiled_s)

    @property
    def wanted_us(self) -> float:
        """What a window may take, for WANTED_TIMES pyidi's speed."""
        return 1e6 / self.peer_hz / WANTED_TIMES

    def _over(self, peer_s: tuple[float, ...]) -> float:
        share = 1 - LEARNING / self.case.frames
        return float(np.median(np.divide(peer_s, self.after_s))) * share


@dataclass(frozen=True, slots=True)
class Speed:
    races: tuple[Race, ...]
    displacement_hz: float
    """Frames a second once the reference is learned."""
    everything_hz: float
    """With velocity, spectra and alert rules."""


def measured(runs: int) -> Speed:
    """Time everything. Nothing else should run meanwhile."""
    races = tuple(_raced(case, runs) for case in CASES)
    regions, frames = STEADY.clip()
    config = Config(camera=Camera(source="clip"), regions=tuple(regions))
    hz = [
        (STEADY.frames - LEARNING) / _split_s(measure, frames)[1]
        for measure in (DisplacementMeter(regions).measure, Measurement(config).process)
    ]
    return Speed(races, *hz)


def _raced(case: Case, runs: int) -> Race:
    regions, frames = case.clip()
    grey = np.stack([frame.image[:, :, 0] for frame in frames])
    lucas_kanade(grey[:3], regions)  # compiles it
    rows = []
    for _ in range(runs):
        ours_s = _split_s(DisplacementMeter(regions).measure, frames)
        peers_s = [
            _processor_s(partial(lucas_kanade, grey, regions, compiled=compiled))
            for compiled in (True, False)
        ]
        rows.append((*ours_s, *peers_s))
    times_s = (tuple(column) for column in zip(*rows, strict=True))
    return Race(case, floor(regions, frames, LEARNING, runs), *times_s)


def _split_s(measure: Callable[[Frame], object], frames: Sequence[Frame]) -> tuple[float, float]:
    """Processor time (s) of the first LEARNING frames and of all others."""

    def through(part: Sequence[Frame]) -> None:
        for frame in part:
            measure(frame)

    return _processor_s(lambda: through(frames[:LEARNING])), _processor_s(
        lambda: through(frames[LEARNING:])
    )


def _processor_s(work: Callable[[], object]) -> float:
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s


def marks(speed: Speed) -> Iterator[Mark]:
    first = speed.races[0]
    told = ", ".join(
        f"{race.ratio:.1f} times with {race.case.points} windows of {race.case.side_px}x"
        f"{race.case.side_px} px"
        for race in speed.races
    )
    uncompiled = ", ".join(f"{race.uncompiled_ratio:.0f}" for race in speed.races)
    yield Mark(
        "point-frames a second over pyidi's, one core each",
        f"at least {WANTED_TIMES:g} times",
        f"{told}; {uncompiled} times pyidi without its compiled kernel",
        min(race.ratio for race in speed.races) >= WANTED_TIMES,
        f"pyidi 1.4 compiles its loop with numba: {WANTED_TIMES:g} times it leaves {first.wanted_us:.2f} µs "
        f"for a window of the first; all but what becomes of pixels takes {first.floor.rest_us:.2f} µs",
    )
    ratio = speed.displacement_hz / WANTED_HZ
    yield Mark(
        f"{STEADY.points} regions of {STEADY.side_px}x{STEADY.side_px} px on one core",
        f"{WANTED_HZ:g} frames a second, with time to spare",
        f"{speed.displacement_hz:.0f} frames a second, {ratio:.2f} times {WANTED_HZ:g}; "
        f"{speed.everything_hz:.0f} with vibration and alert rules, "
        f"{speed.everything_hz / WANTED_HZ:.2f} times",
        ratio > 1,
    )


def section(speed: Speed, runs: int) -> Iterator[str]:
    yield (
        f"Processor time on one thread, medians of {runs} runs by turns in one process. Both get decoded "
        "pictures in memory: the measurement blue-green-red ones as a camera hands them over, pyidi grey "
        f"ones, and with its compiled kernel. *after learning*: without the first {LEARNING} frames, in "
        "which the reference is learned; *whole clip*: with them. pyidi's figure is of the whole clip; "
        "its preparation takes no time.\n"
    )
    yield (
        "| windows | frames | after learning, point-frames a second | whole clip | pyidi | ratio "
        "| pyidi without numba | ratio |"
    )
    yield "|---|" + "---:|" * 7
    for race in speed.races:
        case = race.case
        yield (
            f"| {case.points} of {case.side_px}x{case.side_px} px | {case.frames} "
            f"| {race.after_hz:,.0f} | {race.whole_hz:,.0f} | {race.peer_hz:,.0f} | {race.ratio:.1f} "
            f"| {race.uncompiled_hz:,.0f} | {race.uncompiled_ratio:.0f} |"
        )
    yield ("\nWithout numba, which pip installs with it, pyidi falls back to numpy.\n")
    yield (
        "How fast could it be at best? Processor time for one window, µs. *wanted*: a "
        f"{WANTED_TIMES:g}th of pyidi's. *pixels, compiled*: a kernel compiled with numba that only cuts "
        "windows out, makes them grey, takes the template away, and adds up four products and the squares. "
        "*all else*: the measurement as it is, without what it does to pixels and without the least "
        "squares: standard errors, what is refused, results.\n"
    )
    yield "| windows | wanted | pixels, compiled | all else | both | the measurement |"
    yield "|---|" + "---:|" * 5
    for race in speed.races:
        case, least = race.case, race.floor
        yield (
            f"| {case.points} of {case.side_px}x{case.side_px} px | {race.wanted_us:.2f} "
            f"| {least.kernel_us:.2f} | {least.rest_us:.2f} | {least.whole_us:.2f} "
            f"| {1e6 / race.after_hz:.2f} |"
        )
    yield ""
    yield (
        f"{STEADY.points} regions of {STEADY.side_px}x{STEADY.side_px} px, after learning: "
        f"{speed.displacement_hz:.0f} frames a second of displacement alone, {speed.everything_hz:.0f} of "
        "all that the daemon's measuring thread does.\n"
    )
