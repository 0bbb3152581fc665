"""Propagation of uncertainty, against closed forms."""

import numpy as np
import pytest

from calibration.uncertainty import Floats, propagated


def test_a_sum_adds_squares() -> None:
    result, error = propagated(lambda x: np.array([x[0] + 2 * x[1], x[0]]), [5.0, 7.0], [3.0, 2.0])
    np.testing.assert_allclose(result, [19.0, 5.0])
    np.testing.assert_allclose(error, [5.0, 3.0])


def test_a_product_adds_squares_of_shares() -> None:
    result, error = propagated(lambda x: np.array([x.prod()]), [10.0, 20.0], [0.1, 0.4])
    assert result[0] == 200.0
    assert error[0] / result[0] == pytest.approx(np.hypot(0.01, 0.02), rel=1e-9)


def test_an_input_at_an_extreme_counts_by_the_curvature() -> None:
    def square(x: Floats) -> Floats:
        return np.square(x)

    _, error = propagated(square, [0.0], [0.3])
    samples = np.random.default_rng(1).normal(0.0, 0.3, 100_000) ** 2
    assert error[0] == pytest.approx(samples.std(), rel=0.02)


def test_exact_inputs_give_an_exact_result() -> None:
    _, error = propagated(lambda x: np.array([np.sin(x[0])]), [0.4], [0.0])
    assert error[0] == 0.0
