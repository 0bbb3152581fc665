"""Displacement, velocity and acceleration inside a band, without most of the measurement's noise.

A derivative multiplies noise by 2 pi f: at 60 frames a second, noise of .01 px is velocity noise of
.8 px/s, and the peak of that over some seconds is three times as large. So three things are done to
a stretch of displacement, all in the frequency domain.

1. Spectral differentiation: multiplication by (2 pi i f)^n inside the band. Central differences
   would read 11 % low at 8 Hz and 60 frames a second.
2. Where a stretch ends, the transform would see a jump. It is continued beyond both ends by linear
   prediction (Burg, 37th meeting of the Society of Exploration Geophysicists, 1967; Kay, Modern
   Spectral Estimation, 1988, chapter 7), so that its newest samples are as good as the others.
3. Noise suppression: the measurement's noise is known, so frequencies at which nothing stands above
   it are left out (spectral subtraction with a gain of 0 or 1: Boll, IEEE Trans. Acoustics, Speech,
   and Signal Processing 27, 1979). The noise that passes is stated as a standard error, or, where
   nothing passes, what the noise may hide.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage, signal

from runtime.vibration.record import Floats, evenly, line_of, step_of

HIGHEST_SHARE = 0.8
"""A band ends at this share of the Nyquist frequency at the latest."""

_ORDER = 16  # of linear prediction: eight sinusoids
_CONTINUED_CYCLES = 1.0  # of the band's lower edge, beyond each end
_BELOW, _ABOVE = 1.5, 1.2  # ratios to the band's edges at which its slopes reach zero
_NEIGHBOURS = 5  # frequencies whose power is averaged before it is compared with noise
_SEEN, _KEPT = 7.0, 1.5  # times noise: where motion is seen, and how far around it is kept
_FINER = 3  # points for each sample, so that a parabola finds the peak between two


@dataclass(frozen=True, slots=True)
class Band:
    """Frequencies of interest; ``low_hz`` < ``high_hz``."""

    low_hz: float
    high_hz: float


def usable_band(rate_hz: float, low_hz: float, high_hz: float | None) -> Band | None:
    """The wanted band, capped at HIGHEST_SHARE of Nyquist; None where nothing is left of it.

    Without ``high_hz`` it reaches up to that cap.
    """
    cap_hz = HIGHEST_SHARE * rate_hz / 2
    high_hz = cap_hz if high_hz is None else min(high_hz, cap_hz)
    return Band(low_hz, high_hz) if low_hz < high_hz else None


@dataclass(frozen=True, slots=True)
class Derivative:
    """A motion or its derivative: values (rows, m), and the standard error (rows,) of each value."""

    values: Floats
    se: Floats


@dataclass(frozen=True, slots=True)
class Motion:
    """What one stretch did, at times ``t_s`` (m,), which are finer than the samples.

    Displacement keeps its slow part and its mean; velocity (px/s) and acceleration (px/s2) are
    inside the band.
    """

    t_s: Floats
    displacement_px: Derivative
    velocity_px_s: Derivative
    acceleration_px_s2: Derivative


def motion_in_band(time_s: Floats, x_px: Floats, noise_px: Floats, band: Band) -> Motion:
    """Motion of one stretch.

    time_s (n,) and x_px (rows, n) hold a stretch (no NaN, no long gap) of at least FEWEST_SAMPLES
    samples; noise_px (rows,) is the standard deviation of white noise in each row.
    """
    even_s, even_px = evenly(time_s, x_px)
    step_s = step_of(even_s)
    count = len(even_s)
    line = line_of(even_px)
    added = min(round(_CONTINUED_CYCLES / band.low_hz / step_s), 2 * count)
    fade = signal.windows.hann(2 * added + 1, sym=True)[:added]
    weights = np.concatenate([fade, np.ones(count), fade[::-1]])
    longer = _continued(even_px - line, added) * weights
    length: int = fft.next_fast_len(longer.shape[1], real=True)
    transform = fft.rfft(longer, length, axis=1)
    frequency_hz = fft.rfftfreq(length, step_s)
    power = np.square(np.abs(transform))
    noise = np.square(noise_px)[:, None] * np.square(weights).sum()
    gain = _gain(power, noise)
    inside = _passed(frequency_hz, band)
    first = added * _FINER
    last = first + (count - 1) * _FINER + 1
    found = []
    for order, response in ((0, np.ones_like(inside)), (1, inside), (2, inside)):
        factor = response * (2j * np.pi * frequency_hz) ** order
        fine = fft.irfft(transform * gain * factor, _FINER * length, axis=1) * _FINER
        share = np.square(np.abs(factor))
        # The transform is finer than the stretch resolves, so its points are not independent.
        found.append(
            Derivative(
                fine[:, first:last],
                np.sqrt(_remaining(gain, share, noise, power, length / count) * 2 / length)
                / np.sqrt(np.square(weights).sum()),
            )
        )
    fine_s = np.linspace(even_s[0], even_s[-1], last - first)
    fine_line = np.linspace(line[:, 0], line[:, -1], last - first, axis=1)
    displacement = Derivative(found[0].values + fine_line, found[0].se)
    return Motion(fine_s, displacement, found[1], found[2])


def _gain(power: Floats, noise: Floats) -> Floats:
    """1 for the frequencies that are kept, 0 for those where nothing stands above the noise.

    Kept are all frequencies around one that noise hardly reaches, as far as there is more than noise.
    """
    smooth = ndimage.uniform_filter1d(power, _NEIGHBOURS, axis=1, mode="nearest")
    neighbours = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]], dtype=bool)
    kept = ndimage.binary_propagation(
        smooth > _SEEN * noise, structure=neighbours, mask=smooth > _KEPT * noise
    )
    return np.asarray(kept, dtype=np.float64)


def _remaining(
    gain: Floats, share: Floats, noise: Floats, power: Floats, redundancy: float
) -> Floats:
    """Power (rows,) of the error: noise that passes, or, where nothing passes, what noise may hide.

    What may be hidden is the upper one-sigma limit of the power beyond the noise. The power of noise
    at one frequency has an exponential distribution, so its standard deviation is its mean.
    """
    passing = (gain * share * noise).sum(axis=1)
    excess = ((power - noise) * share).sum(axis=1)
    scatter = noise[:, 0] * np.sqrt(redundancy * np.square(share).sum())
    return np.asarray(np.where(passing > 0, passing, np.maximum(excess, 0) + scatter))


def _passed(frequency_hz: Floats, band: Band) -> Floats:
    """1 inside the band, with cosine slopes outside of it."""
    below = (frequency_hz * _BELOW / band.low_hz - 1) / (_BELOW - 1)
    above = (_ABOVE - frequency_hz / band.high_hz) / (_ABOVE - 1)
    rising, falling = (0.5 - 0.5 * np.cos(np.pi * np.clip(part, 0, 1)) for part in (below, above))
    passed: Floats = rising * falling
    return passed


def _continued(x_px: Floats, added: int) -> Floats:
    """Every row (n,) continued by linear prediction, forwards and backwards: (rows, added + n + added)."""
    coefficients = prediction(x_px, _ORDER)
    ends = np.stack([x_px[:, :_ORDER], x_px[:, : -_ORDER - 1 : -1]], axis=1)
    # What the filter remembers of the samples next to each end (scipy.signal.lfiltic, for all rows).
    shifted = np.array(
        [
            np.append(coefficients[:, i:], np.zeros((len(x_px), i - 1)), axis=1)
            for i in range(1, _ORDER + 1)
        ]
    )
    memory = -np.einsum("irk,rek->rei", shifted, ends)
    silence = np.zeros((2, added))
    beyond = [
        signal.lfilter([1.0], a, silence, zi=zi)[0]
        for a, zi in zip(coefficients, memory, strict=True)
    ]
    before, after = np.stack(beyond, axis=1)
    return np.concatenate([before[:, ::-1], x_px, after], axis=1)


def prediction(x: Floats, order: int) -> Floats:
    """Coefficients (rows, order + 1) of every row's whitening filter, by Burg's recursion.

    The first is 1. Its inverse is stable, so what it predicts never grows.
    """
    forward, backward = x[:, 1:], x[:, :-1]
    coefficients = np.zeros((len(x), order + 1))
    coefficients[:, 0] = 1
    for size in range(1, order + 1):
        energy = np.einsum("ij,ij->i", forward, forward) + np.einsum("ij,ij->i", backward, backward)
        common = np.einsum("ij,ij->i", forward, backward)
        reflection = -2 * common / np.maximum(energy, np.finfo(np.float64).tiny)
        part = coefficients[:, : size + 1]
        coefficients[:, : size + 1] = part + reflection[:, None] * part[:, ::-1]
        forward, backward = (
            (forward + reflection[:, None] * backward)[:, 1:],
            (backward + reflection[:, None] * forward)[:, :-1],
        )
    return coefficients
