"""The sinusoids of a record, strongest first, and how sure each of them is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, stats
from scipy.linalg import lapack

from calibration.scale import Axis
from runtime.vibration import record
from runtime.vibration.record import Floats
from runtime.vibration.spectrum import FEWEST_CYCLES, PADDING, Periodogram

FALSE_ALARM = 1e-4
"""Probability that white noise alone is given a frequency, for one record of one axis."""
MOST_TONES = 4
"""Tones of one axis; they are fitted together, so that none pulls another."""

_FLOOR_BINS = 41  # width of the running median that tells the noise floor, and at least ...
_FLOOR_SHARE = 4  # ... this part of the band: wider than a resonance that a long record resolves
_APART = 3.0  # resolvable frequencies between two tones, so that one resonance is not told twice
_LOBES = 10.0  # times a higher peak's side lobes, as power: more is a peak of its own
_NEAR = 6.0  # resolvable frequencies to both sides that tell the noise of a tone
_FEWEST_PARTS, _MOST_PARTS = 4, 16  # of the record, whose phases tell whether a tone wanders
_WANDERS = 3.0  # times the phases' expected variance: a sinusoid in white noise hardly reaches it
_RIDGE = 1e-13  # of a normal equation's diagonal
_LEAST_PX = 1e-9  # of a record that a frozen camera leaves, where only rounding is left to find
_TINY = np.finfo(np.float64).tiny
_ARRIVED = 1e-6  # resolvable frequencies that a step must go for another one to be worth it
_STEPS = 3  # of Gauss and Newton at most


@dataclass(frozen=True, slots=True)
class Tone:
    """A sinusoid: frequency in hertz, peak amplitude in pixels, and how it stands out.

    ``frequency_se_hz`` and ``amplitude_se_px`` are the Cramer-Rao bounds (Rife and Boorstyn, IEEE
    Trans. Information Theory 20, 1974) for the noise that the fit leaves, in all or near the tone,
    whichever is more. A resonance that wind or traffic drives is no sinusoid: its phase wanders, and
    ``frequency_se_hz`` grows by what that does.
    """

    frequency_hz: float
    amplitude_px: float
    frequency_se_hz: float
    amplitude_se_px: float
    axis: Axis | None = None


def tones_of_axes(
    t_s: ArrayLike, x_px: ArrayLike, y_px: ArrayLike, *, stretch: Literal["newest", "longest"]
) -> list[Tone]:
    """The tones of both axes, strongest first; see tones_of."""
    found = []
    axes: tuple[tuple[Axis, ArrayLike], ...] = (("x", x_px), ("y", y_px))
    for axis, moved_px in axes:
        tones = tones_of(t_s, moved_px, false_alarm=FALSE_ALARM / 2, stretch=stretch)
        found += [replace(tone, axis=axis) for tone in tones]
    return sorted(found, key=lambda tone: -tone.amplitude_px)


def distinct(tones: Sequence[Tone], resolution_hz: float, most: int) -> list[Tone]:
    """At most ``most`` of the tones, strongest first, without the weaker of two at one frequency.

    One frequency is what differs by less than the resolution, or than three standard errors.
    """
    kept: list[Tone] = []
    for tone in sorted(tones, key=lambda one: -one.amplitude_px):
        if not any(_same(tone, other, resolution_hz) for other in kept):
            kept.append(tone)
    return kept[:most]


def _same(one: Tone, other: Tone, resolution_hz: float) -> bool:
    apart_hz = abs(one.frequency_hz - other.frequency_hz)
    se_hz = float(np.hypot(one.frequency_se_hz, other.frequency_se_hz))
    return apart_hz < max(resolution_hz, 3 * se_hz)


def shared_frequencies(
    regions: Sequence[Sequence[Tone]], resolution_hz: float, most: int
) -> list[tuple[float, int]]:
    """Frequencies at which two or more regions vibrate, and the region that moves most at each.

    At most ``most``, by the largest amplitude. A frequency is the mean of the regions', weighted by one
    over their squared standard errors.
    """
    every = [(tone, number) for number, tones in enumerate(regions) for tone in tones]
    found: list[tuple[float, int]] = []
    for tone in distinct([tone for tone, _ in every], resolution_hz, len(every)):
        same = [(one, number) for one, number in every if _same(one, tone, resolution_hz)]
        if len({number for _, number in same}) < 2:
            continue
        hz = np.array([one.frequency_hz for one, _ in same])
        weights = np.array([one.frequency_se_hz**-2 for one, _ in same])
        _, strongest = max(same, key=lambda pair: pair[0].amplitude_px)
        found.append((float((hz * weights).sum() / weights.sum()), strongest))
    return found[:most]


def dominant_tone(
    t_s: ArrayLike, x_px: ArrayLike, y_px: ArrayLike, *, stretch: Literal["newest", "longest"]
) -> Tone | None:
    """The stronger of both axes' dominant sinusoids, with its axis; see tones_of."""
    return next(iter(tones_of_axes(t_s, x_px, y_px, stretch=stretch)), None)


