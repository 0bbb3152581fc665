"""What the marks are judged by: exact clips, the bound, pyidi's axes, and verdicts."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import floor
from benchmarks.accuracy import TEXTURES, Clip, Outcome, cramer_rao_px
from benchmarks.accuracy_page import marks
from benchmarks.clips import Masonry, Scene, render, shake
from benchmarks.lucas_kanade import lucas_kanade
from benchmarks.verdicts import rms
from runtime.config import Region
from runtime.displacement import DisplacementMeter
from runtime.displacement.box import Box

INSIDE = Region(name="inside", x=20, y=20, width=41, height=41)


@pytest.mark.parametrize("name", TEXTURES)
def test_a_texture_that_moves_by_whole_pixels_is_the_same_elsewhere(name: str) -> None:
    texture = TEXTURES[name](3)
    moved = np.roll(texture.at(0, 0), (-2, 3), axis=(0, 1))
    np.testing.assert_allclose(texture.at(3, -2)[10:-10, 10:-10], moved[10:-10, 10:-10], atol=1e-9)


def test_masonry_has_blocks_and_joints() -> None:
    wall = Masonry(80, 80).at(0, 0)
    assert wall.min() == pytest.approx(70, abs=12)
    assert 150 < wall.max() < 181


@pytest.mark.parametrize("name", TEXTURES)
def test_the_bound_is_what_least_squares_on_the_known_texture_reaches(name: str) -> None:
    texture, noise_grey = TEXTURES[name](5), 2.0
    box = np.s_[20:61, 20:61]
    slopes = np.stack(
        [
            (texture.at(1e-3, 0) - texture.at(-1e-3, 0))[box].ravel() / 2e-3,
            (texture.at(0, 1e-3) - texture.at(0, -1e-3))[box].ravel() / 2e-3,
        ],
        axis=1,
    )
    clean = texture.at(0, 0)
    random = np.random.default_rng(1)
    errors = []
    for _ in range(400):
        noisy = np.rint(clean + random.normal(0, noise_grey, clean.shape))
        errors.append(np.linalg.lstsq(slopes, (noisy - clean)[box].ravel(), rcond=None)[0])
    reached = np.sqrt(np.mean(np.square(errors), axis=0))
    np.testing.assert_allclose(reached, cramer_rao_px(texture, INSIDE, noise_grey), rtol=0.12)


def test_pyidi_measures_the_same_window_along_the_same_axes() -> None:
    pytest.importorskip("pyidi")
    frames = render(TEXTURES["facade"](2), np.array([0, 0.3]), np.array([0, -0.1]), noise_grey=0.5)
    grey = np.stack([frame.image[:, :, 0] for frame in frames])
    aside = INSIDE.model_copy(update={"x": 12, "y": 26})
    moved_px = lucas_kanade(grey, [INSIDE, aside])
    assert moved_px.shape == (2, 2, 2)
    np.testing.assert_array_equal(moved_px[0], 0)
    np.testing.assert_allclose(moved_px[1], [[0.3, -0.1]] * 2, atol=0.01)
    # It looks at the window and one pixel around it, and at nothing else.
    outside = grey.copy()
    outside[1, :19] = outside[1, 62:] = 0
    outside[1, :, :19] = outside[1, :, 62:] = 0
    np.testing.assert_array_equal(lucas_kanade(outside, [INSIDE]), moved_px[:, :1])


def test_the_kernel_of_the_floor_adds_up_what_a_step_of_the_measurement_does() -> None:
    random = np.random.default_rng(2)
    image = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    planes = random.normal(size=(2, 3, 35)).astype(np.float32)
    grey, sums = np.zeros((2, 35), np.float32), np.zeros((2, 5), np.float32)
    floor._grey(image, np.array([(3, 4), (20, 30)]), 5, 7, grey)
    floor._sums(grey, planes, sums)
    for row, box in enumerate((Box(4, 3, 11, 8), Box(30, 20, 37, 25))):
        less = box.grey(image).ravel() - planes[row, 2]
        wanted = [*(planes[row] @ less), less.sum(), less @ less]
        np.testing.assert_allclose(sums[row], wanted, rtol=1e-4, atol=0.1)


def test_shake_is_one_pixel_and_inside_its_band() -> None:
    moved = shake(1200, 60, 0.5, 10, seed=4)
    assert moved.std() == pytest.approx(1)
    power = np.abs(np.fft.rfft(moved)) ** 2
    hz = np.fft.rfftfreq(1200, 1 / 60)
    assert power[(hz > 0.49) & (hz < 10.01)].sum() == pytest.approx(power.sum())


def outcome(error_share: float, peer_share: float, se_share: float = 1.0) -> Outcome:
    """A clip whose errors are such shares of the bound."""
    clip = Clip("facade", 1.5, 0.05, 60, 0.0, (), 1)
    random = np.random.default_rng(6)
    noise = random.normal(size=(2000, 2))
    return Outcome(
        clip=clip,
        crf=None,
        bound_px=np.full(2, 0.01),
        zero_pictures=1,
        error_px=0.01 * np.sqrt(2) * error_share * noise,
        se_px=np.full((2000, 2), 0.01 * np.sqrt(2) * se_share),
        noise_px=np.full((2000, 2), 0.01 * np.sqrt(2) * se_share),
        peer_error_px=0.01 * np.sqrt(2) * peer_share * noise,
        read=1.0,
        frequency_error=1e-4,
        missing=0.0,
    )


def verdicts(one: Outcome) -> dict[str, bool]:
    flickers = replace(one, clip=replace(one.clip, flicker=0.05))
    stored = [replace(one, crf=crf) for crf in (12, 23)]
    return {mark.what: mark.holds for mark in marks([one, flickers, *stored])}


BOUND = "RMSE over the Cramer-Rao bound, uncompressed"
PEER = "RMSE over pyidi's, uncompressed, steady light"
COVERED = "truth within one and two standard errors, uncompressed"


@pytest.mark.parametrize(
    ("error_share", "peer_share", "se_share", "holds"),
    [
        (0.8, 1.0, 0.8, {BOUND: True, PEER: True, COVERED: True}),
        (1.3, 1.4, 1.3, {BOUND: False, PEER: True, COVERED: True}),
        (0.8, 0.79, 0.8, {BOUND: True, PEER: False, COVERED: True}),
        (0.8, 1.0, 0.6, {BOUND: True, PEER: True, COVERED: False}),
        (0.8, 1.0, 1.0, {BOUND: True, PEER: True, COVERED: False}),
    ],
)
def test_marks_hold_or_fail_by_what_was_found(
    error_share: float, peer_share: float, se_share: float, holds: dict[str, bool]
) -> None:
    found = verdicts(outcome(error_share, peer_share, se_share))
    assert {what: found[what] for what in holds} == holds


def test_rms() -> None:
    assert rms([3.0, 4.0]) == pytest.approx(np.sqrt(12.5))


def test_the_rest_of_the_floor_measures_without_looking_at_pictures() -> None:
    moved_px = np.linspace(0, 4, 41)
    clip = list(render(Scene(80, 80), moved_px, np.zeros(41), rate_hz=60))
    *learning, last = clip
    meter = DisplacementMeter([INSIDE])
    for frame in learning:
        (known,) = meter.measure(frame)
    (other,) = floor._rest([INSIDE], learning)([last, last])
    assert known.x_px is not None
    assert other.x_px == pytest.approx(known.x_px)
    assert other.t_capture_ns == last.t_capture_ns
