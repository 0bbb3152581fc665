"""The results as a page and a picture."""

import os
import platform
import sqlite3
import subprocess
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from atomic_file import replaced
from benchmarks.faults.campaign import KEEPALIVE_S
from benchmarks.faults.tally import Row
from machine import processor

PAGE = Path(__file__).with_name("RESULTS.md")
PLOT = Path(__file__).with_name("faults.png")

_EXPLAINED = """\
- **created**: alerts that were raised. **stored**: those that the outbox had taken; delivery is promised for
  these. **accepted**: acknowledgements of the broker with success, repetitions too. **received**: different
  alerts that the consumer has. **lost**: stored and not received. **twice**: arrivals of an alert that had
  arrived already; it always has the same event id. **late**: first arrivals after one that was created later.
- Recovery is from the end of the fault until the broker has accepted every alert, or of a replay: from an
  alert's creation to its arrival.
- Keep-alive is {keepalive} s in all trials, and a broker that acknowledges nothing is left after 3 s: the
  daemon's 15 s and 30 s only make trials longer. Alerts that the broker refuses or nobody listens to are tried
  again after 0.5 s.
- The broker is a real Mosquitto with persistence and queues of `dashboards/mosquitto/mosquitto.conf`.
- Clock steps are of the process's time of day, not of the machine's or of the broker's.
"""


def line(row: Row) -> str:
    """A row for a terminal."""
    verdict = "kept" if row.holds else "NOT KEPT" if row.must_hold else "compare"
    if row.impossible is not None:
        return f"impossible {row.title}: {row.impossible}"
    told = "".join(f"\n    {count} x {what}" for what, count in row.complaints.items())
    return (
        f"{verdict:8} {row.title}: {row.trials} trials, {row.stored} stored, {row.received} received, "
        f"{row.lost} lost, {row.duplicated} twice, {row.out_of_order} late, "
        f"recovery {_seconds(row.recovery_s(50))}/{_seconds(row.recovery_s(99))}{told}"
    )


def load() -> float:
    """How many processes wanted a core in the last minute."""
    return os.getloadavg()[0]


def write(
    rows: Sequence[Row],
    *,
    trials: int,
    seed: int,
    jobs: int,
    took_s: float,
    load: float,
) -> None:
    """Write ``RESULTS.md`` and ``faults.png``."""
    marks = [row for row in rows if row.must_hold]
    kept = sum(row.holds for row in marks)
    text = [
        "# Faults, and what became of the alerts",
        "",
        f"**{kept} of {len(marks)} promises kept; {sum(row.lost for row in marks)} of "
        f"{sum(row.stored for row in marks):,} stored alerts lost, in {sum(row.trials for row in marks):,} "
        "trials.**",
        "",
        "![Alerts received and lost under each fault](faults.png)",
        "",
        "| Fault | Trials | Created | Stored | Accepted | Received | Lost | Twice | Late | "
        "Recovery p50 / p99 | Kept |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
        *(_table_row(row) for row in rows),
        "",
        *(f"- {row.title}: {note}." for row in rows for note in row.notes),
        *(
            f"- {row.title}: {count} x {what}."
            for row in rows
            for what, count in row.complaints.items()
        ),
        "",
        _EXPLAINED.format(keepalive=KEEPALIVE_S),
        f"`python -m benchmarks.faults --trials {trials} --seed {seed} --jobs {jobs}` on "
        f"{date.today().isoformat()}, "
        f"{took_s / 60:.0f} min, on {processor()}; load average {load:.1f} at the beginning and "
        f"{os.getloadavg()[0]:.1f} at the end, the campaign's own part included. Mosquitto "
        f"{_mosquitto()}, paho-mqtt {version('paho-mqtt')}, SQLite {sqlite3.sqlite_version}, Python "
        f"{platform.python_version()}, Linux {platform.release().partition('-')[0]}.",
        "",
    ]
    with replaced(PAGE) as scratch:
        scratch.write_text("\n".join(text))
    with replaced(PLOT) as scratch:
        plot(rows, scratch)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Left what arrived and what did not, right how long it took to recover."""
    shown = _together([row for row in rows if row.stored])
    names = [row.title for row in shown]
    places = list(range(len(shown)))
    with mpl.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 0.26 * len(shown) + 1.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
        lost = [100 * row.lost / row.stored for row in shown]
        left.barh(places, [100 - share for share in lost], color="#2a9d5c", label="received")
        left.barh(places, lost, left=[100 - share for share in lost], color="#d1344b", label="lost")
        for place, row in zip(places, shown, strict=True):
            text = f"{row.stored:,} in {row.trials} trials, {row.lost:,} lost"
            left.text(1, place, text, va="center", color="white", fontsize=7)
        left.set_yticks(places, names)
        left.set_ylim(len(shown) - 0.4, -0.6)
        left.set_xlim(0, 100)
        left.set_xlabel("stored alerts (%)")
        left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
        for place, row in zip(places, shown, strict=True):
            p50, p99 = row.recovery_s(50), row.recovery_s(99)
            if p50 is not None and p99 is not None:
                right.plot([p50, p99], [place, place], color="#8a97a6", linewidth=1.5)
                right.plot(p50, place, "o", color="#264653", markersize=4)
                right.plot(p99, place, "|", color="#264653", markersize=7)
        right.set_xscale("log")
        right.set_xlabel("recovery (s): dot p50, bar p99")
        right.grid(axis="x", alpha=0.3)
        figure.savefig(path, dpi=130, metadata={"Software": None})


def _together(rows: Sequence[Row]) -> list[Row]:
    """One row for all points of a fault that has several, as ``fault: point``."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.title.partition(": ")[0], []).append(row)
    return [
        group[0]
        if len(group) == 1
        else Row(
            f"{title} at {len(group)} points",
            trials=sum(row.trials for row in group),
            stored=sum(row.stored for row in group),
            lost=sum(row.lost for row in group),
            recoveries_s=[value for row in group for value in row.recoveries_s],
        )
        for title, group in groups.items()
    ]


def _table_row(row: Row) -> str:
    verdict = "yes" if row.holds else "**no**"
    if not row.must_hold:
        verdict = "for comparison"
    if row.impossible is not None:
        verdict = f"not possible here: {row.impossible}"
    recovery = f"{_seconds(row.recovery_s(50))} / {_seconds(row.recovery_s(99))}"
    counts = (row.trials, row.created, row.stored, row.acknowledged, row.received, row.lost)
    more = (row.duplicated, row.out_of_order)
    cells = " | ".join(f"{count:,}" for count in (*counts, *more))
    return f"| {row.title} | {cells} | {recovery} | {verdict} |"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{1e3 * value:.0f} ms" if value < 1 else f"{value:.1f} s"


def _mosquitto() -> str:
    """Its version, as its help tells it."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    told = subprocess.run(
        ["mosquitto", "-h"], capture_output=True, text=True, check=False, env={"PATH": path}
    ).stdout.split()
    return told[2] if len(told) > 2 else "?"
