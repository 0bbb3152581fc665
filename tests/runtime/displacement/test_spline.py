"""Pictures between their pixels."""

import numpy as np
import pytest

from runtime.displacement.spline import Spline, moved_once


@pytest.mark.parametrize("side_px", [12, 51])
@pytest.mark.parametrize("by_px", [(0.0, 0.0), (0.123, -0.3), (-0.5, 0.49)])
def test_a_picture_that_is_moved_once_is_what_its_spline_says(
    side_px: int, by_px: tuple[float, float]
) -> None:
    random = np.random.default_rng(1)
    grey = random.uniform(0, 255, (side_px, side_px)).astype(np.float32)
    np.testing.assert_allclose(moved_once(grey, by_px), Spline(grey).moved(by_px), atol=1e-3)


def test_a_wave_is_moved_by_what_was_asked_for() -> None:
    y, x = np.mgrid[:41, :41].astype(np.float64)

    def wave(x_px: float, y_px: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray(128 + 60 * np.sin((x - x_px) / 2) * np.cos((y - y_px) / 3))

    inner = np.s_[10:-10, 10:-10]  # its edges are mirrored, which a wave's are not
    moved = moved_once(wave(0, 0).astype(np.float32), (0.3, -0.4))
    np.testing.assert_allclose(moved[inner], wave(0.3, -0.4)[inner], atol=0.02)
