"""A region's record as a browser draws it: waveform and spectrum, of at most some points, gaps left open."""

import math
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict

from calibration.scale import Scale
from runtime.messages import Peak, Telemetry
from runtime.vibration.derivatives import motion_in_band, usable_band
from runtime.vibration.record import FEWEST_SAMPLES, LONGEST_GAP_STEPS, Floats, step_of, stretches
from runtime.vibration.spectrum import amplitude_spectra
from runtime.vibration.window import Record

Quantity = Literal["displacement", "velocity"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
MOST_POINTS = 1000
"""Of each curve; a window of more samples is drawn by the smallest and largest of each step."""

Curve = list[float | None]


class Trace(BaseModel):
    """One region now. A missing value is null. ``x`` and ``y`` have the unit that ``unit`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str
    quantity: Quantity
    unit: str
    window_s: float
    t_s: Curve
    """Before the newest frame; negative."""
    x: Curve
    y: Curve
    hz: Curve
    x_amplitude: Curve
    y_amplitude: Curve
    peaks: tuple[Peak, ...]
    """As telemetry tells them, strongest first. A fit over the whole window has another amplitude than the
    spectrum, whose Hann window takes what lies at the ends for less."""
    reason: str | None
    """Why the newest measurement is missing, when it is."""
    warnings: tuple[str, ...]


def trace_of(
    record: Record,
    telemetry: Telemetry | None,
    scale: Scale | None,
    *,
    region: str,
    quantity: Quantity,
    window_s: float,
    low_hz: float,
    high_hz: float | None,
) -> Trace:
    """What a region's record shows. Velocity is of the band from ``low_hz`` to ``high_hz``."""
    per_px = (1.0, 1.0) if scale is None else (scale.x_mm_per_px, scale.y_mm_per_px)
    t_s, moved = _waveform(record, quantity, low_hz, high_hz)
    spectrum = amplitude_spectra(record.t_s, record.moved_px)
    hz = np.zeros(0) if spectrum is None else spectrum.frequency_hz
    per_hz = 2 * np.pi * hz if quantity == "velocity" else np.ones(len(hz))
    both = ((), ()) if spectrum is None else (spectrum.x_px, spectrum.y_px)
    x_amplitude, y_amplitude = (
        np.asarray(one) * per_hz * along for one, along in zip(both, per_px, strict=True)
    )
    t_s, (x, y) = _reduced(t_s, moved * np.array(per_px)[:, None])
    hz, x_amplitude, y_amplitude = _outlined(hz, x_amplitude, y_amplitude)
    length = "px" if scale is None else "mm"
    return Trace(
        region=region,
        quantity=quantity,
        unit=length if quantity == "displacement" else f"{length}/s",
        window_s=window_s,
        t_s=_curve(t_s),
        x=_curve(x),
        y=_curve(y),
        hz=_curve(hz),
        x_amplitude=_curve(x_amplitude),
        y_amplitude=_curve(y_amplitude),
        peaks=() if telemetry is None else telemetry.peaks,
        reason=None if telemetry is None else telemetry.reason,
        warnings=() if telemetry is None else telemetry.warnings,
    )


def _waveform(
    record: Record, quantity: Quantity, low_hz: float, high_hz: float | None
) -> tuple[Floats, Floats]:
    """Times (m,) and x and y (2, m), with NaN wherever a curve must not be drawn through."""
    if quantity == "displacement":
        return _with_gaps(record.t_s, record.moved_px)
    velocity = np.full(record.moved_px.shape, np.nan)
    for row, values in enumerate(velocity):
        known = np.stack([record.moved_px[row], record.noise_px[row]])
        for time_s, (moved_px, noise_px) in stretches(record.t_s, known):
            band = usable_band(1 / step_of(time_s), low_hz, high_hz) if len(time_s) > 1 else None
            if band is None or len(time_s) < FEWEST_SAMPLES:
                continue
            noise = np.sqrt(np.square(noise_px).mean(keepdims=True))
            motion = motion_in_band(time_s, moved_px[None], noise, band)
            inside = (record.t_s >= time_s[0]) & (record.t_s <= time_s[-1])
            inside &= np.isfinite(known[0])
            values[inside] = np.interp(
                record.t_s[inside], motion.t_s, motion.velocity_px_s.values[0]
            )
    return _with_gaps(record.t_s, velocity)


def _with_gaps(t_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The same with a missing value wherever frames are missing, so that no line is drawn there."""
    if len(t_s) < 2:
        return t_s, values
    after = np.flatnonzero(np.diff(t_s) > LONGEST_GAP_STEPS * step_of(t_s)) + 1
    middle_s = (t_s[after - 1] + t_s[after]) / 2
    return np.insert(t_s, after, middle_s), np.insert(values, after, np.nan, axis=1)


def _reduced(t_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest of each step where there are too many points; a step with a gap is one."""
    per_step = -(-2 * len(t_s) // MOST_POINTS)
    if per_step <= 2:
        return t_s, values
    whole = len(t_s) // per_step * per_step
    steps = values[:, len(t_s) - whole :].reshape(2, -1, per_step)
    both = np.stack([steps.min(axis=2), steps.max(axis=2)], axis=2).reshape(2, -1)
    middle_s = t_s[len(t_s) - whole :].reshape(-1, per_step)
    return middle_s[:, [0, per_step // 2]].reshape(-1), both


def _outlined(hz: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """The largest of each step of a spectrum that is finer than can be drawn, at its own frequency."""
    per_step = -(-len(hz) // MOST_POINTS)
    if per_step <= 1:
        return hz, x, y
    whole = len(hz) // per_step * per_step
    highest = np.fmax(x[:whole], y[:whole]).reshape(-1, per_step)
    place = np.nan_to_num(highest, nan=-1.0).argmax(axis=1) + per_step * np.arange(len(highest))
    return hz[place], x[place], y[place]


def _curve(values: Floats) -> Curve:
    """With six digits, which is finer than a screen and half as long."""
    return [None if math.isnan(one) else float(f"{one:.6g}") for one in values.tolist()]
