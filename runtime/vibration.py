"""A window of displacement becomes numbers: level, signal to noise, spectrum, dominant frequency.

Time stamps drive everything; no nominal frame rate is used. Missing values stay missing: they are
left out of levels, and only where the spectrum needs even steps are short gaps interpolated.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize, signal

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
_FLOOR_BINS = 41  # width of the running median that tells the noise floor
_MOST_TONES = 4  # fitted together, so that the others do not pull the dominant one
_FEWEST_LEVEL_SAMPLES = 8
_LEAST_COVERAGE = 0.5  # of the level window, in time and in samples


@dataclass(frozen=True, slots=True)
class Levels:
    """How much a region moves, about its mean; None where too few samples are valid.

    RMS and peak are the larger of the x and y axis, in pixels. ``signal_to_noise`` is the larger,
    over the axes, of RMS over the median standard error of one measurement: 1 for pure noise.
    """

    displacement_rms_px: float | None
    displacement_peak_px: float | None
    signal_to_noise: float | None


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
    axis: Literal["x", "y"] | None = None


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
        values = (displacement.x_px, displacement.y_px, displacement.x_noise_px)
        x, y, x_noise, y_noise = (
            np.nan if value is None or not displacement.valid else value
            for value in (*values, displacement.y_noise_px)
        )
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

    def levels(self) -> Levels:
        """Levels over the newest ``level_s`` seconds."""
        rows = []
        for sample in reversed(self._samples):
            if self._samples[-1][0] - sample[0] > self._level_ns:
                break
            rows.append(sample)
        found = [self._axis_level(rows, axis) for axis in (1, 2)]
        levels = [level for level in found if level is not None]
        if not levels:
            return Levels(None, None, None)
        rms, peak, ratio = (max(values) for values in zip(*levels, strict=True))
        return Levels(rms, peak, ratio)

    def _axis_level(
        self, rows: Sequence[tuple[int, float, float, float, float]], axis: int
    ) -> tuple[float, float, float] | None:
        """RMS, peak and signal to noise of one axis; rows are the newest first."""
        valid = [row for row in rows if np.isfinite(row[axis]) and np.isfinite(row[axis + 2])]
        if len(valid) < max(_FEWEST_LEVEL_SAMPLES, _LEAST_COVERAGE * len(rows)):
            return None
        if valid[0][0] - valid[-1][0] < _LEAST_COVERAGE * self._level_ns:
            return None
        moved = np.array([row[axis] for row in valid])
        moved -= moved.mean()
        rms = float(np.sqrt(np.mean(moved**2)))
        noise = float(np.median([row[axis + 2] for row in valid]))
        return rms, float(np.abs(moved).max()), rms / noise

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
        t_s, x_px, y_px = self._record()
        x = dominant_frequency(t_s, x_px, false_alarm=FALSE_ALARM / 2)
        y = dominant_frequency(t_s, y_px, false_alarm=FALSE_ALARM / 2)
        tones = [
            Tone(
                tone.frequency_hz,
                tone.amplitude_px,
                tone.frequency_se_hz,
                tone.amplitude_se_px,
                axis,
            )
            for tone, axis in ((x, "x"), (y, "y"))
            if tone is not None
        ]
        return max(tones, key=lambda tone: tone.amplitude_px, default=None)
