"""What ``pipeline.py`` found, as pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from atomic_file import replaced
from benchmarks.accuracy_plot import BLUE, GREY, ORANGE
from benchmarks.growth import Growth
from benchmarks.latency import Delays
from benchmarks.magnification_rate import OURS, Rates

COLOURS = (BLUE, ORANGE)


def write_rates(path: Path, rates: Sequence[Rates]) -> None:
    """Frames a second of every method, one group of bars for each size."""
    figure = Figure(figsize=(9, 3.4), dpi=100, layout="constrained")
    axes: Axes = figure.subplots()
    methods = list(rates[0].frame_s)
    for number, one in enumerate(rates):
        places = np.arange(len(methods)) + 0.38 * (number - (len(rates) - 1) / 2)
        hz = [one.hz(method) for method in methods]
        label = f"{one.size_px[0]}x{one.size_px[1]} px"
        bars = axes.barh(places, hz, 0.36, color=COLOURS[number % 2], label=label)
        axes.bar_label(bars, [f" {value:.2g}" for value in hz], fontsize=8)
    axes.set_yticks(range(len(methods)), methods)
    axes.get_yticklabels()[methods.index(OURS)].set_fontweight("bold")
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("magnified frames a second")
    figure.legend(frameon=False, loc="outside upper right", ncols=2)
    axes.grid(alpha=0.25, axis="x")
    axes.set_axisbelow(True)
    _write(figure, path)


def write_delays(path: Path, delays: Sequence[Delays], engine_ms: float) -> None:
    """How many of the messages had come after how long."""
    figure = Figure(figsize=(9, 4), dpi=100, layout="constrained")
    axes: Axes = figure.subplots()
    for one, colour in zip(delays, COLOURS, strict=False):
        share = 100 * np.arange(1, len(one.from_motion_ms) + 1) / one.motions
        label = f"{one.rate_hz} Hz, {one.motions} motions"
        axes.step(sorted(one.from_motion_ms), share, where="post", color=colour, label=label)
        axes.axvline(one.two_frames_ms, color=colour, ls=":", lw=1.2)
        axes.axvline(one.two_frames_ms + engine_ms, color=colour, ls="--", lw=1.2)
    axes.axhline(99, color=GREY, lw=0.8)
    axes.set_xscale("log")
    ticks = [tick for tick in (5, 10, 20, 50, 100, 200, 500, 1000, 2000) if _inside(axes, tick)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 102)
    axes.set_xlabel("from the capture of a motion's first frame to its message (ms)")
    axes.set_ylabel("messages that had come (%)")
    axes.set_title(
        "dotted: two frame times; dashed: with the engine's time; line: 99 %",
        loc="left",
        fontsize=9,
    )
    figure.legend(frameon=False, loc="outside upper right", ncols=2)
    axes.grid(alpha=0.25)
    _write(figure, path)


def write_growth(path: Path, grown: Sequence[Growth], length: Growth) -> None:
    """Time over each amount with the fit, and memory over length and over the picture's pixels."""
    figure = Figure(figsize=(13, 7.4), dpi=100, layout="constrained")
    panels: list[Axes] = list(figure.subplots(2, 3).flat)
    for axes, one in zip(panels, grown, strict=False):
        amounts = np.array([point.amount for point in one.points])
        axes.plot(amounts, [point.ms for point in one.points], "o", color=BLUE)
        between = np.linspace(amounts.min(), amounts.max(), 100)
        a, b, p = one.fit
        axes.plot(between, a + b * between**p, color=BLUE, lw=1, label=f"{a:.1f} ms + b n^{p:.2f}")
        axes.legend(frameon=False, loc="upper left")
        _label(axes, one, f"time over {one.of}", "ms a frame")
    _memory(panels[4], length)
    picture = next(one for one in grown if one.of == "pixels of the picture")
    _memory(panels[5], picture)
    _write(figure, path)


def _memory(axes: Axes, one: Growth) -> None:
    amounts, mib = zip(*((point.amount, point.peak_mib) for point in one.points), strict=True)
    axes.plot(amounts, mib, "o-", color=ORANGE, lw=1)
    _label(axes, one, f"peak memory over {one.of}", "MiB")


def _label(axes: Axes, one: Growth, title: str, unit: str) -> None:
    """Both axes from zero, where a straight line through it is proportional."""
    axes.set_xlim(0, 1.05 * max(point.amount for point in one.points))
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
    axes.set_xlabel(f"{one.of} ({one.unit})\n{one.fixed}", fontsize=8)
    axes.set_ylabel(unit)
    axes.grid(alpha=0.25)


def _inside(axes: Axes, value: float) -> bool:
    low, high = axes.get_xlim()
    return bool(low <= value <= high)


def _write(figure: Figure, path: Path) -> None:
    with replaced(path) as scratch:
        figure.savefig(scratch, format="png")
