"""``python -m benchmarks.marks``: every mark of the measurement, in one run, beside pyidi's Lucas-Kanade.

Renders clips whose motion is known exactly, measures them with the daemon's own stations and with pyidi on
the same windows, and writes ``MARKS.md`` and ``marks.png`` beside this file. Speed is timed first and
alone; the rest uses all cores, one thread each. ``--quick`` takes a small part of everything.
"""

import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from atomic_file import replaced
from benchmarks import accuracy, accuracy_page, alarms, shaken, speed, vibration
from benchmarks.accuracy_plot import write_plot
from benchmarks.lucas_kanade import demand_pyidi
from benchmarks.verdicts import row
from failure import Failure
from machine import processor

PAGE = Path(__file__).with_name("MARKS.md")
PLOT = Path(__file__).with_name("marks.png")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SEEDS_TOGETHER = 10


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is done."""

    quick: bool

    @property
    def runs(self) -> int:
        return 3 if self.quick else 5

    @property
    def quiet_s(self) -> float:
        return 180.0 if self.quick else 1800.0

    @property
    def seeds(self) -> int:
        return 10 if self.quick else 100

    @property
    def shaken_seeds(self) -> int:
        return 1 if self.quick else 4

    @property
    def strong_seeds(self) -> int:
        return 10 if self.quick else 20


@dataclass(slots=True)
class Results:
    """What came out of the parallel part."""

    outcomes: list[accuracy.Outcome] = field(default_factory=list)
    peaks: dict[float, dict[str, vibration.Floats]] = field(default_factory=dict)
    faint: dict[tuple[float, float], vibration.Floats] = field(default_factory=dict)
    frequencies: dict[str, vibration.Floats] = field(default_factory=dict)
    dampings: list[str] = field(default_factory=list)
    quiet: list[alarms.Quiet] = field(default_factory=list)
    steadied: list[shaken.Steadied] = field(default_factory=list)
    weak: list[alarms.Found] = field(default_factory=list)
    strong: list[alarms.Found] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Job:
    """Work for another process, what is done with its result here, and its share of the time."""

    work: Callable[[], Any]
    keep: Callable[[Any], object]
    weight: float


def jobs(extent: Extent, results: Results) -> Iterator[Job]:
    """The longest first, so that no core is left with it at the end."""
    yield Job(partial(alarms.quiet, extent.quiet_s), results.quiet.append, 250 * extent.quiet_s)
    for snr in vibration.SNRS:
        yield Job(partial(vibration.peaks, snr), partial(results.peaks.__setitem__, snr), 4000)
    yield Job(vibration.faint, results.faint.update, 4000)
    yield Job(vibration.frequencies, results.frequencies.update, 8000)
    yield Job(vibration.damping_rows, results.dampings.extend, 8000)
    for references, seed in product(shaken.REFERENCE_COUNTS, range(extent.shaken_seeds)):
        yield Job(partial(shaken.steadied, references, seed), results.steadied.append, 6000)
    # Their order decides the order of rows.
    for clip in accuracy.clips(extent.quick):
        weight = clip.frames * (1 + 1.5 * len(clip.crfs))
        yield Job(partial(accuracy.measured, clip), results.outcomes.extend, weight)
    for found, amplitude_px, count in (
        (results.weak, alarms.BURST_PX, extent.seeds),
        (results.strong, alarms.STRONG_PX, extent.strong_seeds),
    ):
        for first in range(0, count, SEEDS_TOGETHER):
            seeds = range(first, first + SEEDS_TOGETHER)
            yield Job(partial(alarms.bursts, seeds, amplitude_px), found.extend, 3000)


def run(extent: Extent) -> tuple[speed.Speed, tuple[float, float], Results]:
    """Everything, with a progress bar: speed, the cost of vibration (ms), and the rest."""
    for name in THREADS:
        os.environ[name] = "1"  # before the processes start, which read it once
    results = Results()
    waiting = list(jobs(extent, results))
    with (
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        ) as bar,
        ProcessPoolExecutor(
            mp_context=multiprocessing.get_context("spawn"),
            initializer=cv2.setNumThreads,
            initargs=(1,),
        ) as pool,
    ):
        task = bar.add_task("timing, alone", total=None)
        timed = pool.submit(speed.measured, extent.runs).result()
        costs_ms = pool.submit(vibration.costs).result()
        bar.update(task, description="measuring", total=round(sum(job.weight for job in waiting)))
        futures: dict[Future[Any], Job] = {pool.submit(job.work): job for job in waiting}
        try:
            for future in as_completed(futures):
                future.result()
                bar.advance(task, round(futures[future].weight))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for future, job in futures.items():
        job.keep(future.result())
    return timed, costs_ms, results


def page(
    extent: Extent,
    timed: speed.Speed,
    costs_ms: tuple[float, float],
    results: Results,
    took_s: float,
) -> Iterator[str]:
    marks = [
        *accuracy_page.marks(results.outcomes),
        *vibration.marks(results.peaks[vibration.MARK_SNR], results.frequencies),
        *speed.marks(timed),
        *shaken.marks(results.steadied),
        *alarms.marks(results.quiet[0], results.weak, results.strong),
    ]
    yield "# Marks of the measurement\n"
    yield "Made by `python -m benchmarks.marks`; change that, not this file.\n"
    part = "**A quick run: a small part of everything.** " if extent.quick else ""
    yield (
        f"{part}{date.today().isoformat()}, {processor()}, Python {platform.python_version()}, numpy "
        f"{np.__version__}, OpenCV {cv2.__version__}, pyidi {version('pyidi')} with numba "
        f"{version('numba')}; {took_s / 60:.0f} minutes. Everything is rendered, so that its motion is "
        "known exactly; no figure is from a real camera or a Jetson.\n"
    )
    yield "| mark | wanted | found | |"
    yield "|---|---|---|---|"
    yield from map(row, marks)
    yield f"\n![Errors over motion and noise]({PLOT.name})\n"
    yield "## Displacement\n"
    yield from accuracy_page.section(results.outcomes)
    yield "## Camera shake\n"
    yield from shaken.section(results.steadied)
    yield "## Velocity, frequency and damping\n"
    yield from vibration.section(
        results.peaks, results.faint, results.frequencies, results.dampings, costs_ms
    )
    yield "## Alerts\n"
    yield from alarms.section(results.quiet[0], results.weak, results.strong)
    yield "## Speed\n"
    yield from speed.section(timed, extent.runs)


def main(
    quick: Annotated[
        bool, typer.Option(help="A small part of everything, in two minutes.")
    ] = False,
) -> None:
    """Measure every mark and write MARKS.md and marks.png."""
    try:
        demand_pyidi()
    except Failure as failure:
        typer.echo(str(failure), err=True)
        raise typer.Exit(1) from None
    extent = Extent(quick)
    begun_s = time.monotonic()
    timed, costs_ms, results = run(extent)
    text = "\n".join(page(extent, timed, costs_ms, results, time.monotonic() - begun_s))
    write_plot(PLOT, results.outcomes)
    with replaced(PAGE) as scratch:
        scratch.write_text(text.rstrip() + "\n")
    typer.echo(f"wrote {PAGE.name} and {PLOT.name}")


if __name__ == "__main__":
    typer.run(main)
