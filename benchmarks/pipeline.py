"""``python -m benchmarks.pipeline``: does the pipeline keep up? Every part in one run, one after the other.

Frames a second that are magnified, what a frame costs besides the network, how time and memory grow, from a
motion to its MQTT message, four cameras at once. Writes ``RESULTS.md`` and its plots beside this file, and
ends with 1 where a mark is missed.
"""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from atomic_file import replaced
from benchmarks import four_cameras, growth, latency, magnification_rate, per_frame
from benchmarks.pipeline_page import DELAYS, GROWTH, RATES, Results, marks, page
from benchmarks.pipeline_plots import write_delays, write_growth, write_rates
from benchmarks.verdicts import Mark
from failure import Failure

FOLDER = Path(__file__).parent
PAGE = "RESULTS.md"

T = TypeVar("T")


def measured() -> Results:
    """Every part, with a line that says which. Raises Failure where something is not installed."""
    begun_s, load = time.monotonic(), os.getloadavg()[0]
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as bar:
        task = bar.add_task("magnified frames a second", total=None)
        rates = magnification_rate.measure()
        bar.update(task, description="everything but the network")
        cost = _in_a_process_of_its_own(per_frame.measure)
        bar.update(task, description="growth")
        grown, length = growth.measure()
        delays = []
        for rate_hz in latency.RATES_HZ:
            bar.update(task, description=f"from motion to message, {rate_hz} Hz")
            delays.append(latency.measure(rate_hz))
        bar.update(task, description="four cameras")
        at_once = four_cameras.measure()
    minutes = (time.monotonic() - begun_s) / 60
    return Results(rates, cost, grown, length, delays, at_once, load, minutes)


def _in_a_process_of_its_own(measure: Callable[[], T]) -> T:
    """As a daemon is: the threads and the memory of the engines before would be in its figures."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure).result()


def write(results: Results, folder: Path) -> list[Mark]:
    """The page and its plots; returns the marks that are missed."""
    write_rates(folder / RATES, results.rates)
    write_delays(folder / DELAYS, results.delays, results.engine_ms)
    write_growth(folder / GROWTH, results.grown, results.length)
    with replaced(folder / PAGE) as scratch:
        scratch.write_text("\n".join(page(results)).rstrip() + "\n", encoding="utf-8")
    return [mark for mark in marks(results) if not mark.holds]


def main() -> None:
    """Measure every part and write RESULTS.md with its plots."""
    try:
        results = measured()
    except Failure as failure:
        typer.echo(str(failure), err=True)
        sys.exit(1)
    missed = write(results, FOLDER)
    typer.echo(f"wrote {PAGE}, {RATES}, {DELAYS} and {GROWTH}")
    for mark in missed:
        typer.echo(f"missed: {mark.what}: {mark.found} ({mark.wanted})", err=True)
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
