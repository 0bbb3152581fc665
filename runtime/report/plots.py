"""Waveforms, spectra and the alerts' time line, as SVG that stays sharp in print and on a phone."""

import os
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from runtime.messages import AlertMessage
from runtime.replay.replay import RegionHistory
from runtime.report.findings import RegionFindings, moved_px
from runtime.vibration import amplitude_spectrum
from runtime.vibration.record import Floats, stretch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, RED, GREY = "#1f6fb4", "#c75f00", "#c62828", "#5c6773"
MOST_POINTS = 1200
"""Columns of a line; of more samples each column shows its smallest and its largest."""

_WIDE_IN, _HIGH_IN = 5.4, 2.5  # so that 9 pt can be read on a phone, too
_ROW_IN = 0.45


def waveform(one: RegionFindings, alerts: Sequence[AlertMessage]) -> bytes:
    """Displacement over time with its standard error, and when alerts on the region were open."""
    figure, axes = _figure(_HIGH_IN)
    history = one.history
    t_s, moved = np.array(history.t_s), moved_px(history)
    errors = np.array([history.x_se_px, history.y_se_px], dtype=np.float64)
    for row, colour, name in ((0, BLUE, "x"), (1, ORANGE, "y")):
        shown_s, values = thinned(t_s, moved[row])
        if len(t_s) <= MOST_POINTS:
            low, high = moved[row] - errors[row], moved[row] + errors[row]
            axes.fill_between(t_s, low, high, color=colour, alpha=0.25, lw=0)
        axes.plot(shown_s, values, color=colour, lw=0.8, label=name)
    _shade(axes, [alert for alert in alerts if history.name in alert.regions], float(t_s[-1]))
    axes.set_xlim(t_s[0], max(t_s[-1], t_s[0] + 1e-3))
    axes.set_xlabel("time (s)")
    axes.set_ylabel("displacement (px)")
    _second_axis(axes, history)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return _svg(figure)


def spectrum(one: RegionFindings) -> bytes:
    """Amplitude over frequency, the noise floor of each axis, and the tones that stand out."""
    figure, axes = _figure(_HIGH_IN)
    history = one.history
    lowest_px = []
    for row, colour, name in ((0, BLUE, "x"), (1, ORANGE, "y")):
        longest = stretch(np.array(history.t_s), moved_px(history)[row], "longest")
        found = None if longest is None else amplitude_spectrum(*longest)
        if found is None:
            continue
        frequency_hz, amplitude_px = thinned(*found)
        axes.semilogy(frequency_hz, amplitude_px, color=colour, lw=0.8, label=name)
        floor_px = one.floor_px[row]
        if floor_px is not None:
            axes.axhline(floor_px, color=colour, lw=1.2, ls=":", label=f"noise floor {name}")
            lowest_px.append(floor_px / 30)
    for tone in one.tones:
        axes.axvline(tone.frequency_hz, color=RED, lw=0.7, ls="--", zorder=0)
        axes.annotate(
            f"{tone.frequency_hz:.4g}",
            (tone.frequency_hz, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, -9),
            textcoords="offset points",
            fontsize=8,
            color=RED,
        )
    axes.set_xlabel("frequency (Hz)")
    axes.set_ylabel("amplitude (px)")
    if lowest_px:
        axes.set_xlim(left=0)
        low_px, high_px = axes.get_ylim()
        axes.set_ylim(max(low_px, min(lowest_px)), 3 * high_px)  # room for the tones' labels
        figure.legend(loc="outside upper right", ncols=4, frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "too short, or not measured", ha="center", transform=axes.transAxes)
    return _svg(figure)


def time_line(alerts: Sequence[AlertMessage], begins_s: float, ends_s: float) -> bytes:
    """A bar for each alert, from where it began to its end; a mark where it was raised."""
    rows: dict[str, list[list[AlertMessage]]] = {}
    for event_id in dict.fromkeys(alert.event_id for alert in alerts):
        steps = [alert for alert in alerts if alert.event_id == event_id]
        where = steps[0].region or ", ".join(steps[0].regions) or "camera"
        rows.setdefault(f"{steps[0].rule}\n{where}", []).append(steps)
    figure, axes = _figure(0.6 + _ROW_IN * len(rows))
    for number, events in enumerate(rows.values()):
        for steps in events:
            open_still = steps[-1].type != "end"
            to_s = ends_s if open_still else steps[-1].t_s
            from_s = steps[0].started_t_s
            axes.barh(number, to_s - from_s, left=from_s, height=0.5, color=RED, alpha=0.35)
            axes.plot([steps[0].t_s], [number], marker="|", ms=14, mew=2, color=RED)
            if open_still:
                axes.annotate("still open", (ends_s, number), ha="right", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(begins_s, max(ends_s, begins_s + 1e-3))
    axes.set_xlabel("time (s)")
    return _svg(figure)


def thinned(x: Floats, y: Floats, most: int = MOST_POINTS) -> tuple[Floats, Floats]:
    """A line with at most twice ``most`` points that shows every extreme of the whole one."""
    if len(x) <= 2 * most:
        return x, y
    starts = np.linspace(0, len(x), most + 1).astype(int)[:-1]
    filled = np.where(np.isfinite(y), y, np.nan)
    low, high = np.fmin.reduceat(filled, starts), np.fmax.reduceat(filled, starts)
    return np.repeat(x[starts], 2), np.stack([low, high], axis=1).ravel()


def _figure(high_in: float) -> tuple["Figure", "Axes"]:
    # matplotlib wants a folder for its font cache, which a service's user may not have at home.
    os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir(), "tremorscope-mpl")))
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDE_IN, high_in), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=GREY)
    return figure, axes


def _svg(figure: "Figure") -> bytes:
    import matplotlib as mpl

    store = BytesIO()
    # Text stays text: it is smaller, and the reader's own font.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tremorscope"}):
        figure.savefig(store, format="svg", metadata={"Date": None, "Creator": None})
    return store.getvalue()


def _second_axis(axes: "Axes", history: RegionHistory) -> None:
    """Millimetres to the right, where both axes of the picture have the same scale."""
    scale = history.scale
    if scale is None or not np.isclose(scale.x_mm_per_px, scale.y_mm_per_px, rtol=1e-3):
        return
    mm_per_px = scale.x_mm_per_px
    right = axes.secondary_yaxis(
        "right",
        functions=(
            lambda px: np.multiply(px, mm_per_px),
            lambda mm: np.divide(mm, mm_per_px),
        ),
    )
    right.set_ylabel("mm")
    right.tick_params(labelsize=8, colors=GREY)


def _shade(axes: "Axes", alerts: Sequence[AlertMessage], ends_s: float) -> None:
    label: str | None = "alert"
    for event_id in dict.fromkeys(alert.event_id for alert in alerts):
        steps = [alert for alert in alerts if alert.event_id == event_id]
        to_s = steps[-1].t_s if steps[-1].type == "end" else ends_s
        axes.axvspan(steps[0].t_s, to_s, color=RED, alpha=0.1, lw=0, label=label)
        label = None
