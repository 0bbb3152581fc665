"""Displacement against exact truth: error, standard error, and honest refusals."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.clips import Scene, render, sine
from failure import Failure
from runtime.config import Region
from runtime.displacement import (
    LARGEST_MOTION_PX,
    LARGEST_SE_PX,
    LEARNED_PICTURES,
    Displacement,
    DisplacementMeter,
)
from runtime.frame import Frame

Floats = NDArray[np.float64]

RATE_HZ = 30.0
SCENE = Scene(64, 64)
REGION = Region(name="girder", x=12, y=12, width=40, height=40)
FAR_SCENE = Scene(88, 88)
FAR_REGION = Region(name="mast", x=24, y=24, width=40, height=40)


def measured(frames: Iterable[Frame], region: Region = REGION) -> list[Displacement]:
    """Every frame's displacement after those from which zero is learned."""
    meter = DisplacementMeter([region])
    return [meter.measure(frame)[0] for frame in frames][LEARNED_PICTURES:]


def clip(
    scene: Scene,
    x_px: Floats,
    y_px: Floats,
    *,
    noise_grey: float = 1.5,
    seed: int = 0,
    gain: Floats | None = None,
) -> Iterator[Frame]:
    """A rendered clip, before which stand the pictures from which zero is learned."""
    first = np.zeros(LEARNED_PICTURES)
    light = None if gain is None else np.concatenate([first + 1, gain])
    moved_px = (np.concatenate([first, values]) for values in (x_px, y_px))
    return render(scene, *moved_px, noise_grey=noise_grey, seed=seed, gain=light)


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
    results = measured(frames)
    for axis in "xy":
        scatter, noise = column(results, f"{axis}_px").std(), column(results, f"{axis}_noise_px")
        assert scatter == pytest.approx(noise.mean(), rel=0.3)


def test_zero_is_the_mean_place_of_the_first_pictures() -> None:
    x_px = np.concatenate([np.linspace(0, 3.1, LEARNED_PICTURES), np.full(8, 2.0)])
    meter = DisplacementMeter([REGION])
    results = [meter.measure(frame)[0] for frame in render(SCENE, x_px, -x_px)]
    for result in results[: LEARNED_PICTURES - 1]:
        assert_missing(result, "learning: zero is the mean of the first 32 usable pictures")
    zero_px = x_px[:LEARNED_PICTURES].mean()
    for result, x in zip(results[LEARNED_PICTURES:], x_px[LEARNED_PICTURES:], strict=True):
        assert (result.x_px, result.y_px) == pytest.approx((x - zero_px, zero_px - x), abs=0.02)
        assert result.x_se_px is not None
        assert result.x_noise_px is not None
        zero_variance = (result.x_se_px**2 - result.x_noise_px**2) / result.x_noise_px**2
        assert zero_variance == pytest.approx(1 / LEARNED_PICTURES, rel=0.35)


def coded(frames: Iterable[Frame]) -> list[Frame]:
    """With a key frame each second, as far as anyone is told."""
    return [replace(frame, predicted=frame.index % RATE_HZ > 0) for frame in frames]


def test_zero_of_coded_video_is_the_mean_place_of_its_first_four_seconds() -> None:
    count = round(4 * RATE_HZ) + 1
    x_px = np.concatenate([np.linspace(0, 3.1, count), np.full(8, 2.0)])
    meter = DisplacementMeter([REGION])
    frames = coded(render(SCENE, x_px, -x_px, rate_hz=RATE_HZ))
    results = [meter.measure(frame)[0] for frame in frames]
    assert [result.valid for result in results] == [False] * (count - 1) + [True] * 9
    assert_missing(results[-10], "learning: ")
    zero_px = x_px[:count].mean()
    assert column(results[-8:], "x_px") == pytest.approx(2.0 - zero_px, abs=0.02)
    assert column(results[-8:], "y_px") == pytest.approx(zero_px - 2.0, abs=0.02)


def test_a_file_is_learned_from_no_longer_than_zero_takes() -> None:
    frames = iter(clip(SCENE, still(8), still(8)))
    DisplacementMeter([REGION]).learn(frames)
    assert next(frames).index == LEARNED_PICTURES


