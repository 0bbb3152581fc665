"""Tests of one known motion, on methods whose behaviour is known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from failure import Failure
from magnifier import motion_tests
from magnifier.methods import Method, unmagnified
from magnifier.motion_tests import achieved_gain, flicker, trial

Pictures = list[NDArray[np.uint8]]
SIZE_PX = 192


@pytest.mark.parametrize(
    ("gain", "motion_px"), [(2.0, 0.1), (5.0, 1.0), (20.0, 0.5), (20.0, 1.0), (50.0, 0.5)]
)
@pytest.mark.parametrize("shown", [1.0, 0.8])
def test_achieved_gain_is_what_is_shown(
    pictures: Pictures, gain: float, motion_px: float, shown: float
) -> None:
    made = [
        trial(
            pictures,
            SIZE_PX,
            motion_px=motion_px,
            gain=each,
            noise=1.0,
            random=np.random.default_rng(4),
        )
        for each in (gain, shown * gain)
    ]
    found = achieved_gain(made[1].truth, made[0])
    assert found == pytest.approx(shown * gain, abs=0.01 / motion_px)


def photograph_like() -> Pictures:
    """Coarse shapes that carry a fine texture, as photographs do."""
    random = np.random.default_rng(8)
    coarse, fine_ = (
        cv2.resize(random.normal(0, 1, (side, side, 3)), (600, 600), interpolation=cv2.INTER_CUBIC)
        for side in (8, 150)
    )
    return [np.clip(128 + 60 * coarse + 14 * fine_, 0, 255).astype(np.uint8)]


@pytest.mark.parametrize(("gain", "motion_px"), [(5.0, 0.1), (20.0, 1.0), (50.0, 0.5)])
def test_coarse_shapes_do_not_draw_the_registration_to_the_truth(
    gain: float, motion_px: float
) -> None:
    made = trial(
        photograph_like(),
        256,
        motion_px=motion_px,
        gain=gain,
        noise=1.0,
        random=np.random.default_rng(6),
    )
    assert achieved_gain(made.current, made) == pytest.approx(1.0, abs=0.01 / motion_px)


def test_what_shows_nothing_of_it_has_no_gain(pictures: Pictures) -> None:
    made = trial(pictures, 128, motion_px=0.5, gain=5, noise=1.0, random=np.random.default_rng(1))
    noise = np.random.default_rng(0).integers(0, 255, made.truth.shape).astype(np.uint8)
    assert np.isnan(achieved_gain(noise, made))


def test_plain_pictures_are_refused() -> None:
    plain = [np.full((400, 400, 3), 90, np.uint8)]
    with pytest.raises(Failure, match="no texture"):
        trial(plain, 64, motion_px=0.5, gain=5, noise=1.0, random=np.random.default_rng(1))


def test_doing_nothing_achieves_a_gain_of_one(pictures: Pictures) -> None:
    made = trial(
        pictures, SIZE_PX, motion_px=0.5, gain=20, noise=1.0, random=np.random.default_rng(1)
    )
    shown = unmagnified(made.reference, made.current, made.gain)
    assert achieved_gain(shown, made) == pytest.approx(1.0, abs=0.1)


def test_the_truth_carries_no_noise(pictures: Pictures) -> None:
    quiet, loud = (
        trial(pictures, 64, motion_px=0.1, gain=5, noise=noise, random=np.random.default_rng(2))
        for noise in (0.0, 30.0)
    )
    assert np.abs(quiet.truth.astype(int) - loud.truth).max() <= 1
    assert np.abs(quiet.current.astype(int) - loud.current).mean() > 10


def test_flicker_is_one_for_the_input_and_three_for_three_times_its_noise(
    pictures: Pictures,
) -> None:
    def thrice(
        reference: NDArray[np.uint8], current: NDArray[np.uint8], _gain: float
    ) -> NDArray[np.uint8]:
        change = current.astype(np.float64) - reference
        return np.clip(reference + 3 * change, 0, 255).astype(np.uint8)

    def of(method: Method) -> motion_tests.Flicker:
        return flicker(method, pictures, SIZE_PX, np.random.default_rng(3))

    assert of(unmagnified).pooled == pytest.approx(1.0)
    assert of(unmagnified).worst_tile == pytest.approx(1.0)
    assert of(thrice).pooled == pytest.approx(3.0, rel=0.1)


def test_only_gains_within_the_networks_range_are_asked_for() -> None:
    grid = motion_tests.gain_grid()
    assert (20.0, 1.0) in grid
    assert (50.0, 1.0) not in grid
