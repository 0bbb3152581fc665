"""What ``accuracy.py`` found, as verdicts and tables."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from benchmarks.accuracy import (
    CLIP_S,
    CRFS,
    FLICKER,
    FLICKER_HZ,
    FREQUENCIES_HZ,
    REGION,
    SIDE_PX,
    Outcome,
)
from benchmarks.verdicts import Mark, percent, rms

MOST_OVER_BOUND = 1.2
SHARES, SHARE_TOLERANCE = (0.683, 0.954), 0.05
"""Of a normal distribution within one and two standard errors."""
FREQUENCY_TOLERANCE = 0.001


def marks(outcomes: Sequence[Outcome]) -> Iterator[Mark]:
    """Verdicts on all that was measured."""
    plain = [one for one in outcomes if one.crf is None]
    stored = [one for one in outcomes if one.crf is not None]
    groups = _grouped(plain, lambda one: (one.clip.texture, one.clip.noise_grey))
    worst, group = max((_pooled(group, "displacement"), key) for key, group in groups.items())
    vibration = max(_pooled(group, "vibration") for group in groups.values())
    yield Mark(
        "RMSE over the Cramer-Rao bound, uncompressed",
        f"at most {MOST_OVER_BOUND:g}",
        f"{_pooled(plain, 'displacement'):.2f}; at worst {worst:.2f} ({group[0]}, noise {group[1]:g}); "
        f"vibration alone {_pooled(plain, 'vibration'):.2f}, at worst {vibration:.2f}",
        max(worst, vibration) <= MOST_OVER_BOUND,
    )
    for name, flickers in (("steady", False), ("flickering", True)):
        part = [one for one in plain if (one.clip.flicker > 0) is flickers]
        yield _against_pyidi(f"uncompressed, {name} light", part)
    yield _against_pyidi("H.264", stored)
    for name, part in (("uncompressed", plain), *((f"H.264 crf {crf}", [
        one for one in stored if one.crf == crf]) for crf in CRFS)):  # fmt: skip
        within = _within(part, "se_ratio")
        single = _within(part, "noise_ratio")
        off = np.abs(np.array([within, single]) - SHARES).max()
        yield Mark(
            f"truth within one and two standard errors, {name}",
            "68 and 95 %, ±5 points",
            f"{_shares(within)}; vibration alone {_shares(single)}{_refused(part)}",
            bool(off <= SHARE_TOLERANCE),
        )
    seen = [one for one in plain if one.frequency_error is not None]
    errors = np.abs([one.frequency_error for one in seen if one.frequency_error is not None])
    loud = [one for one in seen if one.clip.motion_px >= one.noise_px[:, 0].mean()]
    loud_errors = np.abs([one.frequency_error for one in loud if one.frequency_error is not None])
    yield Mark(
        f"frequency from clips of {CLIP_S:g} s, motion at least the noise of a measurement",
        f"within {percent(FREQUENCY_TOLERANCE, 1)}",
        f"RMS error {percent(rms(loud_errors), 3)}, largest {percent(loud_errors.max(), 3)} of "
        f"{len(loud)} clips; of all {len(seen)} in which one stood out {percent(errors.max(), 3)}",
        bool(loud_errors.max() <= FREQUENCY_TOLERANCE),
    )


def _against_pyidi(name: str, outcomes: Sequence[Outcome]) -> Mark:
    """Judged on every texture, noise and way of storing; and without what zero contributes, too."""
    groups = _grouped(outcomes, lambda one: (one.crf, one.clip.texture, one.clip.noise_grey))
    worst: list[str] = []
    largest = 0.0
    for part in ("displacement", "vibration"):
        ratios = {
            key: _pooled(one, part) / _pooled(one, f"peer_{part}") for key, one in groups.items()
        }
        crf, texture, noise_grey = max(ratios, key=lambda key: ratios[key])
        stored = "" if crf is None else f"crf {crf}, "
        overall = _pooled(outcomes, part) / _pooled(outcomes, f"peer_{part}")
        worst.append(
            f"{part} {overall:.2f} times, at worst {max(ratios.values()):.3f} ({stored}{texture}, noise "
            f"{noise_grey:g})"
        )
        largest = max(largest, *ratios.values())
    return Mark(f"RMSE over pyidi's, {name}", "at most 1", "; ".join(worst), largest <= 1)


def section(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Tables of everything that was measured."""
    yield (
        f"Clips of {CLIP_S:g} s, {SIDE_PX}x{SIDE_PX} px, 8 bits, one region of {REGION.width}x"
        f"{REGION.height} px. *facade*: waves of 5 to 40 px, standard deviation 28 grey levels; "
        "*masonry*: flat blocks between joints, edges blurred by .8 px; *concrete*: waves of 5 to 25 "
        "px, 8 grey levels. A sine of the given amplitude in x and half of it in y, "
        + " and ".join(f"{hz:g} Hz at {rate} fps" for rate, hz in FREQUENCIES_HZ.items())
        + f". Light is steady or flickers by {percent(FLICKER, 0)} at {FLICKER_HZ:g} Hz; each clip has "
        "its own texture and noise. Errors are against the exact motion from zero, x and y together. "
        "pyidi gets the same pixels, and has its default reference (the first frame), tolerance, spline "
        "and iterations; it has no model of brightness.\n"
    )
    yield (
        f"*bound*: the Cramer-Rao bound of one noisy picture against zero, which is the mean of "
        f"{outcomes[0].zero_pictures} (of H.264 of 4 s), with texture and brightness known. *vibration*: "
        "errors without their mean, over the bound of one picture; what zero contributes is a constant, which "
        "vibration does not see, nor does it count there in favour of either method. *within*: share of "
        "errors within one / two stated standard errors.\n"
    )
    yield "### Uncompressed\n"
    yield (
        "| texture | noise grey | motion px | bound px | RMSE px | over bound | pyidi px, steady "
        "| pyidi px, flicker | vibration over bound | pyidi's, steady | within | vibration within | read "
        "| frequency |"
    )
    yield "|---|" + "---:|" * 13
    plain = [one for one in outcomes if one.crf is None]
    cells = _grouped(plain, lambda one: (one.clip.texture, one.clip.noise_grey, one.clip.motion_px))
    for (texture, noise_grey, motion_px), cell in cells.items():
        steady, flickers = (
            [one for one in cell if (one.clip.flicker > 0) is flicker] for flicker in (False, True)
        )
        bound_px = rms(np.array([one.from_zero_px for one in cell]))
        yield (
            f"| {texture} | {noise_grey:g} | {motion_px:g} | {bound_px:.5f} | {_rmse(cell):.5f} "
            f"| {_pooled(cell, 'displacement'):.2f} | {_peer(steady)} | {_peer(flickers)} "
            f"| {_pooled(cell, 'vibration'):.2f} "
            f"| {_peer_vibration(steady)} "
            f"| {_shares(_within(cell, 'se_ratio'))} "
            f"| {_shares(_within(cell, 'noise_ratio'))} | {_read(cell)} | {_frequency(cell)} |"
        )
    yield "\nBy frame rate and light, all textures, noises and motions:\n"
    yield (
        "| fps | light | over bound | pyidi | vibration over bound | pyidi | within | vibration within |"
    )
    yield "|---:|---|" + "---:|" * 6
    lights = _grouped(plain, lambda one: (one.clip.rate_hz, one.clip.flicker > 0))
    for (rate_hz, flicker), cell in sorted(lights.items()):
        yield (
            f"| {rate_hz} | {'flickers' if flicker else 'steady'} "
            f"| {_pooled(cell, 'displacement'):.2f} | {_pooled(cell, 'peer_displacement'):.2f} "
            f"| {_pooled(cell, 'vibration'):.2f} | {_pooled(cell, 'peer_vibration'):.2f} "
            f"| {_shares(_within(cell, 'se_ratio'))} | {_shares(_within(cell, 'noise_ratio'))} |"
        )
    yield "\n### H.264\n"
    yield (
        "libx264, preset medium, 4:2:0, a key frame each second; all textures, both rates and lights. The "
        "bound is that of the clip before it was compressed.\n"
    )
    yield (
        "| crf | noise grey | motion px | RMSE px | over bound | pyidi px | within | read | frequency "
        "| not measured |"
    )
    yield "|" + "---:|" * 10
    stored = [one for one in outcomes if one.crf is not None]
    qualities = _grouped(stored, lambda one: (one.crf, one.clip.noise_grey, one.clip.motion_px))
    for (crf, noise_grey, motion_px), cell in sorted(qualities.items()):
        yield (
            f"| {crf} | {noise_grey:g} | {motion_px:g} | {_rmse(cell):.4f} "
            f"| {_pooled(cell, 'displacement'):.1f} | {_peer(cell)} "
            f"| {_shares(_within(cell, 'se_ratio'))} | {_read(cell)} | {_frequency(cell)} "
            f"| {percent(float(np.mean([one.missing for one in cell])), 1)} |"
        )
    yield (
        "\nA codec takes small motion away before the measurement sees it: *read* is the share that is "
        "left. By how much the displacement jumps at key frames tells how wrong it is between them, and "
        "that is in the stated errors; it mends nothing. Measure on raw or lightly compressed pictures.\n"
    )


