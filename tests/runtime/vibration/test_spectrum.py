"""Spectra of a record and its noise floor."""

import numpy as np
import pytest
from scipy import signal
from signals import times, tone

from runtime.vibration.spectrum import amplitude_spectrum, power_density, welch
from runtime.vibration.tones import dominant_frequency


@pytest.mark.parametrize("count", [0, 1, 2, 31])
def test_a_record_that_is_too_short_has_no_spectrum(count: int) -> None:
    t_s = times(count)
    assert dominant_frequency(t_s, tone(t_s, 3.0)) is None
    assert amplitude_spectrum(t_s, tone(t_s, 3.0)) is None


@pytest.mark.parametrize("rate_hz", [30.0, 60.0, 120.0])
def test_the_floor_is_the_density_of_white_noise(rate_hz: float) -> None:
    rng = np.random.default_rng(1)
    t_s = times(round(10 * rate_hz), rate_hz)
    floors = []
    for _ in range(40):
        density = power_density(t_s, rng.normal(0, 0.02, len(t_s)))
        assert density is not None
        floors.append(density.floor_px_per_root_hz)
    assert np.mean(floors) == pytest.approx(0.02 * np.sqrt(2 / rate_hz), rel=0.02)


def test_a_vibration_stands_above_the_floor_without_raising_it() -> None:
    rng = np.random.default_rng(2)
    t_s = times(1200, 60.0)
    density = power_density(t_s, tone(t_s, 6.0, 0.5) + rng.normal(0, 0.02, 1200))
    assert density is not None
    assert density.floor_px_per_root_hz == pytest.approx(0.02 * np.sqrt(2 / 60), rel=0.1)
    assert density.frequency_hz[np.argmax(density.px2_per_hz)] == pytest.approx(6.0, abs=0.2)
    # The integral of a density is the variance.
    step_hz = density.frequency_hz[1]
    assert density.px2_per_hz.sum() * step_hz == pytest.approx(0.5**2 / 2, rel=0.05)


@pytest.mark.parametrize(("count", "segment"), [(600, 150), (601, 75), (40, 9), (33, 8)])
def test_welchs_estimate_is_scipys(count: int, segment: int) -> None:
    values = np.random.default_rng(3).normal(size=(3, count)).cumsum(axis=1)
    frequency_hz, density = welch(values, 60.0, segment)
    wanted_hz, wanted = signal.welch(values, 60.0, nperseg=segment)
    np.testing.assert_allclose(frequency_hz, wanted_hz)
    np.testing.assert_allclose(density, wanted, rtol=1e-9, atol=1e-12 * wanted.max())
