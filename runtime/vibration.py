"""A window of displacement becomes numbers: level, signal to noise, spectrum, dominant frequency.

Time stamps drive everything; no nominal frame rate is used. Missing values stay missing: they are
left out of levels, and only where the spectrum needs even steps are short gaps interpolated.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, signal, stats

from calibration.scale import Axis, Scale
from runtime.displacement import Displacement

Floats = NDArray[np.float64]

FALSE_ALARM = 1e-4
"""Probability that white noise alone is given a dominant frequency, for one record of one axis."""
LONGEST_GAP_STEPS = 3.0
"""A gap of more median steps than this ends a stretch; shorter ones are interpolated."""
FEWEST_SAMPLES = 32
"""A record with fewer samples has no spectrum."""
FEWEST_CYCLES = 2.0
"""A dominant frequency has at least this many cycles in the record; slower motion is drift."""
MOST_SAMPLES = 16384
"""What a window keeps at most, whatever its length in time."""

_PADDING = 8  # spectrum points for each resolvable frequency
_FLOOR_BINS = 41  # width of the running median that tells the noise floor, and at least ...
_FLOOR_SHARE = 4  # ... this part of the band: wider than a resonance that a long record resolves
_MOST_TONES = 4  # fitted together, so that the others do not pull the dominant one
_FEWEST_LEVEL_SAMPLES = 8
_LEAST_NOISE_PX = 1e-9  # so that a perfect picture divides by something
_LEAST_COVERAGE = 0.5  # of the level window, in time and in samples


@dataclass(frozen=True, slots=True)
class Levels:
    """How much a region moves, about its mean; None where too few samples are valid.

    RMS and peak are the larger of the x and y axis, in pixels. ``signal_to_noise`` is the larger,
    over the axes, of RMS displacement over the RMS of the single measurements' standard errors
    (their noise, without the first picture's constant share): 1 for pure noise. The RMS and not the
    median, because under video compression the error of a few pictures may be most of the noise.

    Millimetres are there where the region has a scale, and are the larger of the axes in millimetres.
    Their uncertainty is the scale's; that of the measurement shows in ``signal_to_noise``.
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


@dataclass(frozen=True, slots=True)
class Tone:
    """A sinusoid: frequency in hertz, peak amplitude in pixels, and how it stands out.

    ``frequency_se_hz`` and ``amplitude_se_px`` are the Cramer-Rao bounds for the noise that the fit
    leaves (Rife and Boorstyn, IEEE Trans. Information Theory 20, 1974).
    """

    frequency_hz: float
    amplitude_px: float
    frequency_se_hz: float
    amplitude_se_px: float
    axis: Axis | None = None


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Single-sided amplitude spectra: a sinusoid of A px stands A px high. All arrays (n,).

    An axis without enough samples is NaN throughout.
    """

    frequency_hz: Floats
    x_px: Floats
    y_px: Floats


class VibrationWindow:
    """The newest ``window_s`` seconds of one region's displacement; memory is bounded.

    Samples older than the window, or beyond ``most_samples``, are forgotten. A sample that is not
    later than the one before (a file that starts over, a camera that came back) empties the window.
    """

    def __init__(
        self, window_s: float, level_s: float, *, most_samples: int = MOST_SAMPLES
    ) -> None:
        self._window_ns = round(window_s * 1e9)
        self._level_ns = round(level_s * 1e9)
        self._kept_ns = max(self._window_ns, self._level_ns)
        self._samples: deque[tuple[int, float, float, float, float]] = deque(maxlen=most_samples)

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, displacement: Displacement) -> None:
        """Take one measurement; an invalid one counts as a frame whose values are missing."""
        t_ns = displacement.t_capture_ns
        if self._samples and t_ns <= self._samples[-1][0]:
            self._samples.clear()
        x, x_noise = _known(displacement.x_px, displacement.x_noise_px, displacement.x_se_px)
        y, y_noise = _known(displacement.y_px, displacement.y_noise_px, displacement.y_se_px)
        self._samples.append((t_ns, x, y, x_noise, y_noise))
        while t_ns - self._samples[0][0] > self._kept_ns:
            self._samples.popleft()

    @property
    def rate_hz(self) -> float | None:
        """Frames a second, from the median step between time stamps; None for fewer than three."""
        if len(self._samples) < 3:
            return None
        t_ns = np.array([sample[0] for sample in self._samples])
        return float(1e9 / np.median(np.diff(t_ns)))

    def levels(self, scale: Scale | None = None) -> Levels:
        """Levels over the newest ``level_s`` seconds; in millimetres, too, with a ``scale``."""
        rows = []
        for sample in reversed(self._samples):
            if self._samples[-1][0] - sample[0] > self._level_ns:
                break
            rows.append(sample)
        table = np.array(rows, dtype=np.float64)[::-1]
        axes: tuple[Axis, Axis] = ("x", "y")
        found = {
            axis: level
            for column, axis in enumerate(axes, start=1)
            if rows and (level := self._axis_level(table, column)) is not None
        }
        if not found:
            return Levels(None, None, None)
        rms, peak, ratio = (max(values) for values in zip(*found.values(), strict=True))
        if scale is None:
            return Levels(rms, peak, ratio)
        rms_mm, rms_se_mm = max(scale.mm(axis, level[0]) for axis, level in found.items())
        peak_mm, peak_se_mm = max(scale.mm(axis, level[1]) for axis, level in found.items())
        return Levels(rms, peak, ratio, rms_mm, rms_se_mm, peak_mm, peak_se_mm)

    def _axis_level(self, table: Floats, axis: int) -> tuple[float, float, float] | None:
        """RMS, peak and signal to noise of one axis; rows of the table are samples."""
        t_ns, moved, noise = table[:, 0], table[:, axis], table[:, axis + 2]
        valid = np.isfinite(moved) & np.isfinite(noise)
        count = np.count_nonzero(valid)
        if count < max(_FEWEST_LEVEL_SAMPLES, _LEAST_COVERAGE * len(table)):
            return None
        t_ns, moved, noise = t_ns[valid], moved[valid], noise[valid]
        if t_ns[-1] - t_ns[0] < _LEAST_COVERAGE * self._level_ns:
            return None
        moved = moved - moved.mean()
        rms = np.sqrt(np.square(moved).mean())
        ratio = rms / max(np.sqrt(np.square(noise).mean()), _LEAST_NOISE_PX)
        return float(rms), float(np.abs(moved).max()), float(ratio)

    def _record(self) -> tuple[Floats, Floats, Floats]:
        """Seconds before the newest sample (negative), x and y in pixels, NaN where missing."""
        if not self._samples:
            return np.zeros(0), np.zeros(0), np.zeros(0)
        newest_ns = self._samples[-1][0]
        rows = [row for row in self._samples if newest_ns - row[0] <= self._window_ns]
        t_s = np.array([row[0] - newest_ns for row in rows]) / 1e9
        return t_s, np.array([row[1] for row in rows]), np.array([row[2] for row in rows])

    def spectrum(self) -> Spectrum | None:
        """Amplitude spectra over the window, for plotting; None when the record is too short."""
        t_s, x_px, y_px = self._record()
        spectra = [amplitude_spectrum(t_s, values) for values in (x_px, y_px)]
        known = [one for one in spectra if one is not None]
        if not known:
            return None
        frequency_hz = max((one[0] for one in known), key=len)
        x, y = (
            np.full(frequency_hz.shape, np.nan)
            if one is None
            else np.interp(frequency_hz, one[0], one[1])
            for one in spectra
        )
        return Spectrum(frequency_hz, x, y)

    def dominant(self) -> Tone | None:
        """The strongest sinusoid of either axis that stands above the noise, or None."""
        return dominant_tone(*self._record(), stretch="newest")


def dominant_tone(
    t_s: ArrayLike, x_px: ArrayLike, y_px: ArrayLike, *, stretch: Literal["newest", "longest"]
) -> Tone | None:
    """The stronger of both axes' dominant sinusoids, with its axis; see dominant_frequency."""
    x = dominant_frequency(t_s, x_px, false_alarm=FALSE_ALARM / 2, stretch=stretch)
    y = dominant_frequency(t_s, y_px, false_alarm=FALSE_ALARM / 2, stretch=stretch)
    tones = [
        None if x is None else replace(x, axis="x"),
        None if y is None else replace(y, axis="y"),
    ]
    found = [tone for tone in tones if tone is not None]
    return max(found, key=lambda tone: tone.amplitude_px, default=None)


def _known(
    moved_px: float | None, noise_px: float | None, se_px: float | None
) -> tuple[float, float]:
    """A value and its noise, both NaN when either is missing."""
    noise_px = se_px if noise_px is None else noise_px
    return (np.nan, np.nan) if moved_px is None or noise_px is None else (moved_px, noise_px)


def amplitude_spectrum(t_s: ArrayLike, x_px: ArrayLike) -> tuple[Floats, Floats] | None:
    """Frequencies (Hz) and single-sided peak amplitudes (px) of one record, both (n,).

    t_s (s, increasing) and x_px (px, NaN where missing) have the same shape (m,). Linear trend is
    removed; a Hann window and zero padding make a sinusoid of A px stand A px high. None when the
    newest stretch without long gaps is too short.
    """
    time_s, moved_px = _stretch(t_s, x_px, "newest")
    if len(time_s) < FEWEST_SAMPLES:
        return None
    frequency_hz, power, _ = _periodogram(time_s, moved_px)
    return frequency_hz, np.sqrt(power)


def dominant_frequency(
    t_s: ArrayLike,
    x_px: ArrayLike,
    *,
    false_alarm: float = FALSE_ALARM,
    stretch: Literal["newest", "longest"] = "newest",
) -> Tone | None:
    """The strongest sinusoid of one record, or None when nothing stands above the noise.

    t_s (s, increasing) and x_px (px, NaN where missing) have the same shape (m,). Used is one
    stretch without gaps of more than LONGEST_GAP_STEPS median steps: the newest, or the longest.

    Peaks of the Hann periodogram count when they are higher than white noise would reach anywhere
    in the band with probability ``false_alarm`` (exponential distribution of a periodogram:
    Scargle, Astrophysical Journal 263, 1982), above a floor from the median, in all and nearby. The
    tones found are then fitted together with a linear trend, by least squares, to the samples at
    their own times: no frequency grid and no interpolation remains in the result.
    """
    time_s, moved_px = _stretch(t_s, x_px, stretch)
    if len(time_s) < FEWEST_SAMPLES:
        return None
    time_s = time_s - time_s.mean()
    length_s = time_s[-1] - time_s[0]
    tones_hz = np.zeros(0)
    best = _fitted(time_s, moved_px, tones_hz)
    while len(tones_hz) < _MOST_TONES:
        peak_hz = _highest_peak(time_s, best.residual_px, false_alarm)
        if peak_hz is None or np.any(np.abs(tones_hz - peak_hz) < 1.5 / length_s):
            break
        trial = _fitted(time_s, moved_px, np.append(tones_hz, peak_hz))
        if np.any(np.abs(trial.tones_hz - np.append(tones_hz, peak_hz)) > 1 / length_s):
            break
        best, tones_hz = trial, trial.tones_hz
    if len(tones_hz) == 0:
        return None
    strongest = int(np.argmax(best.amplitudes_px))
    count = len(time_s)
    freedom = max(count - 2 - 3 * len(tones_hz), 1)
    noise_px = float(np.sqrt(np.sum(best.residual_px**2) / freedom))
    amplitude_px = float(best.amplitudes_px[strongest])
    return Tone(
        frequency_hz=float(tones_hz[strongest]),
        amplitude_px=amplitude_px,
        frequency_se_hz=float(np.sqrt(6 / count) * noise_px / (np.pi * amplitude_px * length_s)),
        amplitude_se_px=float(np.sqrt(2 / count) * noise_px),
    )


@dataclass(frozen=True, slots=True)
class _Fitted:
    tones_hz: Floats
    amplitudes_px: Floats
    residual_px: Floats


def _fitted(time_s: Floats, moved_px: Floats, tones_hz: Floats) -> _Fitted:
    """Trend and tones by least squares; frequencies by Gauss-Newton from the given ones."""
    count = len(tones_hz)
    length_s = time_s[-1] - time_s[0]
    trend = np.stack([np.ones_like(time_s), time_s / length_s], axis=1)
    for last in (False, False, False, False, True):
        angle = 2 * np.pi * time_s[:, None] * tones_hz
        cosine, sine = np.cos(angle), np.sin(angle)
        linear = np.hstack([trend, cosine, sine])
        answer = np.linalg.lstsq(linear, moved_px, rcond=None)[0]
        residual = moved_px - linear @ answer
        along, across = answer[2 : 2 + count], answer[2 + count :]
        if last or count == 0:
            break
        slope = 2 * np.pi * time_s[:, None] * (across * cosine - along * sine)
        step = np.linalg.lstsq(np.hstack([linear, slope]), residual, rcond=None)[0][-count:]
        tones_hz = tones_hz + np.clip(step, -0.25 / length_s, 0.25 / length_s)
    return _Fitted(tones_hz, np.hypot(along, across), residual)


def _highest_peak(time_s: Floats, moved_px: Floats, false_alarm: float) -> float | None:
    """Frequency of the highest significant peak of the periodogram; Hz."""
    frequency_hz, power, padding = _periodogram(time_s, moved_px)
    length_s = time_s[-1] - time_s[0]
    lowest = int(np.searchsorted(frequency_hz, FEWEST_CYCLES / length_s))
    bins = power[lowest:-1:padding]
    # The median of an exponential distribution is ln 2 of its mean. The nearby floor guards against
    # coloured noise; it only ever raises the floor.
    width = min(max(_FLOOR_BINS, len(bins) // _FLOOR_SHARE), len(bins))
    nearby = ndimage.median_filter(bins, size=width, mode="nearest")
    floor = np.maximum(nearby, np.median(bins)) / np.log(2)
    floor = np.interp(frequency_hz, frequency_hz[lowest:-1:padding], floor)
    threshold = _threshold(len(bins), false_alarm)
    inner = power[1:-1]
    peaks = (inner > power[:-2]) & (inner > power[2:]) & (inner > threshold * floor[1:-1])
    peaks[: max(lowest - 1, 0)] = False
    if not peaks.any():
        return None
    return float(frequency_hz[1:-1][peaks][np.argmax(inner[peaks])])


def _threshold(bins: int, false_alarm: float) -> float:
    """Ratio to the mean that the highest of a white periodogram exceeds with that probability.

    With a padded Hann periodogram there are about twice as many chances as bins. The floor's own
    scatter is that of a mean of about ``bins / 4`` values, which makes the ratio F-distributed.
    """
    return float(stats.f.isf(false_alarm / (2 * bins), 2, max(bins / 2, 4)))


def _periodogram(time_s: Floats, moved_px: Floats) -> tuple[Floats, Floats, int]:
    """Frequencies, squared single-sided amplitudes, and points for each resolvable frequency."""
    step_s = float(np.median(np.diff(time_s)))
    count = round((time_s[-1] - time_s[0]) / step_s) + 1
    even_s = np.linspace(time_s[0], time_s[-1], count)
    even_px: Floats = signal.detrend(np.asarray(np.interp(even_s, time_s, moved_px)))
    window = signal.windows.hann(count, sym=False)
    transform = np.fft.rfft(even_px * window, n=_PADDING * count)
    amplitude_px = 2 * np.abs(transform) / window.sum()
    frequency_hz: Floats = np.fft.rfftfreq(_PADDING * count, even_s[1] - even_s[0])
    return frequency_hz, np.square(amplitude_px), _PADDING


def _stretch(
    t_s: ArrayLike, x_px: ArrayLike, which: Literal["newest", "longest"]
) -> tuple[Floats, Floats]:
    """The valid samples of one stretch without long gaps."""
    time_s = np.asarray(t_s, dtype=np.float64)
    moved_px = np.asarray(x_px, dtype=np.float64)
    if len(time_s) < 2:
        return time_s[:0], moved_px[:0]
    longest_s = LONGEST_GAP_STEPS * float(np.median(np.diff(time_s))) * (1 + 1e-6)
    valid = np.isfinite(moved_px)
    time_s, moved_px = time_s[valid], moved_px[valid]
    starts = np.flatnonzero(np.diff(time_s) > longest_s) + 1
    times, values = np.split(time_s, starts), np.split(moved_px, starts)
    chosen = -1 if which == "newest" else int(np.argmax([len(part) for part in times]))
    return times[chosen], values[chosen]
