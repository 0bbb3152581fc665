"""Tests of one known motion: how small, under how much noise, and how truly it is magnified.

The sub-pixel and the noise test are those of Oh et al., "Learning-based Video Motion Magnification"
(ECCV 2018), on a textured rectangle that moves over a still background.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from failure import Failure
from magnifier import registration, sensor_noise
from magnifier.methods import Method
from magnifier.photographs import Picture
from magnifier.scenes import MAGNIFIED_LIMIT_PX, Random, Vector, scene_of_motion

SUBPIXEL_MOTIONS_PX = (
    0.04, 0.05, 0.063, 0.079, 0.10, 0.13, 0.16, 0.20, 0.25, 0.32, 0.40, 0.50, 0.63, 0.79, 1.0
)  # fmt: skip
SUBPIXEL_MAGNIFIED_PX = 10.0
NOISE_LEVELS = tuple(np.logspace(-2, 2, 21))
"""Standard deviation at mid-grey, in grey levels."""
NOISE_MOTION_PX, NOISE_GAIN = 0.05, 200.0
GAINS = (2.0, 5.0, 10.0, 20.0, 50.0)
GAIN_MOTIONS_PX = (0.05, 0.1, 0.2, 0.5, 1.0)
USUAL_NOISE = 1.0
LEAST_TEXTURE = 3.0
"""Of the rectangle's middle, in grey levels a pixel (``registration.texture``)."""
ATTEMPTS = 100
STILL_GAIN = 20.0
STILL_FRAMES = 12
TILE_PX = 16
SWAY_PX = 0.5
LEAST_VARIANCE = 0.1
"""Of a tile, in grey levels squared: black pixels hardly flicker at all."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a method gets, and what it should show, (size, size, 3) uint8."""

    reference: Picture
    current: Picture
    truth: Picture
    motion_px: Vector
    gain: float


@dataclass(frozen=True, slots=True)
class Flicker:
    """Temporal standard deviation of still pixels, output / input: of all, and of the worst tile."""

    pooled: float
    worst_tile: float


def trial(
    pictures: list[Picture],
    size_px: int,
    *,
    motion_px: float,
    gain: float,
    noise: float,
    random: Random,
) -> Trial:
    """A trial whose rectangle moves by ``motion_px`` in a random direction; no noise on the truth.

    Raises Failure when the pictures have no texture for its middle, which is registered.
    """
    motion = motion_px * _direction(random)
    for _ in range(ATTEMPTS):
        scene = scene_of_motion(pictures, size_px, motion, gain, random)
        middle = slice(3 * size_px // 8, 5 * size_px // 8)
        levels = scene.current.clip(0, 255).astype(np.uint8)
        if registration.texture(registration.fine(levels)[middle, middle]) > LEAST_TEXTURE:
            break
    else:
        raise Failure(
            f"no texture in {ATTEMPTS} pieces of {len(pictures)} photographs; collect better ones "
            "with: tremorscope photographs"
        )
    camera = torch.Generator().manual_seed(int(random.integers(2**32)))
    return Trial(
        reference=_photographed(scene.reference, noise, camera),
        current=_photographed(scene.current, noise, camera),
        truth=_photographed(scene.magnified, 0.0, camera),
        motion_px=motion,
        gain=gain,
    )


def gain_grid() -> list[tuple[float, float]]:
    """(gain, motion in px) of every pair that stays within what the network is made for."""
    return [
        (gain, motion_px)
        for gain in GAINS
        for motion_px in GAIN_MOTIONS_PX
        if gain * motion_px <= MAGNIFIED_LIMIT_PX
    ]


def achieved_gain(shown: Picture, trial: Trial) -> float:
    """The gain that ``shown`` really has: 1 where nothing was magnified, ``trial.gain`` if true.

    The rectangle's middle in the truth, whose displacement is exact, is looked for in ``shown``;
    what it lies off along the motion, divided by the motion, is the error of the gain. NaN where
    ``shown`` has nothing that resembles it.
    """
    truth, found = registration.fine(trial.truth), registration.fine(shown)
    size_px = truth.shape[0]
    side = size_px // 4
    displacement_px = (trial.gain - 1) * trial.motion_px
    corner = np.rint((size_px - side) / 2 + displacement_px).astype(int)
    template = truth[corner[1] : corner[1] + side, corner[0] : corner[0] + side]
    reach_px = int(np.hypot(*displacement_px)) + 4
    off_px = registration.shift_px(template, found, corner, reach_px)
    if off_px is None:
        return float("nan")
    return trial.gain + float(off_px @ trial.motion_px) / float(np.hypot(*trial.motion_px)) ** 2


def flicker(method: Method, pictures: list[Picture], size_px: int, random: Random) -> Flicker:
    """How much more still pixels flicker while the rectangle sways, magnified ``STILL_GAIN`` times."""
    direction = _direction(random)
    seed = int(random.integers(2**32))
    camera = torch.Generator().manual_seed(seed)
    inputs, outputs = [], []
    reference = None
    for number in range(STILL_FRAMES + 1):
        sway_px = SWAY_PX * np.sin(2.4 * number)
        # The same pictures in the same places every time: only the motion differs.
        scene = scene_of_motion(
            pictures, size_px, sway_px * direction, STILL_GAIN, np.random.default_rng(seed)
        )
        frame = _photographed(scene.current, USUAL_NOISE, camera)
        if reference is None:
            reference = frame
            continue
        inputs.append(frame)
        outputs.append(method(reference, frame, STILL_GAIN))
    # As far as the magnified rectangle or its blur ever reach; a halo would begin right there.
    reach_px = size_px / 4 + SWAY_PX * STILL_GAIN + 2
    from_middle = np.abs(np.arange(size_px) - (size_px - 1) / 2)
    still = np.maximum(from_middle[:, None], from_middle) > reach_px
    before, after = (_variances(np.stack(frames), still) for frames in (inputs, outputs))
    worst = np.sqrt((after / np.maximum(before, LEAST_VARIANCE)).max())
    return Flicker(float(np.sqrt(after.mean() / before.mean())), float(worst))


def _variances(frames: NDArray[np.uint8], still: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Variance over time, the mean over the still pixels of each tile that has a quarter of them."""
    variance = frames.astype(np.float64).var(axis=0).mean(axis=-1)
    tiles = still.shape[0] // TILE_PX
    shape = (tiles, TILE_PX, tiles, TILE_PX)
    counts = still.reshape(shape).sum(axis=(1, 3))
    sums = (variance * still).reshape(shape).sum(axis=(1, 3))
    enough = counts >= TILE_PX**2 // 4
    means: NDArray[np.float64] = sums[enough] / counts[enough]
    return means


def _photographed(levels: NDArray[np.float32], noise: float, camera: torch.Generator) -> Picture:
    noisy = sensor_noise.noisy(torch.from_numpy(levels), noise, camera)
    picture: Picture = sensor_noise.quantised(noisy, camera).to(torch.uint8).numpy()
    return picture


def _direction(random: Random) -> Vector:
    angle = random.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])
