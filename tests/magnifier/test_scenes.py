"""Scenes whose truth is exact."""

import numpy as np
import pytest
from numpy.typing import NDArray

from magnifier import scenes
from magnifier.scenes import Scene, make_scene


def of_kind(kind: str, pictures: list[NDArray[np.uint8]], count: int = 1) -> list[Scene]:
    found: list[Scene] = []
    for seed in range(300):
        scene = make_scene(pictures, 96, np.random.default_rng(seed))
        if scene.kind == kind:
            found.append(scene)
        if len(found) == count:
            return found
    raise AssertionError(kind)


def shift_px(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far b has moved from a: least squares on the gradient, iterated on Fourier shifts."""
    a, b = (part.mean(axis=2, dtype=np.float32) for part in (a, b))
    window = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1]))[4:-4, 4:-4]
    frequency_y, frequency_x = (np.fft.fftfreq(side) for side in a.shape)
    shift = np.zeros(2)
    for _ in range(8):
        phase = np.exp(2j * np.pi * (frequency_x * shift[0] + frequency_y[:, None] * shift[1]))
        back = np.real(np.fft.ifft2(np.fft.fft2(b) * phase))
        middle = (a + back) / 2
        slope_y, slope_x = np.gradient(middle, axis=0), np.gradient(middle, axis=1)
        slopes = np.stack([-slope_x[4:-4, 4:-4], -slope_y[4:-4, 4:-4]])
        normal = np.einsum("iyx,jyx,yx->ij", slopes, slopes, window)
        right = np.einsum("iyx,yx,yx->i", slopes, (back - a)[4:-4, 4:-4], window)
        shift += np.linalg.solve(normal, right)
    return shift


def test_nothing_moves_in_still_scenes(pictures: list[NDArray[np.uint8]]) -> None:
    for scene in of_kind("still", pictures, 3):
        assert np.array_equal(scene.reference, scene.current)
        assert np.array_equal(scene.reference, scene.magnified)
        assert not scene.displacement_px.any()


def test_a_layer_moves_by_exactly_its_motion(pictures: list[NDArray[np.uint8]]) -> None:
    random = np.random.default_rng(4)
    for motion_px in ((0.037, -0.013), (0.51, 0.26)):
        layer = scenes._background(pictures, 96, "standard", np.array(motion_px), random)
        still, _ = scenes._compose([layer], 96, 0.0, 0.6)
        moved, truth = scenes._compose([layer], 96, 1.0, 0.6)
        assert truth[50, 50] == pytest.approx(motion_px)
        assert shift_px(still, moved) == pytest.approx(motion_px, abs=0.004)


def test_magnified_frames_show_the_motion_gain_times(pictures: list[NDArray[np.uint8]]) -> None:
    layer = scenes._background(
        pictures, 96, "standard", np.array([0.1, 0.05]), np.random.default_rng(1)
    )
    once, _ = scenes._compose([layer], 96, 1.0, 0.6)
    magnified, _ = scenes._compose([layer], 96, 9.0, 0.6)
    assert shift_px(once, magnified) == pytest.approx((0.8, 0.4), abs=0.01)


def test_motion_keeps_its_limits(pictures: list[NDArray[np.uint8]]) -> None:
    for seed in range(60):
        random = np.random.default_rng(seed)
        scene = make_scene(pictures, 64, random)
        longest_px = np.hypot(*np.moveaxis(scene.displacement_px, 2, 0)).max()
        motion_px = longest_px / max(scene.gain - 1, 1e-6)
        assert 1 <= scene.gain <= scenes.GAIN_LIMIT
        assert motion_px <= scenes.MOTION_LIMIT_PX + 1e-3
        assert motion_px * scene.gain <= scenes.MAGNIFIED_LIMIT_PX + 1e-2


def test_the_same_seed_gives_the_same_scene(pictures: list[NDArray[np.uint8]]) -> None:
    first, second = (make_scene(pictures, 64, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(first.magnified, second.magnified)
    assert first.gain == second.gain
