"""Records of displacement with known content."""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from runtime.displacement import Displacement
from runtime.vibration import VibrationWindow

Floats = NDArray[np.float64]
RATE_HZ = 30.0
NOISE_PX = 0.01


def times(count: int, rate_hz: float = RATE_HZ) -> Floats:
    return np.arange(count) / rate_hz


def tone(t_s: Floats, frequency_hz: float, amplitude_px: float = 1.0, phase: float = 0.4) -> Floats:
    moved: Floats = amplitude_px * np.sin(2 * np.pi * frequency_hz * t_s + phase)
    return moved


def decay(
    t_s: Floats, frequency_hz: float, ratio: float, amplitude_px: float, begins_s: float
) -> Floats:
    """A free decay after an impulse at ``begins_s``, with a damped frequency."""
    since_s = np.maximum(t_s - begins_s, 0)
    rate_1_s = 2 * np.pi * frequency_hz * ratio / np.sqrt(1 - ratio**2)
    moved: Floats = amplitude_px * np.exp(-rate_1_s * since_s)
    return moved * np.sin(2 * np.pi * frequency_hz * since_s)


def resonance(
    count: int, rate_hz: float, frequency_hz: float, ratio: float, random: np.random.Generator
) -> Floats:
    """White force on a damped oscillator, as wind on a lamp post; standard deviation 1."""
    pole = np.exp((-ratio + 1j * np.sqrt(1 - ratio**2)) * 2 * np.pi * frequency_hz / rate_hz)
    settle = round(3 * rate_hz / (ratio * 2 * np.pi * frequency_hz)) + 100
    force = random.normal(size=count + settle)
    moved: Floats = np.real(signal.lfilter([1], [1, -pole], force))[-count:]
    standard: Floats = moved / moved.std()
    return standard


def displacement(
    t_s: float,
    x_px: float | None,
    y_px: float | None = 0.0,
    noise_px: float = NOISE_PX,
    region: str = "girder",
) -> Displacement:
    valid = x_px is not None or y_px is not None
    x_noise, y_noise = (None if value is None else noise_px for value in (x_px, y_px))
    return Displacement(
        region=region,
        t_capture_ns=round(t_s * 1e9),
        x_px=x_px,
        y_px=y_px,
        x_se_px=None if x_noise is None else 1.4 * x_noise,
        y_se_px=None if y_noise is None else 1.4 * y_noise,
        valid=valid,
        reason=None if valid else "too dark",
        x_noise_px=x_noise,
        y_noise_px=y_noise,
    )


def window_of(
    t_s: Floats,
    x_px: Floats,
    y_px: Floats | None = None,
    *,
    noise_px: float = NOISE_PX,
    low_hz: float = 0.5,
    high_hz: float | None = None,
) -> VibrationWindow:
    """10 s and 2 s long; NaN are missing measurements."""
    window = VibrationWindow(10.0, 2.0, low_hz=low_hz, high_hz=high_hz)
    y_px = np.zeros(len(t_s)) if y_px is None else y_px
    for t, x, y in zip(t_s, x_px, y_px, strict=True):
        known_x, known_y = (None if np.isnan(value) else float(value) for value in (x, y))
        window.add(displacement(float(t), known_x, known_y, noise_px))
    return window
