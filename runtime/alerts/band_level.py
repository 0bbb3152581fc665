"""How much of a displacement lies inside a band of frequencies."""

from collections import deque

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import signal

Floats = NDArray[np.float64]

MOST_SAMPLES = 16384
CYCLES = 4.0
"""The record is at least this many periods of the band's lower edge long."""
RENEWED = 1 / 8
"""The level follows in steps of this part of the record: a spectrum for every look is too dear."""

_LEAST_COVERAGE = 0.8  # of the record, in time and in samples
_FEWEST_SAMPLES = 16


def band_rms(t_s: ArrayLike, moved_px: ArrayLike, low_hz: float, high_hz: float) -> float | None:
    """RMS of one record inside low_hz..high_hz; t_s (s, increasing) and moved_px (n,), NaN missing.

    From a Hann periodogram of the record on even steps (Welch, IEEE Trans. Audio Electroacoustics
    15, 1967, with one segment, so that its length is all resolution); short gaps are interpolated. None for
    too few valid samples, or where no line of the spectrum lies inside the band.
    """
    time_s, values = np.asarray(t_s, np.float64), np.asarray(moved_px, np.float64)
    valid = np.isfinite(values)
    if np.count_nonzero(valid) < _FEWEST_SAMPLES:
        return None
    steps = round((time_s[-1] - time_s[0]) / float(np.median(np.diff(time_s))))
    if np.count_nonzero(valid) < _LEAST_COVERAGE * steps:
        return None
    even_s = np.linspace(time_s[0], time_s[-1], steps + 1)
    even: Floats = signal.detrend(np.asarray(np.interp(even_s, time_s[valid], values[valid])))
    rate_hz = 1 / (even_s[1] - even_s[0])
    frequency_hz, density = signal.periodogram(even, rate_hz, window="hann", detrend=False)
    inside = (frequency_hz >= low_hz) & (frequency_hz <= high_hz)
    if not inside.any():
        return None
    return float(np.sqrt(density[inside].sum() * (frequency_hz[1] - frequency_hz[0])))


class BandLevel:
    """Band RMS of both axes over the newest samples; memory is bounded."""

    def __init__(self, low_hz: float, high_hz: float, level_s: float) -> None:
        self._low_hz, self._high_hz = low_hz, high_hz
        self._length_s = max(level_s, CYCLES / low_hz)
        self._found: tuple[float | None, float | None] = None, None
        self._found_s = -np.inf
        self._samples: deque[tuple[float, float, float]] = deque(maxlen=MOST_SAMPLES)

    def add(self, t_s: float, x_px: float | None, y_px: float | None) -> None:
        """Take one measurement; a time that is not later begins anew."""
        if self._samples and t_s <= self._samples[-1][0]:
            self._samples.clear()
        x, y = (np.nan if value is None else value for value in (x_px, y_px))
        self._samples.append((t_s, x, y))
        while t_s - self._samples[0][0] > self._length_s:
            self._samples.popleft()

    def rms_px(self) -> tuple[float | None, float | None]:
        """RMS inside the band along x and y (px); found anew after each RENEWED of its length."""
        newest_s = self._samples[-1][0] if self._samples else 0.0
        if not 0 <= newest_s - self._found_s < RENEWED * self._length_s:
            self._found, self._found_s = self._rms_px(), newest_s
        return self._found

    def _rms_px(self) -> tuple[float | None, float | None]:
        table = np.array(self._samples, dtype=np.float64).reshape(-1, 3)
        if len(table) < 2 or table[-1, 0] - table[0, 0] < _LEAST_COVERAGE * self._length_s:
            return None, None
        x, y = (
            band_rms(table[:, 0], table[:, axis], self._low_hz, self._high_hz) for axis in (1, 2)
        )
        return x, y

    def problem(self) -> str | None:
        """Why the band cannot be measured at this frame rate, when it cannot."""
        if len(self._samples) < 3:
            return None
        rate_hz = (len(self._samples) - 1) / (self._samples[-1][0] - self._samples[0][0])
        if rate_hz > 2 * self._high_hz:
            return None
        return (
            f"a band up to {self._high_hz:g} Hz needs more than {2 * self._high_hz:g} frames a "
            f"second, and {rate_hz:.3g} come"
        )
