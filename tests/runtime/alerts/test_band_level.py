import numpy as np
import pytest

from runtime.alerts.band_level import MOST_SAMPLES, BandLevel, band_rms

RATE_HZ = 60.0
T_S = np.arange(600) / RATE_HZ


def two_tones() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    slow, fast = 0.3 * np.sin(2 * np.pi * 2.0 * T_S), 0.1 * np.sin(2 * np.pi * 12.0 * T_S)
    return np.asarray(5.0 + slow + fast)


@pytest.mark.parametrize(("band_hz", "amplitude_px"), [((1.0, 4.0), 0.3), ((8.0, 20.0), 0.1)])
def test_only_what_lies_inside_the_band_counts(
    band_hz: tuple[float, float], amplitude_px: float
) -> None:
    assert band_rms(T_S, two_tones(), *band_hz) == pytest.approx(
        amplitude_px / np.sqrt(2), rel=0.01
    )


def test_jitter_and_short_gaps_change_little() -> None:
    rng = np.random.default_rng(1)
    t_s = T_S + rng.uniform(-2e-3, 2e-3, len(T_S))
    moved = 0.3 * np.sin(2 * np.pi * 2.0 * t_s)
    moved[rng.integers(0, len(moved), 60)] = np.nan
    assert band_rms(t_s, moved, 1.0, 4.0) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)


def test_white_noise_is_shared_out_over_the_bands() -> None:
    noise = np.random.default_rng(2).standard_normal(len(T_S))
    # A quarter of the spectrum of 0-30 Hz holds a quarter of the power.
    assert band_rms(T_S, noise, 10.0, 17.5) == pytest.approx(0.5, rel=0.15)


def test_too_few_samples_or_none_inside_the_band_give_nothing() -> None:
    holes = two_tones()
    holes[::2] = np.nan
    assert band_rms(T_S, holes, 1.0, 4.0) is None
    assert band_rms(T_S, two_tones(), 2.01, 2.02) is None
    assert band_rms(T_S[:10], two_tones()[:10], 1.0, 4.0) is None


def test_streaming_equals_the_record_and_waits_for_its_length() -> None:
    level = BandLevel(1.0, 4.0, 2.0)
    moved = two_tones()
    for index, (t_s, x_px) in enumerate(zip(T_S, moved, strict=True)):
        level.add(float(t_s), float(x_px), None)
        x_rms, y_rms = level.rms_px()
        assert y_rms is None
        if index < 3 * RATE_HZ:  # of the four periods of 1 Hz
            assert x_rms is None
    newest = T_S[-1] - 4.0 - 1e-9 <= T_S
    assert x_rms == pytest.approx(band_rms(T_S[newest], moved[newest], 1.0, 4.0), rel=1e-3)


def test_a_band_that_the_frame_rate_cannot_show_is_told() -> None:
    level = BandLevel(1.0, 40.0, 2.0)
    for t_s in T_S:
        level.add(float(t_s), 0.0, 0.0)
    assert level.problem() == ("a band up to 40 Hz needs more than 80 frames a second, and 60 come")


def test_memory_is_bounded_and_a_clock_that_goes_back_begins_anew() -> None:
    level = BandLevel(0.05, 1.0, 2.0)
    for index in range(MOST_SAMPLES + 100):
        level.add(index * 1e-3, 0.0, 0.0)
    assert len(level._samples) == MOST_SAMPLES
    level.add(0.0, 0.0, 0.0)
    assert len(level._samples) == 1
