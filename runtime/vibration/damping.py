"""Damping from a free decay, and only from one.

A structure that something still drives tells nothing about its damping by its amplitude: traffic that
fades, or wind that lulls, would be taken for it. So a record must show a free decay before a damping
ratio is told: one frequency, whose amplitude falls exponentially from its largest value, for long
enough and by enough. Everything else is refused with the reason.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, signal

from runtime.vibration.record import Floats, evenly, line_of, step_of, stretch

FEWEST_CYCLES = 6.0
"""A free decay stands above the noise for at least this many cycles, ..."""
LEAST_FALL = 2.0
"""... in which its amplitude falls by at least this ratio."""

_WINDOW_CYCLES = 3.0  # over which the amplitude is averaged
_LEAST_NOISE_PX = (
    1e-9  # pictures that repeat exactly have no noise, and an amplitude of exactly zero
)
_ABOVE_NOISE = 4.0  # times the amplitude's standard deviation by noise
_MOST_OFF = 0.05  # of the amplitude: departure from an exponential beyond that of noise
_MOST_BENT = 0.15  # of the decay rate: difference between first and second half, as well
_FORCED = "the amplitude does not fall exponentially: forced vibration, or modes too close"

Complexes = NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class FreeDecay:
    """Damping ratio (1 is critical) and damped frequency of a free decay of ``cycles`` cycles."""

    ratio: float
    ratio_se: float
    frequency_hz: float
    frequency_se_hz: float
    cycles: float


@dataclass(frozen=True, slots=True)
class NoDecay:
    """Why no damping is told."""

    reason: str


def damping_of(
    t_s: ArrayLike, x_px: ArrayLike, frequency_hz: float, floor_px_per_root_hz: float
) -> FreeDecay | NoDecay:
    """Damping of the mode at about ``frequency_hz`` in the newest stretch of a record.

    t_s (s, increasing) and x_px (px, NaN where missing) have the same shape (n,); the noise floor is
    that of ``spectrum.power_density``. The amplitude is found by complex demodulation, which also
    tells where the decay begins and where it drowns in noise. There a damped sinusoid with offset and
    slope is fitted to the samples at their own times (Brincker and Ventura, Introduction to Operational
    Modal Analysis, 2015, chapter 5: the logarithmic decrement is its textbook form). The standard errors
    are the fit's.
    """
    found = stretch(t_s, x_px, "newest")
    if found is None:
        return NoDecay("too few samples without a long gap")
    time_s, moved_px = found
    even_s, even_px = evenly(time_s, moved_px)
    step_s = step_of(even_s)
    taps = round(_WINDOW_CYCLES / frequency_hz / step_s) | 1
    if len(even_s) < 2 * taps:
        return NoDecay("the record is too short for this frequency")
    kernel = signal.windows.hann(taps + 2)[1:-1]
    kernel /= kernel.sum()
    turned = 2 * (even_px - line_of(even_px)) * np.exp(-2j * np.pi * frequency_hz * even_s)
    phasor: Complexes = np.convolve(turned, kernel, "valid")
    at_s = even_s[taps // 2 : taps // 2 + len(phasor)]
    # Of a density per positive frequency, through the kernel's bandwidth; both quadratures.
    noise_px = floor_px_per_root_hz * np.sqrt(2 * np.square(kernel).sum() / step_s)
    noise_px = max(noise_px, _LEAST_NOISE_PX)
    amplitude_px = np.abs(phasor)
    begin = int(np.argmax(amplitude_px)) + taps // 4
    drowned = np.flatnonzero(amplitude_px[begin:] < _ABOVE_NOISE * noise_px)
    end = begin + int(drowned[0]) if len(drowned) else len(phasor)
    if end - begin < 3 or (at_s[end - 1] - at_s[begin]) * frequency_hz < FEWEST_CYCLES:
        return NoDecay(
            f"fewer than {FEWEST_CYCLES:g} cycles follow the largest amplitude above the noise"
        )
    if amplitude_px[begin] < LEAST_FALL * amplitude_px[end - 1]:
        return NoDecay(
            "the amplitude does not fall by half: forced vibration, or a window too short for its decay"
        )
    at_s, phasor = at_s[begin:end], phasor[begin:end]
    rate_1_s, turn_hz = _exponential(at_s, phasor)
    if not _is_exponential(at_s, phasor, noise_px, rate_1_s):
        return NoDecay(_FORCED)
    inside = (time_s >= at_s[0]) & (time_s <= at_s[-1])
    return _fitted(time_s[inside], moved_px[inside], rate_1_s, frequency_hz + turn_hz)


def _exponential(at_s: Floats, phasor: Complexes) -> tuple[float, float]:
    """Decay rate (1/s) and remaining turns (Hz), by least squares on the phasor's logarithm.

    Weights are squared amplitudes, because the logarithm's error is noise over amplitude.
    """
    weights = np.abs(phasor)
    rate, _ = np.polyfit(at_s, np.log(weights), 1, w=weights)
    turn, _ = np.polyfit(at_s, np.unwrap(np.angle(phasor)), 1, w=weights)
    return -float(rate), float(turn) / (2 * np.pi)


def _is_exponential(at_s: Floats, phasor: Complexes, noise_px: float, rate_1_s: float) -> bool:
    """Whether amplitude and phase keep to one exponential, and both halves to the same one."""
    amplitude_px = np.abs(phasor)
    level, phase = (
        np.polyval(np.polyfit(at_s, values, 1, w=amplitude_px), at_s)
        for values in (np.log(amplitude_px), np.unwrap(np.angle(phasor)))
    )
    off_px = np.abs(phasor - np.exp(level + 1j * phase))
    # RMS over the decay: what noise gives, and a small share of the amplitude for all else.
    allowed_px = np.hypot(1.5 * noise_px, _MOST_OFF * amplitude_px)
    if np.sqrt(np.mean(np.square(off_px / allowed_px))) > 1:
        return False
    middle = len(at_s) // 2
    rates = [
        _exponential(at_s[part], phasor[part])[0] for part in (slice(middle), slice(middle, None))
    ]
    # A slope over half the time, of values whose noise is that of the smallest amplitude.
    scatter_1_s = 4 * noise_px / amplitude_px.min() / (at_s[-1] - at_s[0])
    return bool(abs(rates[0] - rates[1]) < _MOST_BENT * rate_1_s + 3 * scatter_1_s)


def _fitted(
    time_s: Floats, moved_px: Floats, rate_1_s: float, frequency_hz: float
) -> FreeDecay | NoDecay:
    """A damped sinusoid with offset and slope, by least squares to the samples."""
    since_s = time_s - time_s[0]
    length_s = float(since_s[-1])

    def model(t_s: Floats, *values: float) -> Floats:
        rate, hz, along, across, offset, slope = values
        angle = 2 * np.pi * hz * t_s
        wave = np.exp(-rate * t_s) * (along * np.cos(angle) + across * np.sin(angle))
        return np.asarray(wave + offset + slope * t_s / length_s)

    angle = 2 * np.pi * frequency_hz * since_s
    falling = np.exp(-rate_1_s * since_s)
    columns = np.stack(
        [falling * np.cos(angle), falling * np.sin(angle), np.ones_like(angle), since_s / length_s]
    )
    linear = np.linalg.lstsq(columns.T, moved_px, rcond=None)[0]
    try:
        answer, covariance = optimize.curve_fit(
            model, since_s, moved_px, p0=[rate_1_s, frequency_hz, *linear], maxfev=400
        )
    except RuntimeError:  # what curve_fit raises when it does not settle
        return NoDecay(_FORCED)
    rate, hz = float(answer[0]), float(answer[1])
    rate_se, hz_se = (float(np.sqrt(covariance[i, i])) for i in (0, 1))
    if not (np.isfinite(rate_se) and rate > 3 * rate_se and hz > 0):
        return NoDecay("the decay is lost in the noise")
    undamped = float(np.hypot(rate, 2 * np.pi * hz))
    ratio = rate / undamped
    # d ratio / d rate = (1 - ratio^2) / undamped; that after hz is ratio times smaller.
    ratio_se = float(np.hypot((1 - ratio**2) / undamped * rate_se, ratio / hz * hz_se))
    return FreeDecay(ratio, ratio_se, hz, hz_se, length_s * hz)
