"""How much a region moves: RMS, peak, peak to peak, and peak particle velocity with its frequency."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from calibration.scale import Axis, Scale
from runtime.vibration.derivatives import Motion, motion_in_band, usable_band
from runtime.vibration.record import FEWEST_SAMPLES, Floats, alike, step_of, stretches

AXES: tuple[Axis, Axis] = ("x", "y")

_FEWEST_LEVEL_SAMPLES = 8
_LEAST_NOISE_PX = 1e-9  # so that a perfect picture divides by something
_LEAST_COVERAGE = 0.5  # of the level window, in time and in samples
_LEAST_CYCLES = 0.5  # of the band's lower edge, in a stretch whose velocity is told
_INDEPENDENT_PEAKS = 6  # at most, of those that noise may have made the largest
_METHOD_SHARE = 0.01  # of a value: error at the ends of records and between samples
_MARGIN_CYCLES = 2.0  # of the band's lower edge, before the level window, to know slow motion by


@dataclass(frozen=True, slots=True)
class Levels:
    """How much a region moves, about its mean; None where too few samples are valid.

    All are the larger of the x and y axis, in pixels. RMS and peak displacement are of the samples
    as they are. ``signal_to_noise`` is the larger, over the axes, of RMS displacement over the RMS of
    the single measurements' standard errors (their noise, without the first picture's constant share):
    1 for pure noise. The RMS and not the median, because under video compression the error of a few
    pictures may be most of the noise.

    Peak to peak, velocity and acceleration are of the motion without most of its noise, velocity
    and acceleration inside the configured band; see ``derivatives.py``. ``ppv`` is the peak particle
    velocity: the largest magnitude of one component; ``ppv_hz`` is the frequency at that instant, from
    the zero crossings around it. Where no motion stands above the noise they are about zero.

    Millimetres are there where the region has a scale, and are the larger of the axes in millimetres;
    ``ppv_hz`` is then of that axis. The uncertainty (``_se``) of RMS and peak displacement is the
    scale's, and noise shows in ``signal_to_noise``; the others' is of scale and noise together. Where
    no motion stands above the noise, it is what the noise may hide.
    """

    displacement_rms_px: float | None
    displacement_peak_px: float | None
    signal_to_noise: float | None
    displacement_rms_mm: float | None = None
    displacement_rms_se_mm: float | None = None
    displacement_peak_mm: float | None = None
    displacement_peak_se_mm: float | None = None
    displacement_peak_to_peak_px: float | None = None
    displacement_peak_to_peak_mm: float | None = None
    displacement_peak_to_peak_se_mm: float | None = None
    velocity_rms_px_s: float | None = None
    velocity_rms_mm_s: float | None = None
    velocity_rms_se_mm_s: float | None = None
    ppv_px_s: float | None = None
    ppv_mm_s: float | None = None
    ppv_se_mm_s: float | None = None
    ppv_hz: float | None = None
    acceleration_rms_px_s2: float | None = None
    acceleration_rms_mm_s2: float | None = None
    acceleration_rms_se_mm_s2: float | None = None
    acceleration_peak_px_s2: float | None = None
    acceleration_peak_mm_s2: float | None = None
    acceleration_peak_se_mm_s2: float | None = None

    def by_name(self) -> dict[str, float | None]:
        """All of them; dataclasses.asdict would copy each, at ten times the cost."""
        return {name: getattr(self, name) for name in self.__slots__}


def margin_s(low_hz: float) -> float:
    """How much time before the level window is used to know slow motion by."""
    return _MARGIN_CYCLES / low_hz


def levels_of(
    t_s: Floats,
    moved_px: Floats,
    noise_px: Floats,
    scale: Scale | None = None,
    *,
    level_s: float,
    low_hz: float,
    high_hz: float | None = None,
) -> Levels:
    """Levels of one region, moved_px and noise_px (2, n); see levels_of_regions."""
    [levels] = levels_of_regions(
        t_s,
        moved_px[None],
        noise_px[None],
        [scale],
        level_s=level_s,
        low_hz=low_hz,
        high_hz=high_hz,
    )
    return levels


def levels_of_regions(
    t_s: Floats,
    moved_px: Floats,
    noise_px: Floats,
    scales: Sequence[Scale | None],
    *,
    level_s: float,
    low_hz: float,
    high_hz: float | None = None,
    motion: bool = True,
) -> list[Levels]:
    """Levels over the newest ``level_s`` seconds of each region's record, faster than one by one.

    t_s (n,) in seconds, increasing; moved_px and noise_px (regions, 2, n), x and y and the standard
    error of each measurement, NaN where missing. What came before the level window only tells slow
    motion. Velocity and acceleration are of the band from ``low_hz`` to ``high_hz``, which ends at 0.8
    of the Nyquist frequency at the latest. Without ``motion``, they and the peak to peak are left out,
    which are most of the work.
    """
    if len(t_s) == 0:
        return [Levels(None, None, None)] * len(moved_px)
    begins_s = float(t_s[-1]) - level_s
    newest = t_s >= begins_s
    moved, noise = moved_px.reshape(-1, len(t_s)), noise_px.reshape(-1, len(t_s))
    motions: list[_AxisMotion | None] = [None] * len(moved)
    if motion:
        motions = _motions(t_s, moved, noise, begins_s, level_s, low_hz, high_hz)
    levels = _axis_levels(t_s[newest], moved[:, newest], noise[:, newest], level_s)
    told = []
    for number, scale in enumerate(scales):
        found: dict[Axis, tuple[float, float, float]] = {}
        moving: dict[Axis, _AxisMotion] = {}
        for row, axis in enumerate(AXES, 2 * number):
            level, moves = levels[row], motions[row]
            if level is not None:
                found[axis] = level
                if moves is not None:
                    moving[axis] = moves
        told.append(_levels(found, moving, scale))
    return told


def _levels(
    found: dict[Axis, tuple[float, float, float]],
    moving: dict[Axis, "_AxisMotion"],
    scale: Scale | None,
) -> Levels:
    """The larger of the axes of everything."""
    if not found:
        return Levels(None, None, None)
    rms, peak, ratio = (max(values) for values in zip(*found.values(), strict=True))
    values = {"displacement_rms_px": rms, "displacement_peak_px": peak}
    if scale is not None:
        for number, name in enumerate(("displacement_rms", "displacement_peak")):
            value_mm, se_mm = max(scale.mm(axis, level[number]) for axis, level in found.items())
            values |= {f"{name}_mm": value_mm, f"{name}_se_mm": se_mm}
    return Levels(signal_to_noise=ratio, **values, **_of_motion(moving, scale))


def _axis_levels(
    t_s: Floats, moved_px: Floats, noise_px: Floats, level_s: float
) -> list[tuple[float, float, float] | None]:
    """RMS, peak and signal to noise of every row; None where too little is known."""
    found: list[tuple[float, float, float] | None] = [None] * len(moved_px)
    for valid, rows in alike(np.isfinite(moved_px) & np.isfinite(noise_px)):
        if np.count_nonzero(valid) < max(_FEWEST_LEVEL_SAMPLES, _LEAST_COVERAGE * len(t_s)):
            continue
        known_s = t_s[valid]
        if known_s[-1] - known_s[0] < _LEAST_COVERAGE * level_s:
            continue
        moved, noise = moved_px[rows][:, valid], noise_px[rows][:, valid]
        moved = moved - moved.mean(axis=1, keepdims=True)
        rms = np.sqrt(np.square(moved).mean(axis=1))
        ratio = rms / np.maximum(np.sqrt(np.square(noise).mean(axis=1)), _LEAST_NOISE_PX)
        three = np.stack([rms, np.abs(moved).max(axis=1), ratio], axis=1).tolist()
        for row, (one, peak, other) in zip(rows, three, strict=True):
            found[row] = one, peak, other
    return found


@dataclass(frozen=True, slots=True)
class _Part:
    """One stretch of several rows: everything of it inside the level window.

    ``values`` are displacement, velocity and acceleration, each (rows, n); ``se`` theirs, (rows,).
    """

    t_s: Floats
    values: tuple[Floats, Floats, Floats]
    se: tuple[Floats, Floats, Floats]


@dataclass(frozen=True, slots=True)
class _AxisMotion:
    """One axis: a value and its standard error for each of MOTION; which row of the parts it is."""

    levels: tuple[tuple[float, float], ...]
    parts: "list[_Part]"
    row: int


def _motions(
    t_s: Floats,
    moved_px: Floats,
    noise_px: Floats,
    begins_s: float,
    level_s: float,
    low_hz: float,
    high_hz: float | None,
) -> "list[_AxisMotion | None]":
    """Every row's motion inside the level window; None where too little of that is known."""
    found: list[_AxisMotion | None] = [None] * len(moved_px)
    for _, rows in alike(np.isnan(moved_px) | np.isnan(noise_px)):
        covered_s = 0.0
        parts: list[_Part] = []
        for time_s, both in stretches(t_s, np.concatenate([moved_px[rows], noise_px[rows]])):
            if time_s[-1] <= begins_s or len(time_s) < FEWEST_SAMPLES:
                continue
            band = usable_band(1 / step_of(time_s), low_hz, high_hz)
            if band is None or (time_s[-1] - time_s[0]) * band.low_hz < _LEAST_CYCLES:
                continue
            moved, noise = both[: len(rows)], both[len(rows) :]
            motion = motion_in_band(time_s, moved, np.sqrt(np.square(noise).mean(axis=1)), band)
            covered_s += float(time_s[-1] - max(time_s[0], begins_s))
            parts.append(_part(motion, begins_s))
        if covered_s >= _LEAST_COVERAGE * level_s * (1 - 1e-6):
            for row, one in zip(rows, _axis_motions(parts), strict=True):
                found[row] = one
    return found