def dominant_frequency(
    t_s: ArrayLike,
    x_px: ArrayLike,
    *,
    false_alarm: float = FALSE_ALARM,
    stretch: Literal["newest", "longest"] = "newest",
) -> Tone | None:
    """The strongest sinusoid of one record, or None when nothing stands above the noise."""
    return next(iter(tones_of(t_s, x_px, false_alarm=false_alarm, stretch=stretch)), None)


def tones_of(
    t_s: ArrayLike,
    x_px: ArrayLike,
    *,
    false_alarm: float = FALSE_ALARM,
    stretch: Literal["newest", "longest"] = "newest",
) -> list[Tone]:
    """The sinusoids of one record, strongest first; empty when nothing stands above the noise.

    t_s (s, increasing) and x_px (px, NaN where missing) have the same shape (m,). Used is one
    stretch without gaps of more than LONGEST_GAP_STEPS median steps: the newest, or the longest.

    Peaks of the Hann periodogram count when they are higher than white noise would reach anywhere
    in the band with probability ``false_alarm`` (exponential distribution of a periodogram:
    Scargle, Astrophysical Journal 263, 1982), above a floor from the median, in all and nearby. The
    tones found are then fitted together with a linear trend, by least squares, to the samples at
    their own times: no frequency grid and no interpolation remains in the result.
    """
    found = record.stretch(t_s, x_px, stretch)
    if found is None:
        return []
    time_s, moved_px = found
    time_s = time_s - time_s.mean()
    length_s = time_s[-1] - time_s[0]
    spectrum = Periodogram(time_s)
    fitted = _fitted(time_s, moved_px, np.zeros(0), None)
    power = spectrum.power(fitted.residual_px)
    while room := MOST_TONES - len(fitted.tones_hz):
        known_hz = fitted.tones_hz.tolist()
        peaks_hz = _peaks(spectrum.frequency_hz, power, length_s, false_alarm, known_hz)[:room]
        if not peaks_hz:
            break
        fitted = _fitted(time_s, moved_px, np.array(known_hz + peaks_hz), fitted.turns)
        power = spectrum.power(fitted.residual_px)
    return _with_errors(time_s, fitted, spectrum.frequency_hz, power)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Tones (k,), their amplitudes (k,) and waves (k, n), and what is left of the record (n,)."""

    tones_hz: Floats
    amplitudes_px: Floats
    waves_px: Floats
    residual_px: Floats
    turns: Floats
    """Cosine and sine of every tone at the record's times, (2, k, n): most of a fit's cost."""


def _with_errors(
    time_s: Floats, fitted: _Fitted, frequency_hz: Floats, power: Floats
) -> list[Tone]:
    """The tones, strongest first, without those that belong to a stronger one that wanders.

    ``power`` is the periodogram of what is left.
    """
    count = len(time_s)
    length_s = float(time_s[-1] - time_s[0])
    freedom = max(count - 2 - 3 * len(fitted.tones_hz), 1)
    everywhere = float(np.sum(fitted.residual_px**2) / freedom)
    tones: list[Tone] = []
    inside_hz: list[float] = []  # of tones that wander
    for index in np.argsort(-fitted.amplitudes_px):
        tone_hz, amplitude_px = float(fitted.tones_hz[index]), float(fitted.amplitudes_px[index])
        if any(abs(tone_hz - hz) < _NEAR / length_s for hz in inside_hz):
            continue
        near = np.abs(frequency_hz - tone_hz) < _NEAR / length_s
        # White noise of variance v has a mean of 6 v / count in a Hann periodogram of amplitudes.
        noise_px = float(np.sqrt(max(everywhere, power[near].mean() * count / 6)))
        bound_hz = np.sqrt(6 / count) * noise_px / (np.pi * amplitude_px * length_s)
        neighbours = np.abs(fitted.tones_hz - tone_hz) < _NEAR / length_s
        around_px = fitted.residual_px + fitted.waves_px[neighbours].sum(axis=0)
        wander_hz = _wander_hz(time_s, around_px, tone_hz, fitted.turns[:, index], everywhere)
        if wander_hz > 0:
            inside_hz.append(tone_hz)
        tones.append(
            Tone(
                tone_hz,
                amplitude_px,
                float(np.hypot(bound_hz, wander_hz)),
                float(np.sqrt(2 / count) * noise_px),
            )
        )
    return tones


def _wander_hz(
    time_s: Floats, moved_px: Floats, tone_hz: float, turns: Floats, noise: float
) -> float:
    """Standard error of a frequency because its phase wanders; 0 where noise explains that.

    ``turns`` are the tone's cosine and sine, (2, n).
    The phase of a resonance under random force does a random walk. If it has variance q t after t
    seconds, then over a record of length T its departure from a straight line has a mean square of
    q T / 15, and the line's slope a variance of 6 q / (5 T). ``noise`` is the samples' variance.
    """
    length_s = time_s[-1] - time_s[0]
    # The tone's mirror image, which turns once for each 1 / mirror_hz, stays outside of a part's Hann
    # window when that is two such turns long.
    mirror_hz = min(2 * tone_hz, (len(time_s) - 1) / length_s - 2 * tone_hz)
    parts = min(_MOST_PARTS, int(length_s * mirror_hz / 2))
    if parts < _FEWEST_PARTS:
        return 0.0
    place = (time_s - time_s[0]) / length_s * parts
    starts = np.searchsorted(place, np.arange(parts))
    if starts[-1] > len(time_s) - 2 or (starts[1:] - starts[:-1] < 2).any():
        return 0.0
    window = np.square(np.sin(np.pi * place))
    along, across = np.add.reduceat(window * moved_px * turns, starts, axis=1)
    phasors = 2 * (along - 1j * across) / np.add.reduceat(window, starts)
    steps = np.angle(phasors[1:] * phasors[:-1].conj())  # np.unwrap's, at a fifth of its cost
    phase = np.append(0.0, np.cumsum(steps))
    scatter = float(np.square(phase - record.line_of(phase)).mean())
    # Each phase has a variance of 2 v / (samples x amplitude^2), half as much again by the window, and
    # the line takes two of them.
    amplitude2 = median((phasors.real**2 + phasors.imag**2).tolist())
    expected = 3 * noise * parts / len(time_s) / max(amplitude2, _TINY) * (1 - 2 / parts)
    if scatter < _WANDERS * expected:
        return 0.0
    return float(np.sqrt(18 * (scatter - expected)) / (2 * np.pi * length_s))


def _fitted(time_s: Floats, moved_px: Floats, tones_hz: Floats, known: Floats | None) -> _Fitted:
    """Trend and tones by least squares; frequencies by Gauss-Newton steps from the given ones.

    ``known`` are the ``turns`` of the first of these frequencies, from an earlier fit.
    Normal equations do: times are about their middle and in units of the record's length, and tones
    lie apart, so the columns are nearly orthogonal.
    """
    count = len(tones_hz)
    length_s = time_s[-1] - time_s[0]
    place = time_s / length_s
    trend = np.stack([np.ones_like(place), place])
    for step in range(_STEPS + 1):
        first = 0 if known is None else known.shape[1]
        turns = _turns(time_s, tones_hz[first:])
        if known is not None:
            turns, known = np.concatenate([known, turns], axis=1), None
        cosine, sine = turns
        linear = np.concatenate([trend, cosine, sine])
        answer = _solved(linear, moved_px)
        residual = moved_px - answer @ linear
        along, across = answer[2 : 2 + count], answer[2 + count :]
        if step == _STEPS or count == 0:
            break
        slope = place * (across[:, None] * cosine - along[:, None] * sine)
        change = _solved(np.concatenate([linear, slope]), residual)[-count:]
        change = change / (2 * np.pi * length_s)
        tones_hz = tones_hz + np.clip(change, -0.25 / length_s, 0.25 / length_s)
        if np.abs(change).max() * length_s < _ARRIVED:
            break  # the amplitudes would change by the square of that
    waves = along[:, None] * cosine + across[:, None] * sine
    return _Fitted(tones_hz, np.hypot(along, across), waves, residual, turns)


def _turns(time_s: Floats, tones_hz: Floats) -> Floats:
    """Cosine and sine of each frequency, (2, k, n); a complex exponential takes longer than both."""
    turns: Floats = np.empty((2, len(tones_hz), len(time_s)))
    angle = 2 * np.pi * tones_hz[:, None] * time_s
    np.cos(angle, out=turns[0])
    np.sin(angle, out=turns[1])
    return turns


def _solved(columns: Floats, values: Floats) -> Floats:
    """Least squares for rows of ``columns`` (k, n); a small answer where they depend on each other."""
    gram = columns @ columns.T
    size = np.sqrt(gram.diagonal()) + _TINY
    gram /= size[:, None] * size
    gram.flat[:: len(size) + 1] += _RIDGE
    # What np.linalg.solve calls, too; for a few columns, its own lines would take as long as LAPACK.
    _, _, answer, _ = lapack.dgesv(gram, columns @ values / size)
    return np.asarray(answer / size)


def _peaks(
    frequency_hz: Floats,
    power: Floats,
    length_s: float,
    false_alarm: float,
    known_hz: list[float],
) -> list[float]:
    """Frequencies (Hz) of the significant peaks that are not next to a known one, highest first.

    Without those that may be a higher one's side lobes; what stands beside them shows once it is fitted.
    """
    lowest = int(np.searchsorted(frequency_hz, FEWEST_CYCLES / length_s))
    bins = power[lowest:-1:PADDING]
    # The median of an exponential distribution is ln 2 of its mean. The nearby floor guards against
    # coloured noise; it only ever raises the floor.
    everywhere = record.median_of(bins)
    threshold = _threshold(len(bins), false_alarm)
    inner = power[1:-1]
    peaks = (
        (inner > power[:-2]) & (inner > power[2:]) & (inner > threshold * everywhere / np.log(2))
    )
    peaks[: max(lowest - 1, 0)] = False
    candidates = np.flatnonzero(peaks) + 1
    if not candidates.size:
        return []
    width = min(max(_FLOOR_BINS, len(bins) // _FLOOR_SHARE), len(bins))
    nearby = ndimage.median_filter(bins, size=width, mode="nearest")
    floor = np.maximum(nearby, everywhere) / np.log(2)
    peaks_power = power[candidates]
    # Peaks are parabolas of the logarithm, between points that lie so close.
    before, middle, after = np.log(power[candidates + np.array([[-1], [0], [1]])] + _TINY)
    off = (before - after) / (2 * (before - 2 * middle + after))
    peaks_hz = frequency_hz[candidates] + off * frequency_hz[1]
    floor = np.interp(peaks_hz, frequency_hz[lowest:-1:PADDING], floor)
    stands_out = peaks_power > np.maximum(threshold * floor, _LEAST_PX**2)
    for hz in known_hz:
        stands_out &= np.abs(peaks_hz - hz) > _APART / length_s
    found_hz: list[float] = []
    while stands_out.any():
        highest = int(np.argmax(np.where(stands_out, peaks_power, 0.0)))
        found_hz.append(float(peaks_hz[highest]))
        apart = np.maximum(np.abs(peaks_hz - peaks_hz[highest]) * length_s, _APART)
        # The transform of a Hann window falls from its middle as sin(pi d) / (pi d (1 - d^2)).
        lobes = peaks_power[highest] / np.square(np.pi * apart * (np.square(apart) - 1))
        stands_out &= (apart > _APART) & (peaks_power > _LOBES * lobes)
    return found_hz


@lru_cache(maxsize=64)
def _threshold(bins: int, false_alarm: float) -> float:
    """Ratio to the mean that the highest of a white periodogram exceeds with that probability.

    With a padded Hann periodogram there are about twice as many chances as bins. The floor's own
    scatter is that of a mean of about ``bins / 4`` values, which makes the ratio F-distributed.
    """
    return float(stats.f.isf(false_alarm / (2 * bins), 2, max(bins / 2, 4)))
