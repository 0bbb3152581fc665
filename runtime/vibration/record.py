"""A record: time stamps and values, of which the stretches without long gaps can be analysed.

Time stamps drive everything; no nominal frame rate is used. Missing values are NaN and stay missing.
Only where the mathematics needs even steps are short gaps interpolated.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate

Floats = NDArray[np.float64]

LONGEST_GAP_STEPS = 3.0
"""A gap of more median steps than this ends a stretch; shorter ones are interpolated."""
FEWEST_SAMPLES = 32
"""A stretch with fewer samples has no spectrum and no velocity."""

_EVEN_STEPS = 1e-3  # time stamps that differ from even ones by less than this many steps are even


def stretches(t_s: ArrayLike, x: ArrayLike) -> list[tuple[Floats, Floats]]:
    """Times (m,) and values (..., m) of every stretch without long gaps; all values in it are valid.

    t_s (s, increasing) has shape (n,) and x (..., n). A time counts as missing when any of its values
    is NaN.
    """
    time_s = np.asarray(t_s, dtype=np.float64)
    values = np.asarray(x, dtype=np.float64)
    if len(time_s) < 2:
        return []
    longest_s = LONGEST_GAP_STEPS * step_of(time_s) * (1 + 1e-6)
    valid = np.isfinite(values).all(axis=tuple(range(values.ndim - 1)))
    time_s, values = time_s[valid], values[..., valid]
    if len(time_s) == 0:
        return []
    starts = np.flatnonzero(np.diff(time_s) > longest_s) + 1
    return list(zip(np.split(time_s, starts), np.split(values, starts, axis=-1), strict=True))


def stretch(
    t_s: ArrayLike, x: ArrayLike, which: Literal["newest", "longest"]
) -> tuple[Floats, Floats] | None:
    """One stretch of at least FEWEST_SAMPLES samples, or None; see stretches."""
    found = stretches(t_s, x)
    if not found:
        return None
    chosen = found[-1] if which == "newest" else max(found, key=lambda part: len(part[0]))
    return chosen if len(chosen[0]) >= FEWEST_SAMPLES else None


def alike(marks: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], list[int]]]:
    """Rows that are marked at the same places, most often all of them, to be worked on together."""
    groups: dict[bytes, list[int]] = {}
    for row, marked in enumerate(marks):
        groups.setdefault(marked.tobytes(), []).append(row)
    return [(marks[rows[0]], rows) for rows in groups.values()]


def line_of(values: Floats) -> Floats:
    """The regression line of every row (..., n) of evenly spaced values."""
    count = values.shape[-1]
    place, squares = _places(count)
    mean, slope = values.sum(axis=-1) / count, values @ place / squares
    return np.asarray(mean[..., None] + slope[..., None] * place)


@lru_cache(maxsize=8)
def _places(count: int) -> tuple[Floats, float]:
    """Evenly spaced places about zero, and the sum of their squares."""
    place: Floats = np.arange(count, dtype=np.float64) - (count - 1) / 2
    place.flags.writeable = False
    return place, float(place @ place)


def step_of(time_s: Floats) -> float:
    """The step between samples (s): the median, so that lost frames do not count."""
    return median_of(time_s[1:] - time_s[:-1])


def median_of(values: Floats) -> float:
    """Of values (n,) without NaN, as np.median has it, in a third of its time."""
    middle = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, middle)[middle])
    ordered = np.partition(values, (middle - 1, middle))
    return float(ordered[middle - 1] + ordered[middle]) / 2


def evenly(time_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The same stretch at even steps of about the median step; values have shape (..., n).

    Between samples runs a cubic spline: a straight line takes 6 % of a sine at an eighth of the
    sampling rate away where frames jitter by half a step, the spline .1 %.
    """
    count = round((time_s[-1] - time_s[0]) / step_of(time_s)) + 1
    even_s = np.linspace(time_s[0], time_s[-1], count)
    if count == len(time_s):
        off_s = float(np.abs(even_s - time_s).max())
        if off_s < _EVEN_STEPS * (even_s[1] - even_s[0]):
            return even_s, values
    spline = interpolate.CubicSpline(time_s, values, axis=-1)
    return even_s, np.asarray(spline(even_s), dtype=np.float64)
