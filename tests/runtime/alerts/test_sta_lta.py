"""The streaming ratio against its plain twin, and the twin against ObsPy's reference code."""

import numpy as np
import pytest

from runtime.alerts.sta_lta import Floats, StaLta, sta_lta

RATE_HZ, STA_S, LTA_S = 50.0, 1.0, 10.0


def noise_with_burst(seconds: float = 40.0, burst_s: tuple[float, float] = (25.0, 28.0)) -> Floats:
    rng = np.random.default_rng(3)
    t_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    inside = (t_s >= burst_s[0]) & (t_s < burst_s[1])
    moved: Floats = 7.0 + 0.01 * rng.standard_normal(len(t_s))
    return moved + 0.1 * inside * np.sin(2 * np.pi * 5 * t_s)


def streamed(moved_px: Floats, ratio: StaLta, rate_hz: float = RATE_HZ) -> Floats:
    told = [ratio.add(index / rate_hz, float(value)) for index, value in enumerate(moved_px)]
    return np.array(told, dtype=np.float64)


def obspy_recursive_sta_lta(energy: Floats, nsta: int, nlta: int) -> Floats:
    """As in ObsPy's ``recursive_sta_lta_py``, which squares its input itself."""
    csta, clta = 1 / nsta, 1 / nlta
    sta, lta = 0.0, float(np.finfo(0.0).tiny)
    ratio = np.zeros(len(energy))
    for i in range(1, len(energy)):
        sta = csta * energy[i] + (1 - csta) * sta
        lta = clta * energy[i] + (1 - clta) * lta
        ratio[i] = sta / lta if i >= nlta else 0.0
    return ratio


def test_streaming_equals_the_twin() -> None:
    moved = noise_with_burst()
    twin = sta_lta(moved, RATE_HZ, STA_S, LTA_S)
    np.testing.assert_allclose(streamed(moved, StaLta(STA_S, LTA_S)), twin, rtol=1e-9)
    assert np.isfinite(twin).sum() == len(moved) - LTA_S * RATE_HZ


def test_the_twin_equals_obspys_on_the_same_energy() -> None:
    moved = noise_with_burst()
    mean = np.empty_like(moved)
    mean[0] = moved[0]
    for i in range(1, len(moved)):
        mean[i] = mean[i - 1] + (moved[i] - mean[i - 1]) / (STA_S * RATE_HZ)
    expected = obspy_recursive_sta_lta(
        np.square(moved - mean), round(STA_S * RATE_HZ), round(LTA_S * RATE_HZ)
    )
    twin = np.nan_to_num(sta_lta(moved, RATE_HZ, STA_S, LTA_S))
    np.testing.assert_allclose(twin, expected, rtol=1e-9)


@pytest.mark.parametrize("rate_hz", [20.0, 50.0, 120.0])
def test_a_burst_stands_out_at_any_frame_rate(rate_hz: float) -> None:
    t_s = np.arange(round(40 * rate_hz)) / rate_hz
    moved = np.interp(t_s, np.arange(2000) / RATE_HZ, noise_with_burst())
    ratios = streamed(moved, StaLta(STA_S, LTA_S), rate_hz)
    assert np.nanmax(ratios[t_s < 24.9]) < 2.5
    assert np.nanmax(ratios[(t_s > 25) & (t_s < 28)]) > 5


def test_a_frozen_background_keeps_a_long_event_in_sight() -> None:
    moved = noise_with_burst(60.0, (25.0, 50.0))
    plain = streamed(moved, StaLta(STA_S, LTA_S))
    frozen = streamed(moved, StaLta(STA_S, LTA_S, freeze_above=3.0, thaw_below=1.5))
    late = round(45 * RATE_HZ)
    assert plain[late] < 2 < 10 < frozen[late]
    assert frozen[-1] < 1.5


def test_after_its_longest_time_a_new_level_is_learned() -> None:
    moved = noise_with_burst(90.0, (25.0, 90.0))
    ratio = StaLta(STA_S, LTA_S, freeze_above=3.0, thaw_below=1.5, longest_frozen_s=10.0)
    ratios = streamed(moved, ratio)
    assert ratios[round(34 * RATE_HZ)] > 10
    assert ratios[round(80 * RATE_HZ)] < 1.5


def test_missing_samples_and_their_time_do_not_count() -> None:
    moved = noise_with_burst()
    ratio = StaLta(STA_S, LTA_S)
    before = [ratio.add(i / RATE_HZ, float(x)) for i, x in enumerate(moved[:1000])][-1]
    for i in range(1000, 3000):
        assert ratio.add(i / RATE_HZ, None) is None
    after = ratio.add(3000 / RATE_HZ, float(moved[1000]))
    assert after == pytest.approx(before, rel=0.2)


def test_a_time_that_goes_back_begins_anew() -> None:
    ratio = StaLta(STA_S, LTA_S)
    moved = noise_with_burst()
    assert np.isfinite(streamed(moved, ratio)[-1])
    np.testing.assert_array_equal(streamed(moved, ratio), streamed(moved, StaLta(STA_S, LTA_S)))
