"""What ``tremorscope compare`` writes: a page of tables, plots, and pictures side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from atomic_file import replaced
from machine import processor
from magnifier import comparison, motion_tests, speed, weights
from magnifier.arithmetic import POSTER_PX, cost
from magnifier.comparison import Results
from magnifier.markdown import table
from magnifier.methods import Method
from magnifier.networks import Magnifier
from magnifier.scene_folder import StoredScene

UNMAGNIFIED = "unmagnified"
CROP_PX = 240
CAPTION_PX = 26
SHEET_SCENES = 6


@dataclass(frozen=True, slots=True)
class About:
    """What a table says of a method beside its scores; empty where it is no network."""

    gmac: str = ""
    parameters: str = ""
    frames_hz: str = ""
    core_hours: str = ""
    weights: str = ""
    """The beginning of their SHA-256."""


def described(paths: dict[str, Path], networks: dict[str, Magnifier]) -> dict[str, About]:
    """What the tables say of networks and their files of weights; speed is measured in turns."""
    frame_s = speed.frame_s(networks, POSTER_PX)
    about = {}
    for name, network in networks.items():
        spent = cost(network, POSTER_PX, POSTER_PX)
        times = f" ({frame_s['baseline'] / frame_s[name]:.1f}x)" if "baseline" in frame_s else ""
        about[name] = About(
            gmac=f"{spent.multiply_accumulates / 1e9:.2f}",
            parameters=f"{spent.parameters:,}",
            frames_hz=f"{1 / frame_s[name]:.1f}{times}",
            core_hours=weights.read(paths[name])[1].get("core_hours", "?"),
            weights=weights.digest(paths[name]),
        )
    return about


def write(
    page: Path, results: dict[str, Results], about: dict[str, About], *, command: str
) -> None:
    """Write ``page`` and, beside it in ``results/``, its plots."""
    folder = page.parent / "results"
    folder.mkdir(parents=True, exist_ok=True)
    _plot(
        folder / "subpixel.svg",
        {name: part.subpixel for name, part in results.items()},
        "motion in px, magnified to 10 px",
    )
    _plot(
        folder / "noise.svg",
        {name: part.noise for name, part in results.items()},
        "noise at mid-grey in grey levels",
    )
    _plot_gains(folder / "gain.svg", results)
    count = len(results[UNMAGNIFIED].scenes)
    text = f"""# Results

Written by `{command}` on {processor()}. Every method saw the same pictures. `{UNMAGNIFIED}` is the
current frame as it is. `phase-based` is the package vidmag (Wadhwa et al. 2013). GMAC: multiply-accumulates
a frame at 384x384. Frames/s: the same size in ONNX Runtime, one process, networks in turns, median of
{speed.RUNS}; in brackets how many times the baseline's. Core-hours: processor time that training took, all
cores added. Weights: the beginning of their SHA-256.

## {count} held-out scenes

{_scenes_table(results, about)}

"gained" is the mean over scenes of the difference from `{UNMAGNIFIED}`, with its standard error.

![The same parts of the same scenes, shown by every method](results/contact-sheet.jpg)

## Sub-pixel test

A textured rectangle moves over a still background of {comparison.TRIAL_PX} px, magnified to
{motion_tests.SUBPIXEL_MAGNIFIED_PX:g} px; noise of {motion_tests.USUAL_NOISE:g} grey level; mean SSIM of
{comparison.TRIALS} pictures.

![SSIM over motion](results/subpixel.svg)

{_levels_table("motion px", {name: part.subpixel for name, part in results.items()})}

## Noise test

Motion {motion_tests.NOISE_MOTION_PX:g} px, gain {motion_tests.NOISE_GAIN:g}, twice what training saw.
Below a noise of .3 grey levels it is the rounding to 8 bits that counts.

![SSIM over noise](results/noise.svg)

{_levels_table("noise", {name: part.noise for name, part in results.items()})}

## Achieved gain / requested gain

Inside the rectangle, from its registration with the exact truth; median of {comparison.TRIALS} pictures.
1 is right, 1 / gain is doing nothing; a dash: the rectangle is not to be recognised in most pictures.

![Achieved over requested gain](results/gain.svg)

{_gains_table(results)}

## Still pixels while the rectangle sways, gain {motion_tests.STILL_GAIN:g}

Temporal standard deviation of pixels that nothing moves over, output / input; the worst tile of
{motion_tests.TILE_PX} px would show a halo.