def _part(motion: Motion, begins_s: float) -> _Part:
    first = min(int(np.searchsorted(motion.t_s, begins_s)), len(motion.t_s) - 2)
    x, v, a = motion.displacement_px, motion.velocity_px_s, motion.acceleration_px_s2
    values = x.values[:, first:], v.values[:, first:], a.values[:, first:]
    return _Part(motion.t_s[first:], values, (x.se, v.se, a.se))


MOTION = (
    ("displacement_peak_to_peak", ""),
    ("velocity_rms", "_s"),
    ("ppv", "_s"),
    ("acceleration_rms", "_s2"),
    ("acceleration_peak", "_s2"),
)
"""What Levels has of displacement's range, velocity and acceleration, and what follows the unit's mm or px."""


def _axis_motions(parts: list[_Part]) -> list[_AxisMotion]:
    """Everything of MOTION for every row of the parts, which have the same rows."""
    found = (_peak_to_peak(parts), _rms(parts, 1), _peak(parts, 1), _rms(parts, 2), _peak(parts, 2))
    # The error that differentiation itself may make is in the standard error.
    with_method = [(value, np.hypot(se, _METHOD_SHARE * value)) for value, se in found]
    table = np.array(with_method).transpose(2, 0, 1).tolist()
    return [
        _AxisMotion(tuple((value, se) for value, se in levels), parts, row)
        for row, levels in enumerate(table)
    ]


