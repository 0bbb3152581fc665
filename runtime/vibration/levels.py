"""How much a region moves: RMS, peak, peak to peak, and peak particle velocity with its frequency."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from calibration.scale import Axis, Scale
from runtime.vibration.derivatives import Derivative, Motion, motion_in_band, usable_band
from runtime.vibration.record import FEWEST_SAMPLES, Floats, step_of, stretches

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
) -> list[Levels]:
    """Levels over the newest ``level_s`` seconds of each region's record, faster than one by one.

    t_s (n,) in seconds, increasing; moved_px and noise_px (regions, 2, n), x and y and the standard
    error of each measurement, NaN where missing. What came before the level window only tells slow
    motion. Velocity and acceleration are of the band from ``low_hz`` to ``high_hz``, which ends at 0.8
    of the Nyquist frequency at the latest.
    """
    if len(t_s) == 0:
        return [Levels(None, None, None)] * len(moved_px)
    begins_s = float(t_s[-1]) - level_s
    newest = t_s >= begins_s
    flat = moved_px.reshape(-1, len(t_s)), noise_px.reshape(-1, len(t_s))
    motions = _motions(t_s, *flat, begins_s, level_s, low_hz, high_hz)
    told = []
    for number, scale in enumerate(scales):
        found: dict[Axis, tuple[float, float, float]] = {}
        moving: dict[Axis, list[_Part]] = {}
        for row, axis in enumerate(AXES):
            moved, noise = moved_px[number, row, newest], noise_px[number, row, newest]
            level = _axis_level(t_s[newest], moved, noise, level_s)
            if level is not None:
                found[axis] = level
                if motions[2 * number + row]:
                    moving[axis] = motions[2 * number + row]
        told.append(_levels(found, moving, scale))
    return told


def _levels(
    found: dict[Axis, tuple[float, float, float]],
    moving: dict[Axis, list["_Part"]],
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


def _axis_level(
    t_s: Floats, moved_px: Floats, noise_px: Floats, level_s: float
) -> tuple[float, float, float] | None:
    """RMS, peak and signal to noise of one axis."""
    valid = np.isfinite(moved_px) & np.isfinite(noise_px)
    if np.count_nonzero(valid) < max(_FEWEST_LEVEL_SAMPLES, _LEAST_COVERAGE * len(t_s)):
        return None
    t_s, moved_px, noise_px = t_s[valid], moved_px[valid], noise_px[valid]
    if t_s[-1] - t_s[0] < _LEAST_COVERAGE * level_s:
        return None
    moved_px = moved_px - moved_px.mean()
    rms = np.sqrt(np.square(moved_px).mean())
    ratio = rms / max(np.sqrt(np.square(noise_px).mean()), _LEAST_NOISE_PX)
    return float(rms), float(np.abs(moved_px).max()), float(ratio)


@dataclass(frozen=True, slots=True)
class _Part:
    """One stretch of one axis: everything of it inside the level window."""

    t_s: Floats
    values: tuple[Floats, Floats, Floats]
    se: tuple[float, float, float]


def _motions(
    t_s: Floats,
    moved_px: Floats,
    noise_px: Floats,
    begins_s: float,
    level_s: float,
    low_hz: float,
    high_hz: float | None,
) -> list[list[_Part]]:
    """Every row's motion inside the level window; empty where too little of that is known."""
    missing = np.isnan(moved_px) | np.isnan(noise_px)
    # Most rows miss the same samples, most often none, and are worked on together.
    groups: dict[bytes, list[int]] = {}
    for row, lost in enumerate(missing):
        groups.setdefault(lost.tobytes(), []).append(row)
    found: list[list[_Part]] = [[] for _ in missing]
    for rows in groups.values():
        covered_s = 0.0
        parts: list[list[_Part]] = [[] for _ in rows]
        for time_s, both in stretches(t_s, np.concatenate([moved_px[rows], noise_px[rows]])):
            if time_s[-1] <= begins_s or len(time_s) < FEWEST_SAMPLES:
                continue
            band = usable_band(1 / step_of(time_s), low_hz, high_hz)
            if band is None or (time_s[-1] - time_s[0]) * band.low_hz < _LEAST_CYCLES:
                continue
            moved, noise = both[: len(rows)], both[len(rows) :]
            motion = motion_in_band(time_s, moved, np.sqrt(np.square(noise).mean(axis=1)), band)
            covered_s += float(time_s[-1] - max(time_s[0], begins_s))
            for row, part in enumerate(parts):
                part.append(_part(motion, row, begins_s))
        if covered_s >= _LEAST_COVERAGE * level_s * (1 - 1e-6):
            for row, part in zip(rows, parts, strict=True):
                found[row] = part
    return found


