"""What is left of a replay to look at: plots, and a page that holds clip, plots and tables."""

import html
import os
import tempfile
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np

from atomic_file import replaced
from runtime.config import Config
from runtime.messages import AlertMessage
from runtime.replay import RegionHistory, Replay
from runtime.vibration import amplitude_spectrum

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

BLUE, ORANGE, RED = "#1f6fb4", "#d9730d", "#c62828"


def write_plots(path: Path, replay: Replay) -> None:
    """Waveform and amplitude spectrum of every region, one row each, as a PNG."""
    # matplotlib wants a folder for its font cache, which a service's user may not have at home.
    os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir(), "tremorscope-mpl")))
    from matplotlib.figure import Figure

    rows = len(replay.regions)
    figure = Figure(figsize=(12, 2.6 * rows + 0.4), dpi=110, layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False, width_ratios=(3, 2))
    ends_s = replay.regions[0].t_s[-1]
    for (waveform, spectrum), history in zip(axes, replay.regions, strict=True):
        shown = {alert.event_id for alert in replay.alerts if history.name in alert.regions}
        _plot_waveform(waveform, history)
        _shade_alerts(waveform, [a for a in replay.alerts if a.event_id in shown], ends_s)
        _plot_spectrum(spectrum, history)
    axes[-1][0].set_xlabel("time (s)")
    axes[-1][1].set_xlabel("frequency (Hz)")
    handles = {label: handle for pair in axes for handle, label in _legend(pair[0])}
    figure.legend(handles.values(), handles, loc="outside upper left", ncols=3, frameon=False)
    with replaced(path) as scratch:
        figure.savefig(scratch)


def write_page(path: Path, replay: Replay, config: Config, clip: Path | None, plots: Path) -> None:
    """One HTML page beside its clip and plots."""
    facts = [
        f"{replay.frames} frames of {replay.size_px[0]}x{replay.size_px[1]} px",
        f"gain {config.magnification.gain:g}, {config.magnification.mode} mode",
    ]
    if replay.damage is not None:
        facts.append(f"the file is damaged: {replay.damage}")
    video = ""
    if clip is not None:
        video = f'<video src="{html.escape(clip.name)}" controls loop muted autoplay></video>'
    page = _PAGE.substitute(
        title=html.escape(Path(replay.video).name),
        facts=html.escape("; ".join(facts)),
        video=video,
        plots=html.escape(plots.name),
        regions="".join(_region_row(history) for history in replay.regions),
        alerts="".join(_alert_row(alert) for alert in replay.alerts)
        or '<tr><td colspan="6">none</td></tr>',
    )
    with replaced(path) as scratch:
        scratch.write_text(page, encoding="utf-8")


def _legend(axes: "Axes") -> list[tuple["Artist", str]]:
    handles, labels = axes.get_legend_handles_labels()
    return list(zip(handles, labels, strict=True))


def _plot_waveform(axes: "Axes", history: RegionHistory) -> None:
    t_s = np.array(history.t_s)
    for label, values, errors, colour in (
        ("x", history.x_px, history.x_se_px, BLUE),
        ("y", history.y_px, history.y_se_px, ORANGE),
    ):
        moved, error = (np.array(part, dtype=np.float64) for part in (values, errors))
        axes.fill_between(t_s, moved - error, moved + error, color=colour, alpha=0.2, lw=0)
        axes.plot(t_s, moved, color=colour, lw=0.9, label=label)
    axes.set_title(history.name, loc="left", fontsize=10, fontweight="bold")
    axes.set_ylabel("displacement (px)")
    axes.set_xlim(t_s[0], max(t_s[-1], t_s[0] + 1e-3))
    axes.grid(alpha=0.25)
    if history.reasons:
        words = "; ".join(sorted(history.reasons))
        axes.set_title(f"not measured in part: {words}", loc="right", fontsize=8, color=RED)


