"""What is told of a region at every report: its displacement, levels and frequencies as a message."""

import time

from calibration.scale import Axis, Scale
from runtime.displacement import Displacement
from runtime.messages import Damping, Peak, Telemetry, utc_text
from runtime.vibration.damping import FreeDecay, NoDecay
from runtime.vibration.levels import Levels
from runtime.vibration.tones import Tone, distinct
from runtime.vibration.tracking import Shift
from runtime.vibration.window import Report

MOST_PEAKS = 5


def telemetry_of(
    displacement: Displacement,
    levels: Levels,
    report: Report,
    shift: Shift | None,
    scale: Scale | None,
    *,
    alert: bool,
    limit_ratios: dict[str, float | None],
) -> Telemetry:
    """The message on one region."""
    x_mm, x_se_mm = in_mm(scale, "x", displacement.x_px, displacement.x_se_px)
    y_mm, y_se_mm = in_mm(scale, "y", displacement.y_px, displacement.y_se_px)
    found = distinct(report.tones, report.resolution_hz, MOST_PEAKS)
    peaks = tuple(peak for tone in found if (peak := _peak(tone, scale)) is not None)
    strongest = peaks[0] if peaks else None
    return Telemetry(
        region=displacement.region,
        time_utc=utc_text(time.time()),
        t_s=displacement.t_capture_ns / 1e9,
        rate_hz=report.rate_hz,
        nyquist_hz=report.nyquist_hz,
        x_px=displacement.x_px,
        y_px=displacement.y_px,
        x_se_px=displacement.x_se_px,
        y_se_px=displacement.y_se_px,
        x_mm=x_mm,
        y_mm=y_mm,
        x_se_mm=x_se_mm,
        y_se_mm=y_se_mm,
        shake=displacement.shake,
        shake_x_px=displacement.shake_x_px,
        shake_y_px=displacement.shake_y_px,
        **levels.by_name(),
        noise_floor_px_per_root_hz=report.noise_floor_px_per_root_hz,
        dominant_hz=None if strongest is None else strongest.hz,
        dominant_amplitude_px=None if strongest is None else strongest.amplitude_px,
        dominant_amplitude_mm=None if strongest is None else strongest.amplitude_mm,
        dominant_amplitude_se_mm=None if strongest is None else strongest.amplitude_se_mm,
        peaks=peaks,
        damping=_damping(report.damping),
        damping_missing=report.damping.reason if isinstance(report.damping, NoDecay) else None,
        frequency_shift_percent=None if shift is None else shift.percent,
        frequency_shift_se_percent=None if shift is None else shift.se_percent,
        baseline_hz=None if shift is None else shift.baseline_hz,
        valid=displacement.valid,
        reason=displacement.reason,
        alert=alert,
        limit_ratios=limit_ratios,
        warnings=report.warnings,
    )


def in_mm(
    scale: Scale | None, axis: Axis | None, value_px: float | None, se_px: float | None
) -> tuple[float | None, float | None]:
    """A value in millimetres and its uncertainty, both missing when anything that they need is."""
    if scale is None or axis is None or value_px is None or se_px is None:
        return None, None
    return scale.mm(axis, value_px, se_px)


def _peak(tone: Tone, scale: Scale | None) -> Peak | None:
    if tone.axis is None:
        return None
    amplitude_mm, amplitude_se_mm = in_mm(scale, tone.axis, tone.amplitude_px, tone.amplitude_se_px)
    return Peak(
        hz=tone.frequency_hz,
        hz_se=tone.frequency_se_hz,
        axis=tone.axis,
        amplitude_px=tone.amplitude_px,
        amplitude_se_px=tone.amplitude_se_px,
        amplitude_mm=amplitude_mm,
        amplitude_se_mm=amplitude_se_mm,
    )


def _damping(found: FreeDecay | NoDecay | None) -> Damping | None:
    if not isinstance(found, FreeDecay):
        return None
    return Damping(
        hz=found.frequency_hz, ratio=found.ratio, ratio_se=found.ratio_se, cycles=found.cycles
    )
