"""How regions move together."""

import numpy as np
import pytest
from signals import times, tone

from failure import Failure
from runtime.vibration.shapes import mac, shape_at

T_S = times(600, 60.0)


def test_amplitudes_and_phases_are_relative_to_the_reference() -> None:
    rng = np.random.default_rng(1)
    moved = np.stack(
        [
            tone(T_S, 3.0, 0.2, 0.7),
            tone(T_S, 3.0, 0.1, 0.7 + np.pi),
            tone(T_S, 3.0, 0.3, 0.7 + np.pi / 2) + tone(T_S, 8.0, 0.3),
        ]
    ) + rng.normal(0, 0.01, (3, 600))
    shape = shape_at(T_S, moved, 3.0, 0)
    assert shape is not None
    assert np.abs(shape.ratio) == pytest.approx([1.0, 0.5, 1.5], rel=0.03)
    assert np.angle(shape.ratio[2]) == pytest.approx(np.pi / 2, abs=0.03)
    assert abs(np.angle(shape.ratio[1])) == pytest.approx(np.pi, abs=0.03)
    assert shape.amplitude_px == pytest.approx([0.2, 0.1, 0.3], rel=0.03)
    assert shape.coherence.min() > 0.98


def test_the_stated_error_is_the_scatter() -> None:
    rng = np.random.default_rng(2)
    off, se = [], []
    for _ in range(60):
        moved = tone(T_S, 3.0, 1.0) * np.array([[0.2], [0.1]]) + rng.normal(0, 0.05, (2, 600))
        shape = shape_at(T_S, moved, 3.0, 0)
        assert shape is not None
        off.append(np.abs(shape.ratio[1]) - 0.5)
        se.append(shape.ratio_se[1])
    assert np.std(off) == pytest.approx(np.mean(se), rel=0.4)


def test_what_moves_on_its_own_has_little_coherence() -> None:
    rng = np.random.default_rng(3)
    low = []
    for _ in range(30):
        moved = np.stack([tone(T_S, 3.0, 0.2) + rng.normal(0, 0.01, 600), rng.normal(0, 1, 600)])
        shape = shape_at(T_S, moved, 3.0, 0)
        assert shape is not None
        low.append(shape.coherence[1])
    assert np.mean(low) < 0.35


def test_missing_points_are_missing_and_change_nothing_else() -> None:
    moved = np.stack([tone(T_S, 3.0, 0.2), tone(T_S, 3.0, 0.1), np.full(600, np.nan)])
    moved[1, 100:140] = np.nan
    shape = shape_at(T_S, moved, 3.0, 0)
    assert shape is not None
    assert np.abs(shape.ratio[:2]) == pytest.approx([1.0, 0.5], rel=1e-3)
    assert np.isnan(shape.ratio[2])
    assert shape_at(T_S, moved, 3.0, 2) is None


def test_a_record_of_few_cycles_has_no_shape() -> None:
    assert shape_at(T_S, np.stack([tone(T_S, 0.5)] * 2), 0.5, 0) is None
    assert shape_at(T_S[:1], np.zeros((2, 1)), 3.0, 0) is None


def test_mac_is_one_for_multiples_and_zero_across_modes() -> None:
    place = np.linspace(0, np.pi, 9)[1:-1]
    first, second = np.sin(place), np.sin(2 * place)
    assert mac(first, -2.5j * first) == pytest.approx(1.0)
    assert mac(first, second) == pytest.approx(0.0, abs=1e-12)
    assert mac(first, first + second) == pytest.approx(0.5)
    assert mac([1, np.nan, 2], [1, 5, 2]) == pytest.approx(1.0)


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(Failure, match="give both the same points"):
        mac([1, 2], [1, 2, 3])
    with pytest.raises(Failure, match="no point with motion in common"):
        mac([0, 0], [1, 2])
