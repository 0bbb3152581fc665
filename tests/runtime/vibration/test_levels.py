"""Levels of the newest seconds."""

from collections.abc import Callable
from dataclasses import astuple
from typing import get_args

import numpy as np
import pytest
from signals import NOISE_PX, Floats, decay, displacement, times, tone, window_of

from calibration.scale import Scale
from runtime.config.alerts import Alert, Quantity
from runtime.displacement import Displacement
from runtime.vibration import Levels, VibrationWindow


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


SCALE = Scale(x_mm_per_px=2.0, y_mm_per_px=2.0, x_se_mm_per_px=0.0, y_se_mm_per_px=0.0)
LONG_S = times(480, 60.0)


def bump(t_s: Floats, frequency_hz: float, ratio: float, begins_s: float) -> Floats:
    """A decay that begins smoothly, as the ground after a blast."""
    rising = np.sin(np.clip((t_s - begins_s) * frequency_hz, 0, 1) * np.pi / 2) ** 2
    return rising * decay(t_s, frequency_hz, ratio, 1.0, begins_s)


def true_peaks(motion: Callable[[Floats], Floats]) -> tuple[float, float, float]:
    """Largest velocity and acceleration and range of a motion during its newest 2 s, without band."""
    fine_s = np.linspace(LONG_S[-1] - 2, LONG_S[-1], 40_001)
    moved = motion(fine_s)
    velocity = np.gradient(moved, fine_s)
    inner = velocity[2:-2]
    acceleration = np.gradient(velocity, fine_s)[2:-2]
    return float(np.abs(inner).max()), float(np.abs(acceleration).max()), float(np.ptp(moved))


MOTIONS: dict[str, Callable[[Floats], Floats]] = {
    "slow": lambda t_s: tone(t_s, 1.5),
    "tone": lambda t_s: tone(t_s, 3.0),
    "fast": lambda t_s: tone(t_s, 20.3),
    "two": lambda t_s: tone(t_s, 2.0) + tone(t_s, 5.4, 0.3, 2.0),
    "bump": lambda t_s: bump(t_s, 4.0, 0.08, LONG_S[-1] - 1.3),
    "just now": lambda t_s: bump(t_s, 6.0, 0.05, LONG_S[-1] - 0.4),
}


@pytest.mark.parametrize("kind", MOTIONS)
def test_peaks_are_within_five_percent_at_a_signal_to_noise_of_ten(kind: str) -> None:
    motion = MOTIONS[kind]
    rng = np.random.default_rng(12)
    clean = motion(LONG_S)
    noise_px = float(clean[LONG_S[-1] - 2 <= LONG_S].std()) / 10
    ppv, acceleration, span = true_peaks(motion)
    got = []
    for _ in range(25):
        levels = window_of(
            LONG_S, clean + rng.normal(0, noise_px, len(clean)), noise_px=noise_px
        ).levels()
        got.append(
            [levels.ppv_px_s, levels.acceleration_peak_px_s2, levels.displacement_peak_to_peak_px]
        )
    off = np.array(got, dtype=float) / [ppv, acceleration, span] - 1
    assert np.sqrt(np.mean(off**2, axis=0))[[0, 2]] == pytest.approx(0, abs=0.05)
    # Sampling and a band that ends at 24 Hz cost a transient's acceleration some of its peak.
    assert np.sqrt(np.mean(off[:, 1] ** 2)) < 0.1
    # No bias by noise: the plain maximum would read 8 % (20 Hz) to 170 % (1.5 Hz) too much.
    assert np.abs(off[:, 0].mean()) < 0.04


def test_stated_errors_of_peaks_are_the_real_ones() -> None:
    rng = np.random.default_rng(13)
    off = []
    for kind in ("slow", "tone", "fast", "two"):
        motion = MOTIONS[kind]
        clean = motion(LONG_S)
        noise_px = float(clean.std()) / 10
        ppv, acceleration, span = true_peaks(motion)
        for _ in range(25):
            moved = clean + rng.normal(0, noise_px, len(clean))
            levels = window_of(LONG_S, moved, noise_px=noise_px).levels(SCALE)
            for value, se, truth in (
                (levels.ppv_mm_s, levels.ppv_se_mm_s, ppv),
                (levels.acceleration_peak_mm_s2, levels.acceleration_peak_se_mm_s2, acceleration),
                (
                    levels.displacement_peak_to_peak_mm,
                    levels.displacement_peak_to_peak_se_mm,
                    span,
                ),
            ):
                assert value is not None
                assert se is not None
                off.append(abs(value - 2 * truth) / se)
    assert 0.55 < np.mean(np.array(off) < 1) < 0.9
    assert np.mean(np.array(off) < 2) > 0.88


def test_rms_velocity_and_acceleration_are_those_of_the_sine() -> None:
    rng = np.random.default_rng(14)
    moved = tone(LONG_S, 8.0, 0.2) + rng.normal(0, NOISE_PX, len(LONG_S))
    levels = window_of(LONG_S, moved).levels()
    turn = 2 * np.pi * 8.0
    assert levels.velocity_rms_px_s == pytest.approx(turn * 0.2 / np.sqrt(2), rel=0.02)
    assert levels.acceleration_rms_px_s2 == pytest.approx(turn**2 * 0.2 / np.sqrt(2), rel=0.02)
    assert levels.ppv_hz == pytest.approx(8.0, rel=0.03)