def _grouped(
    outcomes: Iterable[Outcome], key: Callable[[Outcome], tuple[object, ...]]
) -> dict[tuple[object, ...], list[Outcome]]:
    groups: dict[tuple[object, ...], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault(key(one), []).append(one)
    return groups


def _pooled(outcomes: Sequence[Outcome], name: str) -> float:
    return rms(np.concatenate([getattr(one, name).ravel() for one in outcomes]))


def _within(outcomes: Sequence[Outcome], name: str) -> tuple[float, float]:
    ratio = np.concatenate([getattr(one, name).ravel() for one in outcomes])
    return float(np.mean(ratio < 1)), float(np.mean(ratio < 2))


def _shares(within: tuple[float, float]) -> str:
    return f"{100 * within[0]:.0f} / {100 * within[1]:.0f} %"


def _rmse(outcomes: Sequence[Outcome]) -> float:
    return _pooled(outcomes, "error_px")


def _peer(outcomes: Sequence[Outcome]) -> str:
    return f"{_pooled(outcomes, 'peer_error_px'):.4f}" if outcomes else "-"


def _peer_vibration(outcomes: Sequence[Outcome]) -> str:
    return f"{_pooled(outcomes, 'peer_vibration'):.2f}" if outcomes else "-"


def _refused(outcomes: Sequence[Outcome]) -> str:
    """What the measurement would not stand for, where there is any."""
    missing = float(np.mean([one.missing for one in outcomes]))
    return f"; {percent(missing, 1)} of the pictures are refused" if missing > 0 else ""


def _read(outcomes: Sequence[Outcome]) -> str:
    return f"{np.mean([one.read for one in outcomes]):.3f}"


def _frequency(outcomes: Sequence[Outcome]) -> str:
    errors = [one.frequency_error for one in outcomes if one.frequency_error is not None]
    return f"{percent(rms(np.array(errors)), 3)} ({len(errors)}/{len(outcomes)})" if errors else "-"
