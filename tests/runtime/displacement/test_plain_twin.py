"""The fast path says what its plain twin says, whatever happens to the picture."""

from dataclasses import replace

import numpy as np
import pytest
from plain_meter import PlainMeter

from benchmarks.clips import Floats, Scene, render
from runtime.config import Region
from runtime.displacement import LEARNED_PICTURES, DisplacementMeter
from runtime.frame import Frame

SIZE_PX = 240
# So far apart that what spoils one does not touch another: the twin does not judge light.
REGIONS = (
    Region(name="deck", x=40, y=40, width=40, height=40),
    Region(name="mast", x=150, y=36, width=24, height=32),
    Region(name="pier", x=45, y=150, width=40, height=40),
    Region(name="cable", x=150, y=150, width=40, height=40),
)


def walk(count: int, random: np.random.Generator) -> Floats:
    """A random walk with some jumps, back to 0 where it would leave +-9 px."""
    steps = random.normal(0, 0.25, count) + random.choice([0, 0, 0, 0, 0, 0, 0, 4.3], count)
    moved = np.cumsum(steps)
    return (moved + 9) % 18 - 9


def spoilt(frame: Frame, region: Region, how: int, random: np.random.Generator) -> Frame:
    image = frame.image.copy()
    around = np.s_[
        region.y - 24 : region.y + region.height + 24, region.x - 24 : region.x + region.width + 24
    ]
    if how == 2:
        image[around] = 255
    elif how == 1:
        image[around] = 0
    else:
        other = Scene(SIZE_PX, SIZE_PX, seed=int(random.integers(1000))).at(0, 0)
        image[around] = np.clip(other, 0, 255).astype(np.uint8)[around][:, :, None]
    return replace(frame, image=image)


@pytest.mark.parametrize(("seed", "noise_grey"), [(1, 0.5), (2, 1.5), (3, 4.0)])
def test_fast_path_agrees_with_the_plain_twin(seed: int, noise_grey: float) -> None:
    random = np.random.default_rng(seed)
    count = 2 * LEARNED_PICTURES + 16
    moved_px = [walk(count, random) for _ in "xy"]
    light = 1 + 0.1 * np.sin(np.arange(count) / 3)
    scene = Scene(SIZE_PX, SIZE_PX, seed=seed)
    frames = render(scene, *moved_px, noise_grey=noise_grey, seed=seed, gain=light)
    meter, twins = DisplacementMeter(REGIONS), [PlainMeter(region) for region in REGIONS]
    missing, errors, noises = 0, [], []
    for number, whole in enumerate(frames):
        frame = whole
        if number > 4 and random.uniform() < 0.25:
            which = REGIONS[int(random.integers(len(REGIONS)))]
            frame = spoilt(frame, which, int(random.integers(3)), random)
        for result, twin in zip(meter.measure(frame), twins, strict=True):
            had_learned = len(twin.places_px) == LEARNED_PICTURES
            plain = twin.measure(frame.image)
            if isinstance(plain, str):
                assert result.reason is not None
                assert result.reason.startswith(plain), (number, result)
                missing += plain != "learning"
                continue
            assert result.reason is None
            if had_learned:  # until then the template is one picture, whose noise bends everything
                fast = np.array([result.x_px, result.y_px])
                errors.append((fast - plain[0]) / plain[1])
                noises.append(np.array([result.x_noise_px, result.y_noise_px]) / plain[1])
    assert missing > 10
    assert len(errors) > 100
    # The same answers: a small part of what noise alone makes of them.
    assert np.abs(errors).max() < 0.5
    assert np.sqrt(np.mean(np.square(errors))) < 0.12
    assert np.mean(noises) == pytest.approx(1, abs=0.06)
    assert np.max(np.abs(np.array(noises) - 1)) < 0.25
