"""Levels, spectrum and dominant frequency of a window, driven by time stamps alone."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

from calibration.scale import Scale
from runtime.displacement import Displacement
from runtime.vibration import (
    Levels,
    Tone,
    VibrationWindow,
    amplitude_spectrum,
    dominant_frequency,
)

Floats = NDArray[np.float64]
RATE_HZ = 30.0
NOISE_PX = 0.01


def displacement(
    t_s: float, x_px: float | None, y_px: float | None = 0.0, noise_px: float = NOISE_PX
) -> Displacement:
    valid = x_px is not None or y_px is not None
    x_noise, y_noise = (None if value is None else noise_px for value in (x_px, y_px))
    return Displacement(
        region="girder",
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


def times(count: int, rate_hz: float = RATE_HZ) -> Floats:
    return np.arange(count) / rate_hz


def tone(t_s: Floats, frequency_hz: float, amplitude_px: float = 1.0, phase: float = 0.4) -> Floats:
    moved: Floats = amplitude_px * np.sin(2 * np.pi * frequency_hz * t_s + phase)
    return moved


def window_of(t_s: Floats, x_px: Floats, y_px: Floats | None = None) -> VibrationWindow:
    window = VibrationWindow(10.0, 2.0)
    y_px = np.zeros(len(t_s)) if y_px is None else y_px
    for t, x, y in zip(t_s, x_px, y_px, strict=True):
        window.add(displacement(t, None if np.isnan(x) else x, None if np.isnan(y) else y))
    return window


def found(t_s: Floats, x_px: Floats) -> Tone:
    result = dominant_frequency(t_s, x_px)
    assert result is not None
    return result


@pytest.mark.parametrize("length_s", [10.0, 20.0])
@pytest.mark.parametrize("frequency_hz", [1.03, 3.0, 7.77, 13.9])
def test_frequency_and_amplitude_are_as_good_as_the_noise_allows(
    frequency_hz: float, length_s: float
) -> None:
    rng = np.random.default_rng(1)
    t_s = times(round(length_s * RATE_HZ))
    results = [
        found(t_s, tone(t_s, frequency_hz) + rng.normal(0, np.sqrt(0.5) / 3, len(t_s)))
        for _ in range(30)
    ]
    frequency = np.array([result.frequency_hz for result in results])
    amplitude = np.array([result.amplitude_px for result in results])
    assert np.sqrt(np.mean((frequency / frequency_hz - 1) ** 2)) < 1.2e-3
    assert abs(frequency.mean() / frequency_hz - 1) < 4e-4
    assert abs(amplitude.mean() - 1) < 0.01
    assert amplitude.std() < 0.025
    # The published errors are the real ones.
    scatter = (frequency - frequency_hz) / [result.frequency_se_hz for result in results]
    assert 0.6 < scatter.std() < 1.5


def test_without_noise_frequency_and_amplitude_are_exact() -> None:
    result = found(times(300), 0.02 * times(300) + tone(times(300), 3.217, 0.05))
    assert result.frequency_hz == pytest.approx(3.217, rel=1e-7)
    assert result.amplitude_px == pytest.approx(0.05, rel=1e-6)


def test_frame_jitter_does_not_shift_the_frequency() -> None:
    rng = np.random.default_rng(2)
    t_s = times(600) + rng.uniform(-0.008, 0.008, 600)
    result = found(t_s, tone(t_s, 6.4) + rng.normal(0, 0.05, 600))
    assert result.frequency_hz == pytest.approx(6.4, rel=5e-4)
    assert result.amplitude_px == pytest.approx(1.0, rel=0.02)


def test_neighbouring_and_higher_tones_do_not_pull_the_dominant_one() -> None:
    t_s = times(600, 60.0)
    rng = np.random.default_rng(3)
    moved = tone(t_s, 3.0) + tone(t_s, 3.4, 0.3, 1.0) + tone(t_s, 6.0, 0.2, 2.0)
    result = found(t_s, moved + rng.normal(0, 0.05, 600))
    assert result.frequency_hz == pytest.approx(3.0, rel=5e-4)
    assert result.amplitude_px == pytest.approx(1.0, rel=0.02)


def test_pure_noise_has_no_dominant_frequency() -> None:
    rng = np.random.default_rng(4)
    t_s = times(300)
    alarms = [
        dominant_frequency(t_s, rng.normal(size=300), false_alarm=0.05) is not None
        for _ in range(400)
    ]
    # The bound is kept, and it is a bound and not a wall.
    assert np.mean(alarms) <= 0.05
    assert dominant_frequency(t_s, rng.normal(size=300)) is None


def test_drift_is_not_a_frequency() -> None:
    rng = np.random.default_rng(5)
    t_s = times(300)
    slow = 0.5 * t_s + tone(t_s, 0.05, 1.0)
    assert dominant_frequency(t_s, slow + rng.normal(0, 0.05, 300)) is None
    result = found(t_s, slow + tone(t_s, 4.0, 0.2) + rng.normal(0, 0.05, 300))
    assert result.frequency_hz == pytest.approx(4.0, rel=2e-3)


def test_short_gaps_are_bridged() -> None:
    t_s = times(300)
    moved = tone(t_s, 3.0)
    moved[100:102] = np.nan
    moved[200] = np.nan
    result = found(t_s, moved)
    assert result.frequency_hz == pytest.approx(3.0, rel=1e-6)
    assert result.amplitude_px == pytest.approx(1.0, rel=1e-6)


def test_after_a_long_gap_only_what_follows_counts() -> None:
    t_s = times(600)
    moved = np.where(t_s < 12, tone(t_s, 5.0, 3.0), tone(t_s, 3.0))
    moved[360:380] = np.nan
    assert found(t_s, moved).frequency_hz == pytest.approx(3.0, rel=1e-4)
    longest = dominant_frequency(t_s, moved, stretch="longest")
    assert longest is not None
    assert longest.frequency_hz == pytest.approx(5.0, rel=1e-4)
    moved[-15] = np.nan
    moved[-40:-15] = np.nan
    assert dominant_frequency(t_s, moved) is None  # 14 samples are too few


@pytest.mark.parametrize("count", [0, 1, 2, 31])
def test_a_record_that_is_too_short_has_no_spectrum(count: int) -> None:
    t_s = times(count)
    assert dominant_frequency(t_s, tone(t_s, 3.0)) is None
    assert amplitude_spectrum(t_s, tone(t_s, 3.0)) is None


def test_a_sinusoid_stands_in_the_spectrum_with_its_amplitude() -> None:
    window = window_of(times(300), tone(times(300), 3.03, 0.4), tone(times(300), 7.1, 0.1))
    spectrum = window.spectrum()
    assert spectrum is not None
    assert spectrum.frequency_hz[np.argmax(spectrum.x_px)] == pytest.approx(3.03, abs=0.02)
    assert spectrum.x_px.max() == pytest.approx(0.4, rel=0.01)
    assert spectrum.frequency_hz[np.argmax(spectrum.y_px)] == pytest.approx(7.1, abs=0.02)
    assert spectrum.y_px.max() == pytest.approx(0.1, rel=0.01)
    assert spectrum.frequency_hz[-1] == pytest.approx(RATE_HZ / 2)


def test_dominant_is_the_stronger_axis_and_says_which() -> None:
    result = window_of(
        times(300), tone(times(300), 3.0, 0.1), tone(times(300), 5.0, 0.3)
    ).dominant()
    assert result is not None
    assert result.axis == "y"
    assert result.frequency_hz == pytest.approx(5.0)
    nothing = np.full(300, np.nan)
    result = window_of(times(300), tone(times(300), 3.0, 0.1), nothing).dominant()
    assert result is not None
    assert result.axis == "x"
    assert result.frequency_hz == pytest.approx(3.0)


def test_levels_are_about_the_mean_of_the_newest_seconds() -> None:
    t_s = times(300)
    moved = np.where(t_s < 7, 50.0, 5.0) + tone(t_s, 3.0, 0.2)
    levels = window_of(t_s, moved, tone(t_s, 2.0, 0.1)).levels()
    assert levels.displacement_rms_px == pytest.approx(0.2 / np.sqrt(2), rel=0.02)
    assert levels.displacement_peak_px == pytest.approx(0.2, rel=0.02)
    assert levels.signal_to_noise == pytest.approx(0.2 / np.sqrt(2) / NOISE_PX, rel=0.02)


def test_millimetres_are_of_the_axis_that_moves_more_on_the_surface() -> None:
    t_s = times(300)
    scale = Scale(x_mm_per_px=2.0, y_mm_per_px=10.0, x_se_mm_per_px=0.1, y_se_mm_per_px=0.4)
    window = window_of(t_s, tone(t_s, 3.0, 0.2), tone(t_s, 3.0, 0.1))
    plain, levels = window.levels(), window.levels(scale)
    assert levels.displacement_rms_px == plain.displacement_rms_px
    assert levels.displacement_rms_px == pytest.approx(0.2 / np.sqrt(2), rel=0.02)
    # y moves half as far in the picture, but 2.5 times as far on the surface.
    assert levels.displacement_rms_mm == pytest.approx(1.0 / np.sqrt(2), rel=0.02)
    assert levels.displacement_rms_se_mm == pytest.approx(0.04 / np.sqrt(2), rel=0.02)
    assert levels.displacement_peak_mm == pytest.approx(1.0, rel=0.02)
    assert levels.displacement_peak_se_mm == pytest.approx(0.04, rel=0.02)


def test_without_a_scale_or_measurements_millimetres_are_missing() -> None:
    scale = Scale(x_mm_per_px=2.0, y_mm_per_px=2.0, x_se_mm_per_px=0.1, y_se_mm_per_px=0.1)
    t_s = times(300)
    assert window_of(t_s, tone(t_s, 3.0)).levels().displacement_rms_mm is None
    assert VibrationWindow(10.0, 2.0).levels(scale) == Levels(None, None, None)


def test_signal_to_noise_of_pure_noise_is_one() -> None:
    rng = np.random.default_rng(6)
    ratios = []
    for _ in range(40):
        x_px, y_px = rng.normal(0, NOISE_PX, (2, 90))
        ratios.append(window_of(times(90), x_px, y_px).levels().signal_to_noise)
    assert np.mean(np.array(ratios, dtype=float)) == pytest.approx(1.05, abs=0.05)


def test_a_few_noisy_pictures_count_as_noise() -> None:
    window = VibrationWindow(10.0, 2.0)
    for index, t_s in enumerate(times(90)):
        jump = index % 10 == 0
        window.add(displacement(t_s, 0.5 if jump else 0.0, None, noise_px=0.5 if jump else 0.001))
    ratio = window.levels().signal_to_noise
    assert ratio is not None
    assert ratio < 1.1


def test_missing_measurements_are_left_out_and_too_many_make_levels_missing() -> None:
    t_s = times(120)
    moved = tone(t_s, 3.0, 0.2) + 7.0
    whole = window_of(t_s, moved).levels().displacement_rms_px
    moved[70:90] = np.nan
    y_px = np.where(np.isnan(moved), np.nan, 0.0)
    some = window_of(t_s, moved, y_px).levels().displacement_rms_px
    # Were a missing value a zero, 7 px would show.
    assert some == pytest.approx(whole, rel=0.1)
    moved[62:110] = y_px[62:110] = np.nan
    assert window_of(t_s, moved, y_px).levels() == Levels(None, None, None)


def test_levels_of_too_little_time_are_missing() -> None:
    assert VibrationWindow(10.0, 2.0).levels() == Levels(None, None, None)
    assert window_of(times(20), times(20)).levels() == Levels(None, None, None)


def test_a_standard_error_stands_in_where_no_noise_is_given() -> None:
    window = VibrationWindow(10.0, 2.0)
    for t_s, x_px in zip(times(90), tone(times(90), 3.0, 0.2), strict=True):
        window.add(
            Displacement(
                "girder", round(t_s * 1e9), x_px, None, 0.02, None, valid=True, reason=None
            )
        )
    assert window.levels().signal_to_noise == pytest.approx(0.2 / np.sqrt(2) / 0.02, rel=0.05)


def test_rate_comes_from_the_time_stamps() -> None:
    t_s = times(100, 24.0)
    t_s[50:] += 3.0
    assert window_of(t_s, np.zeros(100)).rate_hz == pytest.approx(24.0, rel=1e-6)
    assert window_of(times(2), np.zeros(2)).rate_hz is None


def test_memory_is_bounded_by_time_and_by_count() -> None:
    window = window_of(times(2000), np.zeros(2000))
    assert len(window) == 301
    window = VibrationWindow(3600.0, 2.0, most_samples=500)
    for t_s in times(2000):
        window.add(displacement(t_s, 0.0))
    assert len(window) == 500


def test_time_that_runs_backwards_empties_the_window() -> None:
    window = window_of(times(100), np.zeros(100))
    window.add(displacement(0.5, 0.0))
    assert len(window) == 1


@settings(max_examples=25, deadline=None)
@given(
    shift_s=st.integers(0, 10**6),
    offset_px=st.floats(-10, 10),
    lost=st.sets(st.integers(0, 299), max_size=20),
)
def test_where_time_and_place_begin_changes_nothing(
    shift_s: int, offset_px: float, lost: set[int]
) -> None:
    t_s = times(300)
    moved = tone(t_s, 3.0, 0.2) + np.random.default_rng(7).normal(0, NOISE_PX, 300)
    moved[sorted(lost)] = np.nan
    here = window_of(t_s, moved, np.full(300, np.nan))
    there = window_of(t_s + shift_s, moved + offset_px, np.full(300, np.nan))
    assert there.rate_hz == pytest.approx(here.rate_hz, rel=1e-6)
    scale = Scale(x_mm_per_px=2.0, y_mm_per_px=3.0, x_se_mm_per_px=0.1, y_se_mm_per_px=0.1)
    levels = asdict(here.levels(scale))
    assert None not in [levels[name] for name in ("displacement_rms_mm", "displacement_peak_se_mm")]
    assert asdict(there.levels(scale)) == pytest.approx(levels, rel=1e-6)
    one, other = here.dominant(), there.dominant()
    if one is None or other is None:
        assert one is other
    else:
        assert other.frequency_hz == pytest.approx(one.frequency_hz, rel=1e-6)
        assert other.amplitude_px == pytest.approx(one.amplitude_px, rel=1e-6)


def test_a_resonance_that_wanders_in_amplitude_and_phase_is_still_found() -> None:
    # White force on a lightly damped oscillator, as wind on a lamp post: no sinusoid fits 80 s.
    rate_hz, natural_hz, damping = 10.0, 1.85, 0.015
    for seed in range(5):
        random = np.random.default_rng(seed)
        pole = np.exp((-damping + 1j) * 2 * np.pi * natural_hz / rate_hz)
        force = random.normal(size=2000)
        moved = np.real(signal.lfilter([1], [1, -pole], force))[-800:]
        moved = 0.02 * moved / moved.std() + random.normal(0, 0.003, 800)
        tone = dominant_frequency(np.arange(800) / rate_hz, moved)
        assert tone is not None
        assert tone.frequency_hz == pytest.approx(natural_hz, rel=0.05)
        assert tone.frequency_se_hz > 0