def _of_motion(motions: dict[Axis, _AxisMotion], scale: Scale | None) -> dict[str, float]:
    """The larger of the axes of each of MOTION; empty without motion."""
    if not motions:
        return {}
    told: dict[str, float] = {}
    for number, (name, unit) in enumerate(MOTION):
        found = {axis: motion.levels[number] for axis, motion in motions.items()}
        largest = max(found, key=lambda axis: found[axis][0])
        told[f"{name}_px{unit}"] = found[largest][0]
        if scale is not None:
            in_mm = {axis: scale.mm(axis, *found[axis]) for axis in found}
            largest = max(in_mm, key=lambda axis: in_mm[axis][0])
            told[f"{name}_mm{unit}"], told[f"{name}_se_mm{unit}"] = in_mm[largest]
        if name == "ppv":
            frequency_hz = _frequency_at_peak(motions[largest].parts, motions[largest].row)
            told |= {} if frequency_hz is None else {"ppv_hz": frequency_hz}
    return told


def _rms(parts: list[_Part], which: int) -> tuple[Floats, Floats]:
    """RMS, and the standard error of a single value, which is more than that of the RMS; (rows,)."""
    values = [part.values[which] for part in parts]
    squares = sum(np.einsum("ij,ij->i", one, one) for one in values)
    rms: Floats = np.sqrt(squares / sum(one.shape[1] for one in values))
    return rms, np.max([part.se[which] for part in parts], axis=0)


