"""Light and motion of a run: what counts as motion, what does not, and which runs are unusable."""

import numpy as np
import pytest

from benchmarks.clips import Floats, Scene, compressed, render, sine
from calibration.motion import Run, look

SCENE = Scene(160, 128)
FRAMES = 8


def run(x_px: Floats, *, scene: Scene = SCENE, noise_grey: float = 1.0, seed: int = 0) -> Run:
    frames = render(scene, x_px, np.zeros_like(x_px), noise_grey=noise_grey, seed=seed)
    return np.stack([frame.image for frame in frames])


def still(noise_grey: float = 1.0, seed: int = 0) -> Run:
    return run(np.zeros(FRAMES), noise_grey=noise_grey, seed=seed)


@pytest.mark.parametrize("amplitude_px", [0.03, 0.1, 0.4])
def test_motion_is_the_displacement_about_its_mean(amplitude_px: float) -> None:
    x_px = sine(FRAMES, 30.0, 5.0, amplitude_px)
    seen = look(run(x_px))
    assert seen.problem is None
    # The tile that moves most, where all move alike, is the one that noise enlarges most.
    assert 0.97 * x_px.std() < seen.motion_px < 1.4 * x_px.std()


def test_motion_in_a_large_picture_is_in_its_own_pixels() -> None:
    x_px = sine(FRAMES, 30.0, 5.0, 0.5)
    wide = run(x_px, scene=Scene(1280, 128, finest_px=12.0))
    assert look(wide).motion_px == pytest.approx(x_px.std(), rel=0.15)


def test_motion_in_a_corner_is_found() -> None:
    x_px = sine(FRAMES, 30.0, 5.0, 0.3)
    pictures = still()
    pictures[:, :32, :32] = run(x_px)[:, :32, :32]
    assert look(pictures).motion_px == pytest.approx(x_px.std(), rel=0.25)


@pytest.mark.parametrize("noise_grey", [0.3, 1.5, 5.0])
def test_noise_is_no_motion(noise_grey: float) -> None:
    problems = {look(still(noise_grey, seed)).problem for seed in range(8)}
    assert problems == {"without motion"}


def test_a_frozen_picture_is_no_motion() -> None:
    pictures = still()
    assert look(np.repeat(pictures[:1], FRAMES, axis=0)).motion_px == 0.0


def test_changing_light_is_no_motion() -> None:
    light = 1 + 0.04 * np.sin(np.arange(FRAMES))
    frames = render(SCENE, np.zeros(FRAMES), np.zeros(FRAMES), noise_grey=1.0, gain=light)
    assert look(np.stack([frame.image for frame in frames])).motion_px == 0.0


def test_a_clock_in_the_picture_is_no_motion() -> None:
    pictures = still()
    random = np.random.default_rng(5)
    pictures[:, 100:116, 20:100] = random.integers(0, 2, (FRAMES, 16, 80, 1)) * 255
    assert look(pictures).motion_px == 0.0


def test_most_of_what_a_codec_leaves_of_a_still_scene_is_no_motion() -> None:
    frames = list(
        compressed(render(SCENE, np.zeros(64), np.zeros(64), noise_grey=1.5, seed=1), crf=23)
    )
    runs = [np.stack([one.image for one in frames[at : at + 8]]) for at in range(0, 64, 8)]
    assert [look(one).problem for one in runs].count("without motion") >= 6


@pytest.mark.parametrize("step_px", [12.0, 40.0])
def test_a_knock_is_refused(step_px: float) -> None:
    x_px = np.where(np.arange(FRAMES) < 3, 0.0, step_px)
    assert look(run(x_px)).problem == "knocked or cut"


def test_a_cut_is_refused() -> None:
    other = run(np.zeros(4), scene=Scene(160, 128, seed=9))
    assert look(np.concatenate([still()[:4], other])).problem == "knocked or cut"


def test_dark_and_saturated_pictures_are_refused() -> None:
    moving = run(sine(FRAMES, 30.0, 5.0, 0.4))
    assert look(moving // 20).problem == "too dark"
    assert look(np.clip(moving.astype(int) + 220, 0, 255).astype(np.uint8)).problem == "saturated"


def test_a_lit_object_before_a_dark_wall_is_usable() -> None:
    pictures = run(sine(FRAMES, 30.0, 5.0, 0.4))
    pictures[:, :, 64:] = 5
    seen = look(pictures)
    assert seen.problem is None
    assert seen.light_grey == pytest.approx(pictures.mean(), rel=0.01)


@pytest.mark.parametrize("size", [(31, 31), (33, 8)])
def test_pictures_smaller_than_a_tile_have_no_motion(size: tuple[int, int]) -> None:
    assert look(run(sine(FRAMES, 30.0, 5.0, 0.4), scene=Scene(*size))).motion_px == 0.0
