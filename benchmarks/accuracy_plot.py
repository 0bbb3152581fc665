"""Errors over motion and noise, and coverage of stated errors, as one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from atomic_file import replaced
from benchmarks.accuracy import CRFS, MOTIONS_PX, NOISES_GREY, Outcome
from benchmarks.accuracy_page import MOST_OVER_BOUND, SHARE_TOLERANCE, SHARES
from benchmarks.verdicts import rms

BLUE, ORANGE, GREY = "#1f6fb4", "#d9730d", "#5b6770"
MARKERS = dict(zip(NOISES_GREY, "osD", strict=True))


def write_plot(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Three panels of RMSE over its bound (steady light, flicker, H.264), and one of coverage."""
    figure = Figure(figsize=(13, 8.2), dpi=100, layout="constrained")
    (steady, flicker), (stored, coverage) = figure.subplots(2, 2)
    plain = [one for one in outcomes if one.crf is None]
    _plot_errors(
        steady, [one for one in plain if one.clip.flicker == 0], "uncompressed, steady light"
    )
    _plot_errors(
        flicker,
        [one for one in plain if one.clip.flicker > 0],
        "uncompressed, light flickers by 5 %",
    )
    _plot_errors(stored, [one for one in outcomes if one.crf == CRFS[-1]], f"H.264, crf {CRFS[-1]}")
    top = 1.3 * max(axes.get_ylim()[1] for axes in (steady, flicker, stored))
    for axes in (steady, flicker, stored):
        axes.set_ylim(0.6, top)
    steady.legend(ncols=2, fontsize=8, frameon=False, loc="upper right")
    _plot_coverage(coverage, outcomes)
    with replaced(path) as scratch:
        figure.savefig(scratch, format="png")


def _plot_errors(axes: Axes, outcomes: Sequence[Outcome], title: str) -> None:
    for noise_grey, marker in MARKERS.items():
        for name, label, colour in (
            ("displacement", "tremorscope", BLUE),
            ("peer_displacement", "pyidi", ORANGE),
        ):
            points = [
                (motion_px, rms(np.concatenate([getattr(one, name).ravel() for one in cell])))
                for motion_px in MOTIONS_PX
                if (
                    cell := [
                        one
                        for one in outcomes
                        if (one.clip.noise_grey, one.clip.motion_px) == (noise_grey, motion_px)
                    ]
                )
            ]
            if points:
                axes.loglog(
                    *zip(*points, strict=True),
                    color=colour,
                    marker=marker,
                    ms=5,
                    lw=1.2,
                    label=f"{label}, noise {noise_grey:g} grey",
                )
    axes.axhline(1, color=GREY, lw=1)
    axes.axhline(MOST_OVER_BOUND, color=GREY, lw=1, ls="--")
    axes.set_xticks(MOTIONS_PX, [f"{motion:g}" for motion in MOTIONS_PX])
    axes.set_yticks((1, 1.2, 2, 5, 10, 20, 50), ("1", "1.2", "2", "5", "10", "20", "50"))
    axes.minorticks_off()
    axes.set_xlabel("motion (px)")
    axes.set_ylabel("RMSE / Cramer-Rao bound")
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.grid(alpha=0.25)


def _plot_coverage(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Bars of how often the truth lay within one and two stated standard errors."""
    kinds = {"uncompressed": None} | {f"H.264 crf {crf}": crf for crf in CRFS}
    labels: list[str] = []
    for name, crf in kinds.items():
        for noise_grey in NOISES_GREY:
            cell = [
                one.se_ratio.ravel()
                for one in outcomes
                if one.crf == crf and one.clip.noise_grey == noise_grey
            ]
            place = len(labels)
            # The middle one names the three.
            below = f"\n{name}" if noise_grey == NOISES_GREY[1] else ""
            labels.append(f"noise {noise_grey:g}{below}")
            if cell:
                ratio = np.concatenate(cell)
                axes.bar(place - 0.2, 100 * np.mean(ratio < 1), 0.38, color=BLUE, zorder=2)
                axes.bar(place + 0.2, 100 * np.mean(ratio < 2), 0.38, color=ORANGE, zorder=2)
    for share, colour in zip(SHARES, (BLUE, ORANGE), strict=True):
        low, high = 100 * (share - SHARE_TOLERANCE), min(100 * (share + SHARE_TOLERANCE), 100)
        axes.axhspan(low, high, color=colour, alpha=0.18, lw=0)
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(0, 105)
    axes.set_ylabel("truth inside (%)")
    axes.set_title(
        "truth within one (blue) and two (orange) stated errors; bands: wanted",
        loc="left",
        fontsize=10,
        fontweight="bold",
    )
    axes.grid(alpha=0.25, axis="y")
