"""Sinusoids of a record, driven by time stamps alone."""

import numpy as np
import pytest
from signals import RATE_HZ, Floats, resonance, times, tone

from runtime.vibration.tones import Tone, distinct, dominant_frequency, shared_frequencies, tones_of


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


def test_a_resonance_that_wanders_in_amplitude_and_phase_is_still_found() -> None:
    # No sinusoid fits 80 s of it.
    for seed in range(5):
        random = np.random.default_rng(seed)
        moved = 0.02 * resonance(800, 10.0, 1.85, 0.015, random) + random.normal(0, 0.003, 800)
        result = found(times(800, 10.0), moved)
        assert result.frequency_hz == pytest.approx(1.85, rel=0.05)
        assert result.frequency_se_hz > 0


@pytest.mark.parametrize("frequency_hz", [0.93, 3.017, 7.77, 12.41])
def test_frequencies_are_within_a_tenth_of_a_percent_for_20_s_windows(frequency_hz: float) -> None:
    rng = np.random.default_rng(8)
    t_s = times(600)
    for _ in range(30):
        # An RMS of ten times the noise.
        moved = tone(t_s, frequency_hz, np.sqrt(2) * 10) + rng.normal(0, 1, len(t_s))
        assert found(t_s, moved).frequency_hz == pytest.approx(frequency_hz, rel=1e-3)


def test_the_error_of_a_driven_resonance_covers_what_its_phase_does() -> None:
    rng = np.random.default_rng(9)
    t_s = times(1200, 60.0)
    off = []
    for _ in range(60):
        moved = 0.1 * resonance(1200, 60.0, 3.0, 0.01, rng) + rng.normal(0, 0.01, 1200)
        result = found(t_s, moved)
        off.append((result.frequency_hz - 3.0) / result.frequency_se_hz)
    # A sinusoid's bound would be six times too small here.
    assert np.mean(np.abs(off) < 1) > 0.45
    assert np.mean(np.abs(off) < 2) > 0.8
    assert np.mean(np.abs(off) < 1) < 0.95


def test_all_sinusoids_are_told_strongest_first() -> None:
    rng = np.random.default_rng(10)
    t_s = times(1200, 60.0)
    moved = tone(t_s, 2.1, 0.1) + tone(t_s, 5.3, 0.3, 1.0) + tone(t_s, 21.7, 0.05, 2.0)
    results = tones_of(t_s, moved + rng.normal(0, 0.01, 1200))
    assert [round(one.frequency_hz, 1) for one in results] == [5.3, 2.1, 21.7]
    for one, amplitude_px in zip(results, (0.3, 0.1, 0.05), strict=True):
        assert abs(one.amplitude_px - amplitude_px) < 4 * one.amplitude_se_px
        assert one.amplitude_se_px == pytest.approx(0.01 * np.sqrt(2 / 1200), rel=0.3)


def test_side_lobes_of_a_strong_tone_are_no_tones_and_hide_no_faint_one() -> None:
    t_s = times(600, 60.0)
    noise_px = np.random.default_rng(4).normal(0, 1e-4, 600)  # the lobes stand far above it
    tones = tones_of(t_s, tone(t_s, 3.0) + tone(t_s, 4.4, 3e-4, 1.0) + noise_px)
    assert [one.frequency_hz for one in tones] == pytest.approx([3.0, 4.4], rel=1e-3)
    assert [one.amplitude_px for one in tones] == pytest.approx([1.0, 3e-4], rel=0.1)


def test_one_driven_resonance_is_not_told_as_several() -> None:
    rng = np.random.default_rng(11)
    t_s = times(600, 60.0)
    counts = [
        len(tones_of(t_s, 0.1 * resonance(600, 60.0, 3.0, 0.01, rng) + rng.normal(0, 0.01, 600)))
        for _ in range(40)
    ]
    assert min(counts) == 1
    assert np.mean(counts) < 1.5


def some_tone(frequency_hz: float, amplitude_px: float, se_hz: float = 0.001) -> Tone:
    return Tone(frequency_hz, amplitude_px, se_hz, 0.001, "x")


def test_of_two_tones_at_one_frequency_the_stronger_is_told() -> None:
    strong, weak, other = some_tone(3.0, 0.2), some_tone(3.05, 0.1), some_tone(4.0, 0.3)
    assert distinct([weak, strong, other], 0.1, 5) == [other, strong]
    assert distinct([weak, strong, other], 0.01, 5) == [other, strong, weak]
    assert distinct([weak, strong, other], 0.01, 1) == [other]
    unsure = some_tone(3.05, 0.1, se_hz=0.05)
    assert distinct([strong, unsure], 0.01, 5) == [strong]


def test_a_frequency_is_shared_when_two_regions_have_it() -> None:
    deck = [some_tone(3.0, 0.2, 0.001), some_tone(9.0, 0.5)]
    pier = [some_tone(3.01, 0.4, 0.002)]
    [(hz, strongest)] = shared_frequencies([deck, pier, []], 0.1, 3)
    assert strongest == 1
    assert hz == pytest.approx((3.0 * 4 + 3.01) / 5)  # weighted by one over the squared errors
    assert shared_frequencies([deck, []], 0.1, 3) == []
    assert shared_frequencies([[*deck, some_tone(3.02, 0.1)], []], 0.1, 3) == []


@pytest.mark.parametrize("constant_px", 1.37 * 10.0 ** -np.arange(12, 19))
def test_the_rounding_of_a_record_that_never_changes_is_no_tone(constant_px: float) -> None:
    assert tones_of(times(600), np.full(600, constant_px)) == []