def test_noise_alone_is_not_velocity_and_the_error_says_what_it_may_hide() -> None:
    rng = np.random.default_rng(15)
    # The plain band-limited velocity of this noise has an RMS of .8 px/s and peaks of 2 to 3.
    for _ in range(40):
        moved = rng.normal(0, NOISE_PX, (2, len(LONG_S)))
        levels = window_of(LONG_S, *moved).levels(SCALE)
        assert levels.ppv_mm_s == pytest.approx(0, abs=0.3)
        assert levels.ppv_se_mm_s is not None
        assert 0.2 < levels.ppv_se_mm_s < 1.6
        assert levels.velocity_rms_px_s == pytest.approx(0, abs=0.1)
        assert levels.ppv_hz is None or levels.ppv_px_s != 0


def test_velocity_is_of_the_band_alone() -> None:
    moved = tone(LONG_S, 2.0, 1.0) + tone(LONG_S, 12.0, 0.1)
    both = window_of(LONG_S, moved).levels()
    low = window_of(LONG_S, moved, high_hz=6.0).levels()
    high = window_of(LONG_S, moved, low_hz=6.0).levels()
    assert low.velocity_rms_px_s == pytest.approx(4 * np.pi / np.sqrt(2), rel=0.02)
    assert high.velocity_rms_px_s == pytest.approx(2.4 * np.pi / np.sqrt(2), rel=0.02)
    assert both.velocity_rms_px_s == pytest.approx(np.hypot(4, 2.4) * np.pi / np.sqrt(2), rel=0.02)
    assert low.displacement_peak_to_peak_px == both.displacement_peak_to_peak_px


def test_a_band_that_the_rate_cannot_show_has_no_velocity() -> None:
    t_s = times(300, 10.0)
    levels = window_of(t_s, tone(t_s, 1.0, 0.2), low_hz=4.5).levels(SCALE)
    assert levels.displacement_rms_px is not None
    assert levels.ppv_px_s is levels.ppv_mm_s is levels.velocity_rms_px_s is None


def test_slow_drift_is_range_but_not_velocity() -> None:
    moved = 0.05 * LONG_S + tone(LONG_S, 3.0, 0.01)
    levels = window_of(LONG_S, moved, noise_px=1e-4).levels()
    newest = moved[LONG_S[-1] - 2 <= LONG_S]
    assert levels.displacement_peak_to_peak_px == pytest.approx(np.ptp(newest), rel=0.02)
    assert levels.velocity_rms_px_s == pytest.approx(0.01 * 6 * np.pi / np.sqrt(2), rel=0.05)


def test_the_larger_axis_in_millimetres_gives_its_own_frequency_and_error() -> None:
    scale = Scale(x_mm_per_px=2.0, y_mm_per_px=10.0, x_se_mm_per_px=0.1, y_se_mm_per_px=0.4)
    window = window_of(LONG_S, tone(LONG_S, 3.0, 0.2), tone(LONG_S, 7.0, 0.05), noise_px=1e-3)
    plain, levels = window.levels(), window.levels(scale)
    assert plain.ppv_px_s == pytest.approx(0.2 * 6 * np.pi, rel=0.02)
    assert plain.ppv_hz == pytest.approx(3.0, rel=0.02)
    # y moves less far and slower in the picture, but faster on the surface.
    assert levels.ppv_mm_s == pytest.approx(0.5 * 14 * np.pi, rel=0.02)
    assert levels.ppv_hz == pytest.approx(7.0, rel=0.02)
    assert levels.ppv_se_mm_s == pytest.approx(0.05 * 0.4 * 14 * np.pi, rel=0.2)


def test_after_a_gap_velocity_is_of_both_sides() -> None:
    moved = tone(LONG_S, 3.0, 0.2)
    moved[400:410] = np.nan
    y_px = np.where(np.isnan(moved), np.nan, 0.0)
    levels = window_of(LONG_S, moved, y_px).levels()
    assert levels.velocity_rms_px_s == pytest.approx(0.2 * 6 * np.pi / np.sqrt(2), rel=0.05)
    # Where only little is left of the newest seconds, nothing is told.
    moved[370:475] = y_px[370:475] = np.nan
    levels = window_of(LONG_S, moved, y_px).levels()
    assert levels.ppv_px_s is None


def test_regions_together_are_as_each_alone() -> None:
    rng = np.random.default_rng(16)
    windows = []
    for number in range(4):
        x_px, y_px = tone(LONG_S, 3.0 + number, 0.2) + rng.normal(0, NOISE_PX, (2, len(LONG_S)))
        if number == 1:
            x_px[300:320] = y_px[300:320] = np.nan
        if number == 2:
            y_px[:] = np.nan
        windows.append(window_of(LONG_S, x_px, y_px))
    scales = [None, SCALE, SCALE, None]
    together = VibrationWindow.levels_together(windows, scales)
    for window, scale, levels in zip(windows, scales, together, strict=True):
        alone = window.levels(scale)
        for one, other in zip(astuple(levels), astuple(alone), strict=True):
            assert one == (None if other is None else pytest.approx(other, rel=1e-9))
    assert VibrationWindow.levels_together([], []) == []


def test_without_motion_everything_else_is_the_same() -> None:
    window = window_of(LONG_S, tone(LONG_S, 3.0, 0.2), tone(LONG_S, 5.0, 0.1))
    [whole], [part] = (
        VibrationWindow.levels_together([window], [SCALE], motion=motion)
        for motion in (True, False)
    )
    for quantity in set(get_args(Quantity)) & set(whole.by_name()):
        rule = Alert(name="any", quantity=quantity, raise_above=1.0)
        value = whole.by_name()[quantity]
        assert value is not None
        # A rule that needs what is left out has to say so.
        assert part.by_name()[quantity] == (None if rule.needs_motion else value)
