"""Spectra of one record: amplitudes for reading, Welch's density for the noise floor."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft, signal

from runtime.vibration.record import Floats, evenly, line_of, step_of, stretch

FEWEST_CYCLES = 2.0
"""What has fewer cycles than this in the record is drift."""
PADDING = 8
"""Points of a periodogram for each frequency that it resolves."""

_SEGMENTS = 4  # lengths of a segment in the record; with half overlap, about twice as many segments


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Single-sided amplitude spectra: a sinusoid of A px stands A px high. All arrays (n,).

    An axis without enough samples is NaN throughout.
    """

    frequency_hz: Floats
    x_px: Floats
    y_px: Floats


@dataclass(frozen=True, slots=True)
class PowerDensity:
    """Single-sided power density by Welch's method, arrays (n,), and its noise floor.

    White noise of s px at f frames a second has a floor of s times the square root of 2 / f.
    """

    frequency_hz: Floats
    px2_per_hz: Floats
    floor_px_per_root_hz: float


def amplitude_spectrum(t_s: ArrayLike, x_px: ArrayLike) -> tuple[Floats, Floats] | None:
    """Frequencies (Hz) and single-sided peak amplitudes (px) of one record, both (n,).

    t_s (s, increasing) and x_px (px, NaN where missing) have the same shape (m,). Linear trend is
    removed; a Hann window and zero padding make a sinusoid of A px stand A px high. None when the
    newest stretch without long gaps is too short.
    """
    found = stretch(t_s, x_px, "newest")
    if found is None:
        return None
    frequency_hz, power = periodogram(*found)
    return frequency_hz, np.sqrt(power)


def amplitude_spectra(t_s: ArrayLike, moved_px: Floats) -> Spectrum | None:
    """The amplitude spectra of x and y (2, m), on one scale of frequencies; see amplitude_spectrum."""
    spectra = [amplitude_spectrum(t_s, values) for values in moved_px]
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


def power_density(t_s: ArrayLike, x_px: ArrayLike) -> PowerDensity | None:
    """Welch's estimate (IEEE Trans. Audio and Electroacoustics 15, 1967) of the newest stretch.

    t_s (s, increasing) and x_px (px, NaN where missing) have the same shape (m,). The floor is the
    median over frequencies, brought to the mean that it is of in white noise: vibrations that fill
    less than half of the band do not raise it. None when the newest stretch is too short.
    """
    found = stretch(t_s, x_px, "newest")
    if found is None:
        return None
    even_s, even_px = evenly(*found)
    segment = max(len(even_s) // _SEGMENTS, 8)
    frequency_hz, density = signal.welch(
        even_px - line_of(even_px), 1 / step_of(even_s), nperseg=segment
    )
    # Hann windows that overlap by half make K segments worth about 36 K / 19 degrees of freedom
    # (Percival and Walden, Spectral Analysis for Physical Applications, 1993, equation 294).
    freedom = max(36 / 19 * (2 * len(even_s) // segment - 1), 2)
    # Median over mean of a chi-squared distribution (Wilson and Hilferty, PNAS 17, 1931).
    floor = float(np.median(density[1:-1])) / (1 - 2 / (9 * freedom)) ** 3
    return PowerDensity(frequency_hz, density, float(np.sqrt(floor)))


def periodogram(time_s: Floats, moved_px: Floats) -> tuple[Floats, Floats]:
    """Frequencies and squared single-sided amplitudes of a stretch, about PADDING times too fine."""
    count = round((time_s[-1] - time_s[0]) / step_of(time_s)) + 1
    even_s = np.linspace(time_s[0], time_s[-1], count)
    # Straight lines are good enough to see a peak by, and this is done for every tone.
    even_px = np.interp(even_s, time_s, moved_px)
    window = _hann(count)
    length: int = fft.next_fast_len(PADDING * count, real=True)
    transform = fft.rfft((even_px - line_of(even_px)) * window, n=length)
    amplitude_px = 2 * np.abs(transform) / window.sum()
    frequency_hz: Floats = fft.rfftfreq(length, even_s[1] - even_s[0])
    return frequency_hz, np.square(amplitude_px)


@lru_cache(maxsize=8)
def _hann(count: int) -> Floats:
    window: Floats = signal.windows.hann(count, sym=False)
    window.flags.writeable = False
    return window