def test_a_coded_file_of_less_than_four_seconds_is_measured_from_what_it_holds() -> None:
    x_px = np.linspace(0, 0.6, 2 * int(RATE_HZ))
    frames = coded(render(SCENE, x_px, -x_px, rate_hz=RATE_HZ))
    meter = DisplacementMeter([REGION])
    meter.learn(frames)
    results = [meter.measure(frame)[0] for frame in frames]
    at_least_valid(results)
    assert column(results, "x_px") == pytest.approx(x_px - x_px.mean(), abs=0.02)


def test_a_region_that_begins_late_has_its_own_zero() -> None:
    x_px = np.full(LEARNED_PICTURES + 12, 0.8)
    x_px[-4:] = 1.0
    frames = list(render(SCENE, x_px, 0 * x_px))
    frames[:4] = [with_grey(0)(frame) for frame in frames[:4]]
    meter = DisplacementMeter([REGION])
    results = [meter.measure(frame)[0] for frame in frames]
    for result in results[:4]:
        assert_missing(result, "too dark")
    for result in results[LEARNED_PICTURES + 4 : -4]:
        assert result.x_px == pytest.approx(0.0, abs=0.02)
    assert results[-1].x_px == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("amplitude_px", [0.5, 3.0, 6.0, 19.0])
def test_motion_of_several_pixels_is_right(amplitude_px: float) -> None:
    x_px = sine(60, RATE_HZ, 1.0, amplitude_px)
    y_px = -0.7 * x_px
    results = measured(
        clip(Scene(96, 96), x_px, y_px, noise_grey=1.5),
        Region(name="deck", x=24, y=24, width=48, height=48),
    )
    at_least_valid(results)
    assert np.abs(column(results, "x_px") - x_px).max() < 0.03
    assert np.abs(column(results, "y_px") - y_px).max() < 0.03


def test_a_sudden_jump_and_the_way_back_are_right() -> None:
    x_px, y_px = still(24), still(24)
    x_px[8:16], y_px[8:16] = 6.4, -4.7
    results = measured(clip(SCENE, x_px, y_px, noise_grey=1.5))
    at_least_valid(results)
    assert np.abs(column(results, "x_px") - x_px).max() < 0.03
    assert np.abs(column(results, "y_px") - y_px).max() < 0.03


def test_flicker_does_not_become_motion() -> None:
    count = 90
    light = 1 + sine(count, RATE_HZ, 3.0, 0.05)
    results = measured(clip(SCENE, still(count), still(count), noise_grey=1.5, gain=light))
    for axis in "xy":
        moved, noise = column(results, f"{axis}_px"), column(results, f"{axis}_noise_px")
        along = np.abs(np.mean((moved - moved.mean()) * (light - 1)) / 0.05)
        assert moved.std() < 1.25 * noise.mean()
        assert along < 2.5 * noise.mean() / np.sqrt(2 * count)


def test_fine_texture_is_not_read_too_small_by_its_slopes() -> None:
    # Waves of 4 px: central differences read its slopes 36 % too low.
    scene = Scene(64, 64, finest_px=4.0, coarsest_px=4.2)
    x_px = sine(40, RATE_HZ, 3.0, 0.2)
    results = measured(clip(scene, x_px, still(40), noise_grey=0.5))
    slope = np.polyfit(x_px, column(results, "x_px"), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.012)


@settings(max_examples=25, deadline=None)
@given(x_px=st.floats(-19.9, 19.9), y_px=st.floats(-19.9, 19.9), t_ns=st.integers(0, 10**15))
def test_any_displacement_is_found_whatever_the_clock_says(
    x_px: float, y_px: float, t_ns: int
) -> None:
    frames = clip(FAR_SCENE, np.array([x_px]), np.array([y_px]), noise_grey=0.3)
    later = [replace(frame, t_capture_ns=frame.t_capture_ns + t_ns) for frame in frames]
    [result] = measured(later, FAR_REGION)
    assert (result.x_px, result.y_px) == pytest.approx((x_px, y_px), abs=0.01)
    assert result.t_capture_ns == later[-1].t_capture_ns


def test_turning_the_picture_swaps_the_axes() -> None:
    frames = list(clip(SCENE, sine(4, RATE_HZ, 3.0, 0.3), still(4)))
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
    frames = list(clip(SCENE, sine(6, RATE_HZ, 3.0, 0.1), still(6)))
    meter = DisplacementMeter(regions)
    together = [meter.measure(frame) for frame in frames][LEARNED_PICTURES:]
    assert [result.region for result in together[0]] == ["left", "right"]
    for place, region in enumerate(regions):
        assert [results[place] for results in together] == measured(frames, region)