def _peak(parts: list[_Part], which: int) -> tuple[Floats, Floats]:
    """The largest magnitude, less what noise adds to a largest one, and its standard error; (rows,)."""
    return _largest([(np.abs(part.values[which]), part.se[which]) for part in parts])


def _peak_to_peak(parts: list[_Part]) -> tuple[Floats, Floats]:
    """The range of displacement; its ends' errors are independent; (rows,)."""
    start = parts[0].values[0][:, :1]
    highest, high_se = _largest([(part.values[0] - start, part.se[0]) for part in parts])
    lowest, low_se = _largest([(start - part.values[0], part.se[0]) for part in parts])
    return np.maximum(highest + lowest, 0.0), np.hypot(high_se, low_se)


def _largest(parts: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """The largest value less the expected maximum of the noise of all peaks that could have been it.

    Those are the peaks within two standard errors. Noise inside a narrow band changes slowly, so that
    of many peaks only some are independent. Expected maximum of k normal values: Blom, Statistical
    Estimates and Transformed Beta-Variables, 1958. Of every row (rows, n) of values.
    """
    tops = [_tops(values) for values, _ in parts]
    highest = np.array([top.max(axis=1) for top in tops])
    rows = np.arange(highest.shape[1])
    best = np.argmax(highest, axis=0)
    largest: Floats = highest[best, rows]
    se: Floats = np.array([one for _, one in parts])[best, rows]
    reach = (largest - 2 * se)[:, None]
    near = sum(np.count_nonzero(top > reach, axis=1) for top in tops)
    count = np.clip(near, 1, _INDEPENDENT_PEAKS)
    excess = special.ndtri((count - 0.375) / (count + 0.25)) * se
    return largest - np.minimum(excess, np.abs(largest) / 2), se


def _tops(values: Floats) -> Floats:
    """The local maxima of every row, each from the parabola through three values, and both ends.

    What is none is minus infinity; (rows, n).
    """
    tops = np.full_like(values, -np.inf)
    tops[:, 0], tops[:, -1] = values[:, 0], values[:, -1]
    left, middle, right = values[:, :-2], values[:, 1:-1], values[:, 2:]
    row, at = np.nonzero((middle >= left) & (middle > right))
    left, middle, right = left[row, at], middle[row, at], right[row, at]
    tops[row, at + 1] = middle - np.square(left - right) / (8 * (left - 2 * middle + right))
    return tops


def _frequency_at_peak(parts: list[_Part], row: int) -> float | None:
    """Of one row. Half a cycle is the time between the zero crossings of velocity before and after its peak.

    Where the record ends before the second crossing, a quarter is taken from the first. None without
    any crossing.
    """
    part = max(parts, key=lambda one: float(np.abs(one.values[1][row]).max()))
    speed, t_s = part.values[1][row], part.t_s
    peak = int(np.argmax(np.abs(speed)))
    if speed[peak] == 0:
        return None
    opposite = np.flatnonzero(speed * np.sign(speed[peak]) <= 0)
    after, before = opposite[opposite > peak], opposite[opposite < peak]
    crossings = []
    if len(before):
        crossings.append(_zero_between(t_s, speed, int(before[-1])))
    if len(after):
        crossings.append(_zero_between(t_s, speed, int(after[0]) - 1))
    if len(crossings) == 2:
        return 1 / (2 * (crossings[1] - crossings[0]))
    return 1 / (4 * abs(crossings[0] - float(t_s[peak]))) if crossings else None


def _zero_between(t_s: Floats, speed: Floats, index: int) -> float:
    """Where the straight line from one value to the next is zero."""
    one, other = float(speed[index]), float(speed[index + 1])
    share = one / (one - other) if one != other else 0.0
    return float(t_s[index] + share * (t_s[index + 1] - t_s[index]))
