"""Spectra of one record: amplitudes for reading, Welch's density for the noise floor."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy import fft, signal

from runtime.vibration.record import Floats, alike, evenly, line_of, step_of, stretch

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
    spectrum = Periodogram(found[0])
    return spectrum.frequency_hz, np.sqrt(spectrum.power(found[1]))


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
    """Of one record; see power_densities."""
    [density] = power_densities(np.asarray(t_s), np.asarray(x_px)[None])
    return density


def power_densities(t_s: Floats, x_px: Floats) -> list[PowerDensity | None]:
    """Welch's estimate (IEEE Trans. Audio and Electroacoustics 15, 1967) of every row's newest stretch.

    t_s (s, increasing) has shape (m,), x_px (px, NaN where missing) (rows, m). The floor is the
    median over frequencies, brought to the mean that it is of in white noise: vibrations that fill
    less than half of the band do not raise it. None where the newest stretch is too short.
    """
    told: list[PowerDensity | None] = [None] * len(x_px)
    for _, rows in alike(np.isfinite(x_px)):
        found = stretch(t_s, x_px[rows], "newest")
        if found is None:
            continue
        even_s, even_px = evenly(*found)
        segment = max(len(even_s) // _SEGMENTS, 8)
        frequency_hz, density = welch(even_px - line_of(even_px), 1 / step_of(even_s), segment)
        # Hann windows that overlap by half make K segments worth about 36 K / 19 degrees of freedom
        # (Percival and Walden, Spectral Analysis for Physical Applications, 1993, equation 294).
        freedom = max(36 / 19 * (2 * len(even_s) // segment - 1), 2)
        # Median over mean of a chi-squared distribution (Wilson and Hilferty, PNAS 17, 1931).
        floors = np.median(density[:, 1:-1], axis=1) / (1 - 2 / (9 * freedom)) ** 3
        for row, each, floor in zip(rows, density, np.sqrt(floors).tolist(), strict=True):
            told[row] = PowerDensity(frequency_hz, each, floor)
    return told


def welch(values: Floats, rate_hz: float, segment: int) -> tuple[Floats, Floats]:
    """Frequencies and the density of every row (rows, n), as scipy.signal.welch has it, in a third of its
    time: Hann windows of ``segment`` values that overlap by half, each without its mean."""
    parts = sliding_window_view(values, segment, axis=1)[:, :: segment - segment // 2]
    window = _hann(segment)
    transform = fft.rfft((parts - parts.mean(axis=2, keepdims=True)) * window, axis=2)
    power = (np.square(transform.real) + np.square(transform.imag)).mean(axis=1)
    density: Floats = power / (rate_hz * np.square(window).sum())
    # Negative frequencies hold as much, but there are none of zero and of the Nyquist frequency.
    density[:, 1 : (segment + 1) // 2] *= 2
    return fft.rfftfreq(segment, 1 / rate_hz), density


class Periodogram:
    """Of stretches at the same times; what only depends on these is made once."""

    def __init__(self, time_s: Floats) -> None:
        count = round((time_s[-1] - time_s[0]) / step_of(time_s)) + 1
        self._time_s = time_s
        self._even_s = np.linspace(time_s[0], time_s[-1], count)
        self._window = _hann(count)
        self._scale = 4 / float(self._window.sum()) ** 2
        self._length: int = fft.next_fast_len(PADDING * count, real=True)
        self.frequency_hz: Floats = fft.rfftfreq(self._length, self._even_s[1] - self._even_s[0])

    def power(self, moved_px: Floats) -> Floats:
        """Squared single-sided amplitudes at ``frequency_hz``, which is about PADDING times too fine."""
        # Straight lines are good enough to see a peak by, and this is done again and again.
        even_px = np.interp(self._even_s, self._time_s, moved_px)
        # numpy's transform of one short record takes two thirds of scipy's time.
        transform = np.fft.rfft((even_px - line_of(even_px)) * self._window, n=self._length)
        power: Floats = self._scale * (np.square(transform.real) + np.square(transform.imag))
        return power


@lru_cache(maxsize=8)
def _hann(count: int) -> Floats:
    window: Floats = signal.windows.hann(count, sym=False)
    window.flags.writeable = False
    return window
