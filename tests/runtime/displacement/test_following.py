"""The template follows the look of a region, and never its place."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import ndtr

from benchmarks.clips import Floats, Scene, compressed, sine
from runtime.config import Region
from runtime.displacement import LEARNED_PICTURES, Displacement, DisplacementMeter
from runtime.displacement.box import Box
from runtime.displacement.template_keeper import (
    FOLLOW_EVERY_NS,
    FOLLOW_WEIGHT,
    TemplateKeeper,
    boxes_of,
)
from runtime.frame import Frame

REGION = Region(name="girder", x=12, y=12, width=40, height=40)
SCENE = Scene(64, 64)
HOUR_S = 3600
CODED_LEARNED = 121
"""Pictures of coded video at 30 Hz until zero is learned."""


def filmed(
    looks: Iterator[Floats], step_s: float, noise_grey: float = 1.5, seed: int = 0
) -> Iterator[Frame]:
    """Noise-free pictures, taken every so many seconds."""
    random = np.random.default_rng(seed)
    for index, look in enumerate(looks):
        grey = np.rint(look + random.normal(0, noise_grey, look.shape))
        image = np.clip(grey, 0, 255).astype(np.uint8)
        yield Frame(index, round(index * step_s * 1e9), np.repeat(image[:, :, None], 3, axis=2))


def measured(frames: Iterator[Frame]) -> list[Displacement]:
    meter = DisplacementMeter([REGION])
    return [meter.measure(frame)[0] for frame in frames]


def column(results: list[Displacement], name: str) -> Floats:
    return np.array([getattr(one, name) for one in results], np.float64)


def sun(share: float) -> Floats:
    """Light and shadow of another hour: the same surface, lit from elsewhere."""
    rows, columns = np.mgrid[0:64, 0:64] / 64
    pattern: Floats = (
        25 * np.sin(2 * np.pi * (1.5 * rows + share)) * np.cos(2 * np.pi * (columns - share))
    )
    return pattern


def test_a_slow_change_of_look_is_followed_and_drift_stays_in_the_displacement() -> None:
    # An hour: shadows wander and the structure creeps by 1.5 px, while it vibrates.
    count = HOUR_S
    x_px = np.linspace(0, 1.5, count) + sine(count, 1.0, 0.31, 0.1)
    y_px = np.linspace(0, -0.4, count)
    looks = (
        SCENE.at(x, y) * (1 - 0.4 * at) + sun(0.2 * at) - sun(0)
        for x, y, at in zip(x_px, y_px, np.linspace(0, 1, count), strict=True)
    )
    results = measured(filmed(looks, step_s=1.0))
    assert {one.reason for one in results[LEARNED_PICTURES:]} == {None}
    for axis, truth in (("x", x_px), ("y", y_px)):
        error = column(results, f"{axis}_px")[LEARNED_PICTURES:] - truth[LEARNED_PICTURES:]
        error += truth[:LEARNED_PICTURES].mean()
        # Shadows that wander look like motion, a little; what moved is not forgotten.
        assert np.abs(error[-60:].mean()) < 0.2
        assert error[-60:].std() < 1.2 * column(results[-60:], f"{axis}_noise_px").mean()


def test_without_a_change_of_look_zero_wanders_no_more_than_the_standard_error_tells() -> None:
    ends_px, told_px = [], []
    for seed in range(3):
        x_px = sine(HOUR_S // 2, 1.0, 0.013, 0.3)
        shifts = (SCENE.at(x, 0.0) for x in x_px)
        results = measured(filmed(shifts, step_s=1.0, noise_grey=4.0, seed=seed))
        error = column(results, "x_px")[LEARNED_PICTURES:] - x_px[LEARNED_PICTURES:]
        ends_px.append(error[-300:].mean() - error[:300].mean())
        se_px, noise_px = (column(results[-1:], name)[0] for name in ("x_se_px", "x_noise_px"))
        told_px.append(np.sqrt(se_px**2 - noise_px**2))
    assert np.sqrt(np.mean(np.square(ends_px))) < 2 * np.mean(told_px)


def test_a_followed_picture_is_averaged_with_its_weight_at_its_own_place() -> None:
    patch, samples = boxes_of(Box(12, 12, 52, 52), 64, 64)
    keeper = TemplateKeeper(patch, samples)

    def image(x_px: float, light: float, brighter: float) -> np.ndarray:
        grey = light * (SCENE.at(x_px, 0.0) + brighter)
        return np.repeat(np.rint(grey).astype(np.uint8)[:, :, None], 3, axis=2)

    keeper.begin(image(0.0, 1.0, 0.0))
    keeper.mend(0.5)
    for _ in range(LEARNED_PICTURES - 1):
        keeper.learn(image(0.0, 1.0, 0.0), np.zeros(2), 1.0, 0.0, 0.5)
    assert keeper.template is not None
    before = keeper.template.samples.copy()
    noise_px = np.array([0.01, 0.02])
    taken = [
        # Moved, in weaker light, and with something new: 8 grey levels everywhere.
        keeper.follow(image(2.4, 0.7, 8.0), np.array([2.4, 0.0]), 0.7, 0.0, 0.5, noise_px)
        for _ in range(LEARNED_PICTURES)
    ]
    assert taken == [*[False] * (LEARNED_PICTURES - 1), True]
    changed = keeper.template.samples - before
    assert changed.mean() == pytest.approx(8.0 * FOLLOW_WEIGHT, abs=0.1)
    assert changed.std() < 0.3
    np.testing.assert_allclose(keeper.walk_px2, (FOLLOW_WEIGHT * noise_px) ** 2 / LEARNED_PICTURES)


def test_following_costs_one_region_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    regions = [Region(name=f"r{n}", x=12 + n, y=12, width=40, height=40) for n in range(3)]
    meter = DisplacementMeter(regions)
    followed: list[int] = []

    def follow(keeper: TemplateKeeper, *_: object) -> bool:
        followed.append(id(keeper))
        return False

    monkeypatch.setattr(TemplateKeeper, "follow", follow)
    looks = (SCENE.at(0.0, 0.0) for _ in range(LEARNED_PICTURES + 60))
    counts = []
    for frame in filmed(looks, step_s=FOLLOW_EVERY_NS / 1e9 / 10):
        meter.measure(frame)
        counts.append(len(followed))
    assert np.diff(counts).max() == 1
    assert len(set(followed)) == 3
    assert {followed.count(one) for one in set(followed)} <= {5, 6}


def blurred(grey: Floats, sigma_px: float) -> Floats:
    return np.asarray(ndimage.gaussian_filter(grey, sigma_px, mode="nearest"))


@pytest.mark.parametrize("sigma_px", [1.2, 2.0, 3.0])
@pytest.mark.parametrize("noise_grey", [0.5, 4.0])
def test_defocus_against_the_learned_sharpness_is_refused(
    sigma_px: float, noise_grey: float
) -> None:
    sharp = SCENE.at(0.0, 0.0)
    looks = [sharp] * (LEARNED_PICTURES + 4) + [blurred(sharp, sigma_px)] * 4 + [sharp] * 4
    results = measured(filmed(iter(looks), 0.1, noise_grey))
    for one in results[LEARNED_PICTURES + 4 : -4]:
        assert (one.valid, one.x_px) == (False, None)
        assert one.reason == "blurred: it has lost the sharpness that was learned"
    assert {one.reason for one in results[-4:]} == {None}


CONCRETE = Scene(64, 64, contrast_grey=8.0, coarsest_px=25)


@pytest.mark.parametrize("crf", [18, 23])
@pytest.mark.parametrize("noise_grey", [0.5, 4.0])
@pytest.mark.parametrize("scene", [SCENE, CONCRETE])
def test_neither_key_frames_nor_quantisers_are_blur_or_another_picture(
    scene: Scene, noise_grey: float, crf: int
) -> None:
    # Faint detail is another after each key frame, once a second.
    count = CODED_LEARNED + 60
    x_px = sine(count, 30.0, 3.37, 0.05)
    looks = (scene.at(x, 0.5 * x) for x in x_px)
    frames = compressed(filmed(looks, 1 / 30, noise_grey), crf=crf, rate_hz=30, group=30)
    assert {one.reason for one in measured(frames)[CODED_LEARNED:]} == {None}


@pytest.mark.parametrize("noise_grey", [0.5, 4.0])
@pytest.mark.parametrize("scene", [SCENE, CONCRETE])
@pytest.mark.parametrize("crf", [None, 23])
def test_a_real_defocus_is_refused_on_faint_and_on_compressed_texture(
    scene: Scene, noise_grey: float, crf: int | None
) -> None:
    sharp = scene.at(0.0, 0.0)
    sharp_count = 60 if crf is None else CODED_LEARNED + 9
    looks = [sharp] * sharp_count + [blurred(sharp, 2.0)] * 60
    frames = filmed(iter(looks), 1 / 30, noise_grey)
    if crf is not None:
        frames = compressed(frames, crf=crf, rate_hz=30, group=30)
    # A codec needs up to a second for what it did not expect.
    for one in measured(frames)[sharp_count + 31 :]:
        assert not one.valid
        assert one.reason is not None
        assert one.reason.startswith("blurred" if crf is None else ("blurred", "changed"))


@pytest.mark.parametrize(("scene", "least"), [(SCENE, 1.0), (CONCRETE, 0.5)])
@pytest.mark.parametrize("penumbra_px", [4.0, 12.0])
def test_under_the_edge_of_a_shadow_a_region_is_measured_with_the_errors_that_it_has(
    scene: Scene, least: float, penumbra_px: float
) -> None:
    # The edge takes some seconds across the region, and what it darkens is a third.
    count = 400
    x_px = sine(count, 30.0, 3.37, 0.1)
    edges_px = np.linspace(-40, 104, count)
    looks = (
        scene.at(x, 0.0) * (1 - 0.35 * ndtr((np.arange(64) - edge_px) / penumbra_px))
        for x, edge_px in zip(x_px, edges_px, strict=True)
    )
    results = measured(filmed(looks, 1 / 30))
    under = (edges_px > 12) & (edges_px < 52)
    told = np.isfinite(column(results, "x_px"))
    assert told[under].mean() >= least  # of faint texture, errors may be beyond what is published
    error_px = (column(results, "x_px") - x_px)[under & told]
    stated_px = column(results, "x_se_px")[under & told]
    # It is a bias that wanders with the edge, so a clip has few independent ones.
    assert 0.3 < np.sqrt(np.mean(np.square(error_px / stated_px))) < 2
    assert results[-1].reason is None
    assert column(results, "x_noise_px")[-1] < stated_px.mean() / 2


def test_no_shadow_makes_a_motion_beyond_the_range_a_displacement() -> None:
    scene = Scene(128, 64)
    shade = 1 - 0.35 * ndtr((np.arange(128) - 44) / 8)
    far_px = np.linspace(0, 24, 48)
    looks = [scene.at(0.0, 0.0)] * LEARNED_PICTURES + [shade * scene.at(x, 0.0) for x in far_px]
    results = measured(filmed(iter(looks), 0.1))[LEARNED_PICTURES:]
    for one, x_px in zip(results, far_px, strict=True):
        if x_px > 20.2:
            assert one.x_px is None
            assert one.reason is not None
            assert one.reason.startswith("moved: by more than 20 px" if x_px < 21 else "")
        elif x_px < 19.5:
            assert one.x_px == pytest.approx(x_px, abs=0.2)


@pytest.mark.parametrize("share", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("flat", [False, True])
def test_what_covers_half_a_region_is_no_shadow(flat: bool, share: float) -> None:
    look = SCENE.at(0.0, 0.0)
    other = np.full((64, 64), 90.0) if flat else Scene(64, 64, seed=9).at(0.0, 0.0)
    covered = np.where(np.arange(64) < 12 + 40 * share, other, look)
    # Long enough for all that is looked at only now and then.
    results = measured(filmed(iter([look] * LEARNED_PICTURES + [covered] * 40), 0.1))
    for one in results[LEARNED_PICTURES:]:
        assert one.reason is not None
        assert one.reason.startswith("changed:")


@pytest.mark.parametrize("noise_grey", [0.5, 4.0])
def test_a_little_less_sharpness_is_measured_on(noise_grey: float) -> None:
    sharp = SCENE.at(0.0, 0.0)
    moved = SCENE.at(0.3, -0.2)
    looks = [sharp] * LEARNED_PICTURES + [blurred(moved, 0.4)] * 6
    for one in measured(filmed(iter(looks), 0.1, noise_grey))[LEARNED_PICTURES:]:
        assert one.x_se_px is not None
        assert (one.x_px, one.y_px) == pytest.approx((0.3, -0.2), abs=4 * one.x_se_px)
