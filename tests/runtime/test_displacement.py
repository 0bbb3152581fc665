"""Displacement against exact truth: error, standard error, and honest refusals."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from benchmarks.clips import Scene, render, sine
from failure import Failure
from runtime.config import Region
from runtime.displacement import LARGEST_SE_PX, LEARNED_FRAMES, Displacement, DisplacementMeter
from runtime.frame import Frame

Floats = NDArray[np.float64]

RATE_HZ = 30.0
SCENE = Scene(64, 64)
REGION = Region(name="girder", x=12, y=12, width=40, height=40)


def measured(frames: Iterable[Frame], region: Region = REGION) -> list[Displacement]:
    meter = DisplacementMeter([region])
    return [meter.measure(frame)[0] for frame in frames]


def column(results: Iterable[Displacement], name: str) -> Floats:
    """One field as numbers; a missing value is NaN."""
    values = [getattr(result, name) for result in results]
    return np.array([np.nan if value is None else value for value in values])


def still(count: int) -> Floats:
    return np.zeros(count)


def at_least_valid(results: Iterable[Displacement]) -> None:
    for result in results:
        assert result.valid, result.reason


def assert_missing(result: Displacement, reason: str) -> None:
    assert not result.valid
    assert result.reason is not None
    assert result.reason.startswith(reason)
    for value in (
        result.x_px,
        result.y_px,
        result.x_se_px,
        result.y_se_px,
        result.x_noise_px,
        result.y_noise_px,
    ):
        assert value is None


def plain_displacement(before: Floats, after: Floats, region: Region) -> tuple[float, float]:
    """The readable twin: brightness and motion by Gauss-Newton on a spline, for two pictures."""
    rows = np.arange(region.y, region.y + region.height)
    columns = np.arange(region.x, region.x + region.width)
    spline = RectBivariateSpline(
        np.arange(before.shape[0]), np.arange(before.shape[1]), before, kx=5, ky=5
    )
    target = after[np.ix_(rows, columns)].ravel()
    x = y = 0.0
    for _ in range(10):
        value = spline(rows - y, columns - x).ravel()
        slope_x = spline(rows - y, columns - x, dy=1).ravel()
        slope_y = spline(rows - y, columns - x, dx=1).ravel()
        design = np.stack([-slope_x, -slope_y, value, np.ones_like(value)], axis=1)
        step_x, step_y, gain, _ = np.linalg.lstsq(design, target, rcond=None)[0]
        x, y = x + step_x / gain, y + step_y / gain
    return x, y


def grey_of(frame: Frame) -> Floats:
    return frame.image[:, :, 0].astype(np.float64)


@cache
def clips_of_small_motion() -> tuple[Floats, Floats, Floats, Floats]:
    """Errors, standard errors, noise and true displacement, each (clips, frames, axes).

    Every clip has its own noise, because the first picture's share is one constant in each.
    """
    count = 2 * LEARNED_FRAMES
    x_px = sine(count, RATE_HZ, 3.0, 0.05)
    truth = np.stack([x_px, -0.6 * x_px], axis=1)
    errors, standard, noise = [], [], []
    for seed in range(28):
        results = measured(render(SCENE, x_px, truth[:, 1], noise_grey=1.5, seed=seed))
        both = {
            n: np.stack([column(results, f"{a}_{n}") for a in "xy"], 1)[1:]
            for n in ("px", "se_px", "noise_px")
        }
        errors.append(both["px"] - truth[1:])
        standard.append(both["se_px"])
        noise.append(both["noise_px"])
    shape = np.array(errors).shape
    return (
        np.array(errors),
        np.array(standard),
        np.array(noise),
        np.broadcast_to(truth[1:], shape),
    )


def test_small_motion_is_measured_as_well_as_the_published_error_says() -> None:
    errors, standard, _, _ = clips_of_small_motion()
    rmse = np.sqrt((errors**2).mean(axis=(0, 1)))
    assert np.all(rmse <= 1.25 * standard.mean(axis=(0, 1)))
    assert np.all(rmse < 0.006)


def test_standard_errors_cover_the_truth_as_often_as_they_promise() -> None:
    errors, standard, _, _ = clips_of_small_motion()
    for axis in (0, 1):
        within = np.abs(errors[..., axis]) / standard[..., axis]
        assert np.mean(within < 1) == pytest.approx(0.683, abs=0.08)
        assert np.mean(within < 2) == pytest.approx(0.954, abs=0.04)


def test_noise_is_the_scatter_of_single_measurements() -> None:
    errors, _, noise, _ = clips_of_small_motion()
    learned = errors[:, LEARNED_FRAMES:]
    scatter = np.sqrt(learned.var(axis=1, ddof=1).mean(axis=0))
    assert scatter == pytest.approx(noise[:, LEARNED_FRAMES:].mean(axis=(0, 1)), rel=0.1)


@pytest.mark.parametrize("part", [slice(0, LEARNED_FRAMES - 1), slice(LEARNED_FRAMES, None)])
def test_noise_in_the_reference_does_not_make_motion_smaller(part: slice) -> None:
    # Without the correction for noise in the slopes, the first part reads too low.
    errors, _, _, truth = clips_of_small_motion()
    for axis in (0, 1):
        error, moved = errors[:, part, axis], truth[:, part, axis]
        error = error - error.mean(axis=1, keepdims=True)
        assert abs((error * moved).sum() / (moved**2).sum()) < 0.012


def test_errors_that_blocks_share_are_counted_as_noise() -> None:
    # What compression leaves: little white noise, and 8x8 blocks that are wrong together.
    rng = np.random.default_rng(8)
    clean = SCENE.at(0, 0)
    frames = []
    for index in range(120):
        blocks = np.kron(rng.normal(0, 1.0, (8, 8)), np.ones((8, 8)))
        grey = np.rint(clean + blocks + rng.normal(0, 0.3, clean.shape))
        image = np.clip(grey, 0, 255).astype(np.uint8)
        frames.append(Frame(index, index, np.repeat(image[:, :, None], 3, axis=2)))
    results = measured(frames)[LEARNED_FRAMES:]
    for axis in "xy":
        scatter, noise = column(results, f"{axis}_px").std(), column(results, f"{axis}_noise_px")
        assert scatter == pytest.approx(noise.mean(), rel=0.3)


def test_first_frame_is_zero_with_the_error_that_the_noise_allows() -> None:
    first = measured(render(SCENE, still(1), still(1), noise_grey=1.5))[0]
    assert (first.x_px, first.y_px) == (0.0, 0.0)
    window = np.s_[12:52, 12:52]
    slope_x = (SCENE.at(1e-3, 0) - SCENE.at(-1e-3, 0))[window] / 2e-3
    slope_y = (SCENE.at(0, 1e-3) - SCENE.at(0, -1e-3))[window] / 2e-3
    for published, slope in ((first.x_se_px, slope_x), (first.y_se_px, slope_y)):
        assert published == pytest.approx(1.5 / np.sqrt((slope**2).sum()), rel=0.2)


@pytest.mark.parametrize(("x_px", "y_px"), [(0.04, -0.11), (0.37, 0.46), (-1.73, 0.9)])
def test_fast_path_agrees_with_the_plain_twin(x_px: float, y_px: float) -> None:
    frames = list(render(SCENE, np.array([0, x_px]), np.array([0, y_px]), noise_grey=0.3))
    plain = plain_displacement(grey_of(frames[0]), grey_of(frames[1]), REGION)
    fast = measured(frames)[1]
    assert (fast.x_px, fast.y_px) == pytest.approx(plain, abs=1.5e-3)
    assert (fast.x_px, fast.y_px) == pytest.approx((x_px, y_px), abs=6e-3)


@pytest.mark.parametrize("amplitude_px", [0.5, 3.0, 6.0])
def test_motion_of_several_pixels_is_right(amplitude_px: float) -> None:
    x_px = sine(60, RATE_HZ, 1.0, amplitude_px)
    y_px = -0.7 * x_px
    results = measured(
        render(Scene(96, 96), x_px, y_px, noise_grey=1.5),
        Region(name="deck", x=24, y=24, width=48, height=48),
    )
    at_least_valid(results)
    assert np.abs(column(results, "x_px") - x_px).max() < 0.03
    assert np.abs(column(results, "y_px") - y_px).max() < 0.03


def test_a_sudden_jump_and_the_way_back_are_right() -> None:
    x_px, y_px = still(24), still(24)
    x_px[8:16], y_px[8:16] = 6.4, -4.7
    results = measured(render(SCENE, x_px, y_px, noise_grey=1.5))
    at_least_valid(results)
    assert np.abs(column(results, "x_px") - x_px).max() < 0.03
    assert np.abs(column(results, "y_px") - y_px).max() < 0.03


def test_flicker_does_not_become_motion() -> None:
    count = 90
    light = 1 + sine(count, RATE_HZ, 3.0, 0.05)
    results = measured(render(SCENE, still(count), still(count), noise_grey=1.5, gain=light))
    for axis in "xy":
        moved, noise = column(results, f"{axis}_px")[1:], column(results, f"{axis}_noise_px")[1:]
        along = np.abs(np.mean((moved - moved.mean()) * (light[1:] - 1)) / 0.05)
        assert moved.std() < 1.25 * noise.mean()
        assert along < 2.5 * noise.mean() / np.sqrt(2 * count)


def test_fine_texture_is_not_read_too_small_by_its_slopes() -> None:
    # Waves of 4 px: central differences read its slopes 36 % too low.
    scene = Scene(64, 64, finest_px=4.0, coarsest_px=4.2)
    x_px = sine(40, RATE_HZ, 3.0, 0.2)
    results = measured(render(scene, x_px, still(40), noise_grey=0.5))
    slope = np.polyfit(x_px, column(results, "x_px"), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.012)


@settings(max_examples=25, deadline=None)
@given(x_px=st.floats(-4, 4), y_px=st.floats(-4, 4), t_ns=st.integers(0, 10**15))
def test_any_displacement_is_found_whatever_the_clock_says(
    x_px: float, y_px: float, t_ns: int
) -> None:
    frames = render(SCENE, np.array([0, x_px]), np.array([0, y_px]), noise_grey=0.3)
    later = [replace(frame, t_capture_ns=frame.t_capture_ns + t_ns) for frame in frames]
    result = measured(later)[1]
    assert (result.x_px, result.y_px) == pytest.approx((x_px, y_px), abs=0.01)
    assert result.t_capture_ns == later[1].t_capture_ns


def test_turning_the_picture_swaps_the_axes() -> None:
    frames = list(render(SCENE, sine(4, RATE_HZ, 3.0, 0.3), still(4)))
    turned = [
        replace(frame, image=np.ascontiguousarray(frame.image.transpose(1, 0, 2)))
        for frame in frames
    ]
    for upright, other in zip(measured(frames), measured(turned), strict=True):
        assert (upright.x_px, upright.y_px) == pytest.approx((other.y_px, other.x_px), abs=1e-5)
        assert upright.x_se_px == pytest.approx(other.y_se_px, rel=1e-3)


def test_regions_are_measured_alone_and_in_order() -> None:
    regions = [
        Region(name="left", x=0, y=10, width=24, height=24),
        Region(name="right", x=36, y=36, width=28, height=28),
    ]
    frames = list(render(SCENE, sine(6, RATE_HZ, 3.0, 0.1), still(6)))
    meter = DisplacementMeter(regions)
    together = [meter.measure(frame) for frame in frames]
    assert [result.region for result in together[0]] == ["left", "right"]
    for place, region in enumerate(regions):
        assert [results[place] for results in together] == measured(frames, region)


def test_region_in_the_corner_of_the_picture_is_measured() -> None:
    x_px = sine(40, RATE_HZ, 3.0, 0.2)
    corner = Region(name="corner", x=0, y=0, width=32, height=32)
    results = measured(render(SCENE, x_px, 0.5 * x_px), corner)
    error = column(results, "x_px")[1:] - x_px[1:]
    assert np.sqrt(np.mean(error**2)) < 2 * column(results, "x_se_px")[1:].mean()


def test_region_outside_the_picture_is_told_with_its_name_and_sizes() -> None:
    region = Region(name="pier", x=40, y=0, width=32, height=16)
    with pytest.raises(Failure, match=r'"pier" \(x=40, y=0, width=32, height=16\).*64x64 px; move'):
        measured(render(SCENE, still(1), still(1)), region)


def test_change_of_the_pictures_size_is_a_failure() -> None:
    meter = DisplacementMeter([REGION])
    meter.measure(next(render(SCENE, still(1), still(1))))
    with pytest.raises(Failure, match="from 64x64 to 80x64 px"):
        meter.measure(next(render(Scene(80, 64), still(1), still(1))))


@pytest.mark.parametrize("noise_grey", [0.0, 1.5, 6.0])
def test_flat_region_is_refused(noise_grey: float) -> None:
    flat = Scene(64, 64, contrast_grey=0.0)
    for result in measured(render(flat, still(50), still(50), noise_grey=noise_grey)):
        assert_missing(result, "flat")


def test_stripes_give_only_the_axis_across_them() -> None:
    rows = 120 + 40 * np.sin(np.arange(64) / 2.0)
    rng = np.random.default_rng(3)
    frames = []
    for index in range(40):
        grey = np.rint(rows[:, None] + rng.normal(0, 1.5, (64, 64))).astype(np.uint8)
        frames.append(Frame(index, index, np.repeat(grey[:, :, None], 3, axis=2)))
    for result in measured(frames):
        assert result.valid
        assert result.x_px is None
        assert result.x_se_px is None
        assert result.y_px is not None
        assert abs(result.y_px) < 0.03
        assert result.reason == "flat along x: too little texture"


def covered(frame: Frame) -> Frame:
    image = frame.image.copy()
    other = Scene(64, 64, seed=9).at(0, 0)
    image[:, 30:] = np.clip(other, 0, 255).astype(np.uint8)[:, 30:, None]
    return replace(frame, image=image)


def turned(frame: Frame) -> Frame:
    turn = cv2.getRotationMatrix2D((32.0, 32.0), 8.0, 1.0)
    return replace(frame, image=cv2.warpAffine(frame.image, turn, (64, 64)).astype(np.uint8))


def with_grey(level: int) -> Callable[[Frame], Frame]:
    return lambda frame: replace(frame, image=np.full_like(frame.image, level))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (covered, "changed"),
        (turned, "changed"),
        (with_grey(0), "too dark"),
        (with_grey(255), "saturated"),
        (with_grey(120), "changed: its contrast is lost"),
    ],
)
def test_spoilt_pictures_are_refused_and_the_next_good_one_is_measured(
    spoil: Callable[[Frame], Frame], reason: str
) -> None:
    frames = list(render(SCENE, still(48), still(48)))
    for spoilt in (5, 6, 40):
        frames[spoilt] = spoil(frames[spoilt])
    results = measured(frames)
    for index, result in enumerate(results):
        if index in (5, 6, 40):
            assert_missing(result, reason)
        else:
            assert result.x_px == pytest.approx(0, abs=0.02)


def test_motion_beyond_the_range_is_refused_not_guessed() -> None:
    x_px = np.array([0.0, 0.0, 18.0, 25.0, 60.0, 0.0])
    results = measured(
        render(Scene(128, 64), x_px, still(6)),
        Region(name="far", x=44, y=12, width=40, height=40),
    )
    for result in results[2:5]:
        assert not result.valid
        assert result.x_px is None
    assert results[5].x_px == pytest.approx(0, abs=0.02)


def test_zero_is_the_first_usable_picture() -> None:
    x_px = np.full(12, 0.8)
    x_px[6:] = 1.0
    frames = list(render(SCENE, x_px, still(12)))
    frames[:4] = [with_grey(0)(frame) for frame in frames[:4]]
    results = measured(frames)
    for result in results[:4]:
        assert_missing(result, "too dark")
    assert results[4].x_px == 0.0
    assert results[8].x_px == pytest.approx(0.2, abs=0.02)


def test_a_region_that_began_with_a_bad_picture_begins_again() -> None:
    frames = list(render(SCENE, still(LEARNED_FRAMES + 8), still(LEARNED_FRAMES + 8)))
    frames[0] = next(render(Scene(64, 64, seed=5), still(1), still(1)))
    results = measured(frames)
    assert_missing(results[1], "changed")
    at_least_valid(results[-4:])


def test_a_published_error_never_exceeds_the_limit() -> None:
    faint = Scene(64, 64, contrast_grey=0.7, finest_px=20)
    for result in measured(render(faint, still(60), still(60), noise_grey=2.0)):
        for error in (result.x_se_px, result.y_se_px):
            assert error is None or error <= LARGEST_SE_PX