def test_region_in_the_corner_of_the_picture_is_measured() -> None:
    x_px = sine(40, RATE_HZ, 3.0, 0.2)
    corner = Region(name="corner", x=0, y=0, width=32, height=32)
    results = measured(clip(SCENE, x_px, 0.5 * x_px), corner)
    error = column(results, "x_px") - x_px
    assert np.sqrt(np.mean(error**2)) < 1.5 * column(results, "x_se_px").mean()


def test_region_outside_the_picture_is_told_with_its_name_and_sizes() -> None:
    region = Region(name="pier", x=40, y=0, width=32, height=16)
    with pytest.raises(Failure, match=r'"pier" \(x=40, y=0, width=32, height=16\).*64x64 px; move'):
        measured(clip(SCENE, still(1), still(1)), region)


def test_change_of_the_pictures_size_is_a_failure() -> None:
    meter = DisplacementMeter([REGION])
    meter.measure(next(clip(SCENE, still(1), still(1))))
    with pytest.raises(Failure, match="from 64x64 to 80x64 px"):
        meter.measure(next(clip(Scene(80, 64), still(1), still(1))))


@pytest.mark.parametrize("noise_grey", [0.0, 1.5, 6.0])
def test_flat_region_is_refused(noise_grey: float) -> None:
    flat = Scene(64, 64, contrast_grey=0.0)
    for result in measured(clip(flat, still(50), still(50), noise_grey=noise_grey)):
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
    frames = list(clip(SCENE, still(24), still(24)))
    for spoilt in (5, 6, 40):
        frames[spoilt] = spoil(frames[spoilt])
    meter = DisplacementMeter([REGION])
    results = [meter.measure(frame)[0] for frame in frames]
    for index, result in enumerate(results):
        if index in (5, 6, 40):
            assert_missing(result, reason)
        elif index >= LEARNED_PICTURES + 1:  # two of the first pictures were not usable
            assert result.x_px == pytest.approx(0, abs=0.02)


def test_motion_beyond_the_range_is_refused_not_guessed() -> None:
    x_px = np.array([0.0, 18.0, LARGEST_MOTION_PX + 0.6, 25.0, 60.0, 0.0])
    results = measured(
        clip(Scene(128, 64), x_px, still(6)),
        Region(name="far", x=44, y=12, width=40, height=40),
    )
    assert results[1].x_px == pytest.approx(18.0, abs=0.02)
    assert_missing(results[2], "moved: by more than 20 px")
    for result in results[3:5]:
        assert not result.valid
        assert result.x_px is None
    assert results[5].x_px == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("side_px", [16, 24, 64])
@pytest.mark.parametrize(("x_px", "y_px"), [(20.0, -20.0), (-13.3, 7.6)])
@pytest.mark.parametrize("finest_px", [4.0, 12.0])
def test_jumps_are_found_on_fine_and_on_soft_texture(
    side_px: int, x_px: float, y_px: float, finest_px: float
) -> None:
    scene = Scene(side_px + 48, side_px + 48, finest_px=finest_px, coarsest_px=4 * finest_px)
    jumping = np.array([0.0, x_px, 0.0, x_px])
    results = measured(
        clip(scene, 0.99 * jumping, 0.99 * jumping * y_px / x_px),
        Region(name="mast", x=24, y=24, width=side_px, height=side_px),
    )
    at_least_valid(results)
    for result, part in zip(results, 0.99 * jumping / x_px, strict=True):
        assert result.x_se_px is not None
        assert (result.x_px, result.y_px) == pytest.approx(
            (part * x_px, part * y_px), abs=max(0.03, 6 * result.x_se_px)
        )


def test_a_region_that_began_with_a_bad_picture_begins_again() -> None:
    frames = list(clip(SCENE, still(LEARNED_PICTURES + 40), still(LEARNED_PICTURES + 40)))
    frames[0] = next(clip(Scene(64, 64, seed=5), still(1), still(1)))
    meter = DisplacementMeter([REGION])
    results = [meter.measure(frame)[0] for frame in frames]
    assert_missing(results[1], "changed")
    at_least_valid(results[-4:])


def test_a_published_error_never_exceeds_the_limit() -> None:
    faint = Scene(64, 64, contrast_grey=0.7, finest_px=20)
    for result in measured(clip(faint, still(60), still(60), noise_grey=2.0)):
        for error in (result.x_se_px, result.y_se_px):
            assert error is None or error <= LARGEST_SE_PX
