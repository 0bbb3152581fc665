"""``python -m benchmarks.faults``: what becomes of alerts when things go wrong, counted.

Every fault is made some hundred times with a real Mosquitto, the real publisher and its outbox; chance comes
from a seed. It writes ``RESULTS.md`` and ``faults.png`` beside this file, and ends with 1 when a promise was
not kept. Network partitions and file systems that fill up or break need root.
"""

import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.faults import page
from benchmarks.faults.broker import Broker
from benchmarks.faults.campaign import Plan, rows_of
from benchmarks.faults.tally import Row
from failure import Failure

FAULTS = (
    "replay",
    "broker_killed",
    "partition",
    "half_open",
    "daemon_killed",
    "disk",
    "denied",
    "slow_consumer",
    "clock",
    "damaged_file",
    "commands",
    "configurations",
    "security",
)
"""One module each; the longest first."""


def run(
    trials: Annotated[int, typer.Option(min=1, help="Of each fault.")] = 200,
    seed: Annotated[int, typer.Option(help="Of everything that is left to chance.")] = 1,
    only: Annotated[
        str | None, typer.Option(help=f"One fault, and no results written: {', '.join(FAULTS)}.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Faults at a time, a process each.")] = 2,
) -> None:
    """Make every fault, count, and say whether all promises were kept."""
    if only is not None and only not in FAULTS:
        raise typer.BadParameter(f"known are: {', '.join(FAULTS)}")
    began, load = time.monotonic(), page.load()
    rows = all_rows(FAULTS if only is None else (only,), trials, seed, jobs)
    for row in rows:
        typer.echo(page.line(row))
    if only is None:
        page.write(
            rows,
            trials=trials,
            seed=seed,
            jobs=jobs,
            took_s=time.monotonic() - began,
            load=load,
        )
        typer.echo(f"results: {page.PAGE}, {page.PLOT}")
    if not all(row.holds for row in rows if row.must_hold):
        raise typer.Exit(1)


def all_rows(faults: Sequence[str], trials: int, seed: int, jobs: int) -> list[Row]:
    """Of these faults, in their order; one that ends with an exception has a row that tells it."""
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        Broker(Path(folder))  # whether there is one at all
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            running = {
                pool.submit(rows_of, name, Plan(trials, seed, Path(folder) / name)): name
                for name in faults
            }
            for done in as_completed(running):
                name = running[done]
                try:
                    found[name] = done.result()
                except Exception as error:
                    found[name] = [Row(name, complaints=Counter([f"did not run: {error!r}"]))]
                typer.echo(f"{name}: done", err=True)
    return [row for name in faults for row in found[name]]


if __name__ == "__main__":
    try:
        typer.run(run)
    except Failure as failure:
        typer.echo(f"benchmarks.faults: {failure}", err=True)
        raise SystemExit(1) from None
