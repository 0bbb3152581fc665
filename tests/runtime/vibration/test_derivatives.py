"""Differentiation inside a band, ends of records, and what is left of noise."""

import numpy as np
import pytest
from scipy import signal
from signals import Floats, times, tone

from runtime.vibration.derivatives import Band, motion_in_band, prediction, usable_band

T_S = times(360, 60.0)
BAND = Band(0.5, 24.0)


def plain_prediction(x: Floats, order: int) -> Floats:
    """Burg's recursion as in the books, for one row (n,)."""
    forward, backward = x[1:].copy(), x[:-1].copy()
    coefficients = np.array([1.0])
    for _ in range(order):
        reflection = -2 * (forward @ backward) / (forward @ forward + backward @ backward)
        longer = np.append(coefficients, 0.0)
        coefficients = longer + reflection * longer[::-1]
        following = forward + reflection * backward
        backward = (backward + reflection * forward)[:-1]
        forward = following[1:]
    return coefficients


def test_all_rows_at_once_are_predicted_as_each_alone() -> None:
    rows = np.random.default_rng(1).normal(size=(3, 100)).cumsum(axis=1)
    for row, coefficients in zip(rows, prediction(rows, 12), strict=True):
        np.testing.assert_allclose(coefficients, plain_prediction(row, 12), rtol=1e-9)
        # Stable: what it predicts never grows.
        assert np.abs(np.roots(coefficients)).max() < 1


def test_what_was_an_autoregression_is_recognised() -> None:
    force = np.random.default_rng(2).normal(size=(1, 20_000))
    truth = [1.0, -1.6, 0.9]
    [found] = prediction(signal.lfilter([1.0], truth, force, axis=1), 2)
    assert found == pytest.approx(truth, abs=0.02)


def test_a_row_without_motion_has_none() -> None:
    motion = motion_in_band(T_S, np.zeros((1, 360)), np.array([0.01]), BAND)
    assert np.abs(motion.velocity_px_s.values).max() == 0
    assert np.isfinite(motion.velocity_px_s.se).all()
    motion = motion_in_band(T_S, np.ones((1, 360)), np.array([0.0]), BAND)
    assert motion.displacement_px.values == pytest.approx(1.0)


@pytest.mark.parametrize("frequency_hz", [1.3, 3.0, 8.0, 15.0, 22.0])
def test_derivatives_are_right_up_to_the_newest_sample(frequency_hz: float) -> None:
    turn = 2 * np.pi * frequency_hz
    for phase in np.linspace(0, np.pi, 5):
        moved = tone(T_S, frequency_hz, 1.0, phase)[None]
        motion = motion_in_band(T_S, moved, np.array([1e-4]), BAND)
        angle = turn * motion.t_s + phase
        assert motion.displacement_px.values[0] == pytest.approx(np.sin(angle), abs=0.02)
        assert motion.velocity_px_s.values[0] / turn == pytest.approx(np.cos(angle), abs=0.02)
        acceleration = motion.acceleration_px_s2.values[0] / turn**2
        assert acceleration == pytest.approx(-np.sin(angle), abs=0.03)


def test_jittered_frames_and_lost_ones_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    t_s = np.delete(T_S + rng.uniform(-0.004, 0.004, 360), [50, 51, 200, 340])
    motion = motion_in_band(t_s, tone(t_s, 6.0)[None], np.array([1e-3]), BAND)
    truth = 12 * np.pi * np.cos(12 * np.pi * motion.t_s + 0.4)
    assert motion.velocity_px_s.values[0] / (12 * np.pi) == pytest.approx(
        truth / (12 * np.pi), abs=0.06
    )


def test_the_stated_error_is_the_scatter_that_noise_makes() -> None:
    rng = np.random.default_rng(4)
    moved = tone(T_S, 3.0, 0.2) + rng.normal(0, 0.01, (60, 360))
    motion = motion_in_band(T_S, moved, np.full(60, 0.01), BAND)
    for found, order in ((motion.displacement_px, 0), (motion.velocity_px_s, 1)):
        off = found.values - 0.2 * (6 * np.pi) ** order * np.sin(
            6 * np.pi * motion.t_s + 0.4 + order * np.pi / 2
        )
        assert np.sqrt(np.mean(off**2)) == pytest.approx(found.se.mean(), rel=0.4)


@pytest.mark.parametrize(
    ("rate_hz", "low_hz", "high_hz", "band"),
    [
        (60.0, 0.5, None, Band(0.5, 24.0)),
        (60.0, 0.5, 10.0, Band(0.5, 10.0)),
        (60.0, 0.5, 80.0, Band(0.5, 24.0)),
        (10.0, 4.5, None, None),
        (1.0, 0.5, 0.45, None),
    ],
)
def test_the_band_ends_below_the_nyquist_frequency(
    rate_hz: float, low_hz: float, high_hz: float | None, band: Band | None
) -> None:
    assert usable_band(rate_hz, low_hz, high_hz) == band
