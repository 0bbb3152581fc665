"""Operating deflection shapes: how the regions move together at one frequency.

A shape holds complex amplitudes relative to one region's, so that it does not depend on when the
record began. Coherence says how much of a region's motion at that frequency goes with the
reference's; without it a shape is only noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failure import Failure
from runtime.vibration.record import Floats

Complexes = NDArray[np.complex128]

_SEGMENTS = 4  # lengths of a segment in the record; with half overlap, 2 n - 1 segments
_FEWEST_CYCLES = 3.0  # in a segment
_LEAST_SHARE = 0.5  # of a segment's samples that must be measured, at the region and the reference


@dataclass(frozen=True, slots=True)
class Shape:
    """Motion at ``frequency_hz``; arrays (points,), NaN where too little was measured.

    ``ratio`` is complex: the motion of each point over the reference's, its angle the lead in phase.
    ``ratio_se`` is the standard error of its magnitude, and of its angle when divided by the
    magnitude. ``amplitude_px`` is the peak amplitude of what goes with the reference.
    """

    frequency_hz: float
    reference: int
    ratio: Complexes
    ratio_se: Floats
    coherence: Floats
    amplitude_px: Floats


def shape_at(
    t_s: ArrayLike, moved_px: ArrayLike, frequency_hz: float, reference: int
) -> Shape | None:
    """The deflection shape of points that were measured in the same pictures.

    t_s (n,) in seconds, increasing; moved_px (points, n), NaN where missing; ``reference`` is the point
    that the others are compared with. Cross spectra over overlapping Hann segments, at exactly this
    frequency and at the samples' own times; the ratio is the H1 estimate and its error from Bendat and
    Piersol, Random Data, 4th edition 2010, table 9.6. None when the record has too few cycles, or the
    reference too few samples.
    """
    time_s = np.asarray(t_s, dtype=np.float64)
    moved = np.atleast_2d(np.asarray(moved_px, dtype=np.float64))
    if len(time_s) < 2:
        return None
    length_s = (time_s[-1] - time_s[0]) / _SEGMENTS
    if length_s * frequency_hz < _FEWEST_CYCLES:
        return None
    starts_s = time_s[0] + length_s / 2 * np.arange(2 * _SEGMENTS - 1)
    phasors = np.stack(
        [_phasors(time_s, moved, start_s, length_s, frequency_hz) for start_s in starts_s]
    )
    known = np.isfinite(phasors) & np.isfinite(phasors[:, [reference]])
    count = known.sum(axis=0)
    if count[reference] < 2:
        return None
    phasors = np.where(known, phasors, 0)
    base = np.where(known, phasors[:, [reference]], 0)
    power, base_power = ((np.abs(one) ** 2).sum(axis=0) for one in (phasors, base))
    cross = (phasors * base.conj()).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(count > 1, cross / base_power, np.nan)
        coherence = np.where(count > 1, np.abs(cross) ** 2 / (power * base_power), np.nan)
        # Overlapping Hann segments are worth about 36 / 38 independent ones each.
        spread = (1 - coherence) / (2 * coherence * count * 36 / 38)
        ratio_se = np.abs(ratio) * np.sqrt(np.maximum(spread, 0))
        amplitude_px = np.abs(ratio) * np.sqrt(base_power / count)
    return Shape(frequency_hz, reference, ratio, ratio_se, coherence, amplitude_px)


def _phasors(
    time_s: Floats, moved: Floats, start_s: float, length_s: float, frequency_hz: float
) -> Complexes:
    """Complex peak amplitudes (points,) of one segment; NaN where too little was measured."""
    inside = (time_s >= start_s) & (time_s <= start_s + length_s)
    at_s, values = time_s[inside], moved[:, inside]
    known = np.isfinite(values)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (at_s - start_s) / length_s)
    weights = window * known
    total = weights.sum(axis=1)
    expected = length_s / 2 / np.median(np.diff(time_s))
    enough = total > _LEAST_SHARE * expected
    total = np.where(enough, total, np.nan)  # NaN divides without a warning, 0 does not
    values = np.where(known, values, 0)
    mean = (weights * values).sum(axis=1) / total
    turns = np.exp(-2j * np.pi * frequency_hz * at_s)
    sums = 2 * ((values - mean[:, None]) * weights) @ turns
    found = np.where(enough, sums, np.nan) / np.where(enough, total, 1.0)
    return np.asarray(found, dtype=np.complex128)


def mac(one: ArrayLike, other: ArrayLike) -> float:
    """Modal assurance criterion of two shapes (points,): 1 when one is a multiple of the other.

    |a^H b|^2 / (a^H a b^H b) for complex a and b (Allemang, The modal assurance criterion: twenty
    years of use and abuse, Sound and Vibration 37, 2003). Points that are NaN in either are left out.
    Raises Failure when the shapes are of different points, or nothing is left to be compared.
    """
    a, b = np.asarray(one, dtype=np.complex128), np.asarray(other, dtype=np.complex128)
    if a.shape != b.shape or a.ndim != 1:
        raise Failure(
            f"shapes of {a.shape} and {b.shape} points cannot be compared; give both the same points"
        )
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    sizes = float(np.vdot(a, a).real * np.vdot(b, b).real)
    if sizes == 0:
        raise Failure("the shapes have no point with motion in common; compare others")
    return float(np.abs(np.vdot(a, b)) ** 2 / sizes)