{_flicker_table(results)}
"""
    with replaced(page) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_contact_sheet(
    path: Path, methods: dict[str, Method], scenes: Sequence[StoredScene]
) -> None:
    """The middle of some scenes, spread over the gains: truth, then what every method shows."""
    ordered = sorted(scenes, key=lambda scene: scene.gain)
    places = np.linspace(0, len(ordered) - 1, min(SHEET_SCENES, len(ordered)))
    chosen = [ordered[place] for place in places.astype(int)]
    rows = []
    for scene in chosen:
        reference, current, truth = scene.pictures()
        shown = {f"truth, gain {scene.gain:.0f}": truth}
        shown |= {name: method(reference, current, scene.gain) for name, method in methods.items()}
        rows.append(np.hstack([_captioned(part, name) for name, part in shown.items()]))
    with replaced(path) as scratch:
        cv2.imwrite(str(scratch), np.vstack(rows))


def _captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    top, left = ((side - min(side, CROP_PX)) // 2 for side in picture.shape[:2])
    crop = picture[top : top + CROP_PX, left : left + CROP_PX]
    framed = cv2.copyMakeBorder(crop, CAPTION_PX, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255,) * 3)
    place = (6, CAPTION_PX - 8)
    cv2.putText(framed, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return framed


def _scenes_table(results: dict[str, Results], about: dict[str, About]) -> str:
    scores = ("SSIM", "gained", "PSNR dB", "LPIPS")
    header = ("method", *scores, "GMAC", "parameters", "frames/s", "core-hours", "weights")
    nothing = np.array([scene.ssim for scene in results[UNMAGNIFIED].scenes])
    rows = []
    for name, part in results.items():
        ssim, psnr_db, lpips = np.array(
            [(scene.ssim, scene.psnr_db, scene.lpips) for scene in part.scenes]
        ).T
        gained = ssim - nothing
        error = gained.std(ddof=1) / np.sqrt(len(gained)) if len(gained) > 1 else np.nan
        facts = about.get(name, About())
        rows.append(
            (
                name,
                f"{ssim.mean():.4f}",
                "" if name == UNMAGNIFIED else f"{gained.mean():+.4f} ± {error:.4f}",
                f"{psnr_db.mean():.2f}",
                f"{lpips.mean():.4f}",
                facts.gmac,
                facts.parameters,
                facts.frames_hz,
                facts.core_hours,
                facts.weights,
            )
        )
    return table(header, rows)


def _levels_table(title: str, scores: dict[str, dict[float, list[float]]]) -> str:
    rows = [
        (f"{level:.3g}", *(f"{np.mean(part[level]):.3f}" for part in scores.values()))
        for level in next(iter(scores.values()))
    ]
    return table((title, *scores), rows)


def _gains_table(results: dict[str, Results]) -> str:
    rows = [
        (
            f"{gain:g} x {motion_px:g} px",
            *(_ratio(_median(part.gains[gain, motion_px]) / gain) for part in results.values()),
        )
        for gain, motion_px in results[UNMAGNIFIED].gains
    ]
    return table(("gain x motion", *results), rows)


def _ratio(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "-"


def _median(achieved: list[float]) -> float:
    """NaN where most of them are."""
    read = [each for each in achieved if np.isfinite(each)]
    return float(np.median(read)) if 2 * len(read) > len(achieved) else np.nan


def _flicker_table(results: dict[str, Results]) -> str:
    rows = [
        (
            name,
            f"{np.median([each.pooled for each in part.flicker]):.2f}",
            f"{np.median([each.worst_tile for each in part.flicker]):.2f}",
            f"{max(each.worst_tile for each in part.flicker):.2f}",
        )
        for name, part in results.items()
    ]
    return table(("method", "all still pixels", "worst tile", "worst of all pictures"), rows)


def _plot(path: Path, scores: dict[str, dict[float, list[float]]], label: str) -> None:
    figure = Figure((7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name, part in scores.items():
        axes.plot(list(part), [np.mean(each) for each in part.values()], **_style(name))
    axes.set_xlabel(label)
    axes.set_ylabel("SSIM")
    _finish(figure, axes, path)


def _plot_gains(path: Path, results: dict[str, Results]) -> None:
    figure = Figure((9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(motion_tests.GAINS), sharey=True)
    for axes, gain in zip(panels, motion_tests.GAINS, strict=True):
        axes.axhspan(0.9, 1.1, color="0.9")
        for name, part in results.items():
            found = {
                motion: _median(each) / gain
                for (requested, motion), each in part.gains.items()
                if requested == gain
            }
            axes.plot(list(found), list(found.values()), **_style(name))
        axes.set_xscale("log")
        axes.set_xticks([0.05, 0.2, 1.0], ["0.05", "0.2", "1"])
        axes.set_xticks([], minor=True)
        axes.set_xlim(0.04, 1.25)
        axes.set_title(f"gain {gain:g}", fontsize=9)
        axes.set_xlabel("motion in px")
    panels[0].set_ylabel("achieved / requested")
    panels[0].legend(fontsize=7)
    _save(figure, path)


def _style(name: str) -> dict[str, Any]:
    if name == UNMAGNIFIED:
        return {"label": name, "color": "0.5", "linestyle": "--"}
    return {"label": name, "marker": "."}


def _finish(figure: Figure, axes: Axes, path: Path) -> None:
    axes.set_xscale("log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replaced(path) as scratch:
        figure.savefig(scratch, format="svg")