def _shade_alerts(axes: "Axes", alerts: list[AlertMessage], ends_s: float) -> None:
    begun: dict[str, float] = {}
    label: str | None = "alert"
    for alert in alerts:
        if alert.type == "new":
            begun[alert.event_id] = alert.t_s
        elif alert.type == "end":
            axes.axvspan(begun.pop(alert.event_id), alert.t_s, color=RED, alpha=0.1, label=label)
            label = None
    for start_s in begun.values():
        axes.axvspan(start_s, ends_s, color=RED, alpha=0.1, label=label)
        label = None


def _plot_spectrum(axes: "Axes", history: RegionHistory) -> None:
    for values, colour in ((history.x_px, BLUE), (history.y_px, ORANGE)):
        spectrum = amplitude_spectrum(history.t_s, np.array(values, dtype=np.float64))
        if spectrum is not None:
            axes.semilogy(*spectrum, color=colour, lw=0.9)
    axes.set_ylabel("amplitude (px)")
    axes.grid(alpha=0.25, which="both")
    tone = history.tone()
    if tone is None:
        axes.set_title("no dominant frequency", loc="left", fontsize=9)
        return
    axes.axvline(tone.frequency_hz, color=RED, lw=0.8, ls="--")
    axes.set_title(
        f"{tone.frequency_hz:.3f} ± {tone.frequency_se_hz:.3f} Hz, "
        f"{tone.amplitude_px:.4f} ± {tone.amplitude_se_px:.4f} px in {tone.axis}",
        loc="left",
        fontsize=9,
    )


def _region_row(history: RegionHistory) -> str:
    tone = history.tone()
    amplitude = None if tone is None else history.amplitude_mm(tone)
    in_mm = "" if amplitude is None else f" = {amplitude[0]:.4g} ± {amplitude[1]:.2g} mm"
    measured = sum(
        x is not None or y is not None for x, y in zip(history.x_px, history.y_px, strict=True)
    )
    cells = [
        history.name,
        "none" if tone is None else f"{tone.frequency_hz:.3f} ± {tone.frequency_se_hz:.3f}",
        "none" if tone is None else f"{tone.amplitude_px:.4f} ± {tone.amplitude_se_px:.4f}" + in_mm,
        "" if tone is None else str(tone.axis),
        f"{_median(history.x_se_px)} / {_median(history.y_se_px)}",
        f"{100 * measured / len(history.t_s):.0f} %",
    ]
    return _row(cells)


def _alert_row(alert: AlertMessage) -> str:
    frequency = "" if alert.dominant_hz is None else f"{alert.dominant_hz:.3f}"
    level = "missing" if alert.value is None else f"{alert.value:.3g}"
    quantity = f"{alert.quantity} {level} (threshold {alert.threshold:g})"
    if alert.reason is not None:
        quantity += f": {alert.reason}"
    where = ", ".join(alert.regions) or "camera"
    return _row([f"{alert.t_s:.2f}", alert.type, alert.rule, where, quantity, frequency])


def _row(cells: list[str]) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>\n"


def _median(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.median(known):.4f}" if known else "none"


_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title - tremorscope</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color: #1d2733; }
video, img { width: 100%; border-radius: 4px; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
td, th { border-bottom: 1px solid #d5dbe1; padding: .3rem .9rem .3rem 0; text-align: left; }
</style></head><body>
<h1>$title</h1>
<p>$facts</p>
$video
<h2>Regions</h2>
<table><tr><th>region</th><th>dominant frequency (Hz)</th><th>amplitude (px)</th><th>axis</th>
<th>median standard error x / y (px)</th><th>measured</th></tr>
$regions</table>
<img src="$plots" alt="Waveform and spectrum of every region">
<h2>Alerts</h2>
<table><tr><th>time (s)</th><th>step</th><th>rule</th><th>region</th><th>quantity</th>
<th>frequency (Hz)</th></tr>
$alerts</table>
</body></html>
"""
)