def _part(motion: Motion, row: int, begins_s: float) -> _Part:
    first = min(int(np.searchsorted(motion.t_s, begins_s)), len(motion.t_s) - 2)

    def values(one: Derivative) -> Floats:
        cut: Floats = one.values[row, first:]
        return cut

    three = (motion.displacement_px, motion.velocity_px_s, motion.acceleration_px_s2)
    x, v, a = (values(one) for one in three)
    x_se, v_se, a_se = (float(one.se[row]) for one in three)
    return _Part(motion.t_s[first:], (x, v, a), (x_se, v_se, a_se))


def _of_motion(motions: dict[Axis, list[_Part]], scale: Scale | None) -> dict[str, float]:
    """What Levels has of displacement's range, velocity and acceleration; empty without motion."""
    if not motions:
        return {}
    told: dict[str, float] = {}
    for name, unit, pick in (
        ("displacement_peak_to_peak", "", _peak_to_peak),
        ("velocity_rms", "_s", lambda parts: _rms(parts, 1)),
        ("ppv", "_s", lambda parts: _peak(parts, 1)),
        ("acceleration_rms", "_s2", lambda parts: _rms(parts, 2)),
        ("acceleration_peak", "_s2", lambda parts: _peak(parts, 2)),
    ):
        found = {axis: _with_method(*pick(parts)) for axis, parts in motions.items()}
        largest = max(found, key=lambda axis: found[axis][0])
        told[f"{name}_px{unit}"] = found[largest][0]
        if scale is not None:
            in_mm = {axis: scale.mm(axis, *found[axis]) for axis in found}
            largest = max(in_mm, key=lambda axis: in_mm[axis][0])
            told[f"{name}_mm{unit}"], told[f"{name}_se_mm{unit}"] = in_mm[largest]
        if name == "ppv" and (frequency_hz := _frequency_at_peak(motions[largest])) is not None:
            told["ppv_hz"] = frequency_hz
    return told


def _with_method(value: float, se: float) -> tuple[float, float]:
    """A value with the error that differentiation itself may make, in its standard error."""
    return value, float(np.hypot(se, _METHOD_SHARE * value))


def _rms(parts: list[_Part], which: int) -> tuple[float, float]:
    """RMS, and the standard error of a single value, which is more than that of the RMS."""
    squares = np.concatenate([np.square(part.values[which]) for part in parts])
    return float(np.sqrt(squares.mean())), max(part.se[which] for part in parts)


def _peak(parts: list[_Part], which: int) -> tuple[float, float]:
    """The largest magnitude, less what noise adds to a largest one, and its standard error."""
    return _largest([(np.abs(part.values[which]), part.se[which]) for part in parts])


def _peak_to_peak(parts: list[_Part]) -> tuple[float, float]:
    """The range of displacement; its ends' errors are independent."""
    start = float(parts[0].values[0][0])
    highest, high_se = _largest([(part.values[0] - start, part.se[0]) for part in parts])
    lowest, low_se = _largest([(start - part.values[0], part.se[0]) for part in parts])
    return max(highest + lowest, 0.0), float(np.hypot(high_se, low_se))


def _largest(parts: list[tuple[Floats, float]]) -> tuple[float, float]:
    """The largest value less the expected maximum of the noise of all peaks that could have been it.

    Those are the peaks within two standard errors. Noise inside a narrow band changes slowly, so that
    of many peaks only some are independent. Expected maximum of k normal values: Blom, Statistical
    Estimates and Transformed Beta-Variables, 1958.
    """
    tops = [_tops(values) for values, _ in parts]
    largest, se = max((float(top.max()), se) for top, (_, se) in zip(tops, parts, strict=True))
    near = sum(int(np.count_nonzero(top > largest - 2 * se)) for top in tops)
    count = min(max(near, 1), _INDEPENDENT_PEAKS)
    excess = float(special.ndtri((count - 0.375) / (count + 0.25))) * se
    return largest - min(excess, abs(largest) / 2), se


def _tops(values: Floats) -> Floats:
    """The local maxima, each from the parabola through three values, and both ends."""
    left, middle, right = values[:-2], values[1:-1], values[2:]
    at = np.flatnonzero((middle >= left) & (middle > right))
    left, middle, right = left[at], middle[at], right[at]
    tops = middle - np.square(left - right) / (8 * (left - 2 * middle + right))
    return np.concatenate([tops, values[[0, -1]]])


def _frequency_at_peak(parts: list[_Part]) -> float | None:
    """Half a cycle is the time between the zero crossings of velocity before and after its peak.

    Where the record ends before the second crossing, a quarter is taken from the first. None without
    any crossing.
    """
    part = max(parts, key=lambda one: float(np.abs(one.values[1]).max()))
    speed, t_s = part.values[1], part.t_s
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
