"""A bounded store of rendered scenes on disk, so that a training step costs a fraction of one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from magnifier import sensor_noise
from magnifier.photographs import Picture
from magnifier.scenes import Random, make_scene

STRIDE = 4
MARGIN_PX = 32
"""Scenes are larger than the crops that are cut from them by this much."""
STORED_PX = 4096 * 160**2
"""Area of all scenes of a pool: 1.9 GB on disk."""
SMALL_SHARE = 0.4
"""Of the scenes, with motions that mostly stay small when magnified: what is met in the field."""
LEVELS = 128
"""Steps of a stored grey level: finer than any motion that a gain of 100 brings to light."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames (batch, 3, size, size) in [-1, 1]; gain (batch, 1, 1, 1).

    ``displacement_px`` is (batch, 2, size / 4, size / 4), the mean of each 4x4 block.
    """

    reference: Tensor
    current: Tensor
    magnified: Tensor
    displacement_px: Tensor
    gain: Tensor

    def part(self, share: slice, device: torch.device) -> "Batch":
        """Some of the batch, on ``device``."""
        parts = (getattr(self, name)[share].to(device) for name in Batch.__slots__)
        return Batch(*parts)

    def fine_displacement_px(self) -> Tensor:
        """(batch, 2, size, size): interpolated between the blocks."""
        return F.interpolate(self.displacement_px, scale_factor=float(STRIDE), mode="bilinear")


class ScenePool:
    """Scenes of ``size_px`` in memory-mapped files; the oldest makes room for the newest.

    ``slots`` is how many; without it as many as make up ``STORED_PX``.

    Each draw cuts a random crop, mirrors and turns it, shuffles colours and adds fresh noise, so a
    stored scene serves many times. What is stored survives a restart.
    """

    def __init__(
        self,
        folder: Path,
        pictures: list[Picture],
        *,
        random: Random,
        slots: int | None = None,
        size_px: int = 160,
    ) -> None:
        slots = slots or STORED_PX // size_px**2
        folder = folder / f"{size_px}px"
        folder.mkdir(parents=True, exist_ok=True)
        self._pictures = pictures
        self._random = random
        self._camera = torch.Generator().manual_seed(int(random.integers(2**32)))
        self._size_px = size_px
        # Rebuilt when its shape changes: a pool is a cache, nothing is lost with it.
        shape = (slots, 3, size_px, size_px, 3)
        self._frames = _mapped(folder / "frames.npy", shape, np.int16)
        coarse = size_px // STRIDE
        self._displacements = _mapped(
            folder / "displacements.npy", (slots, coarse, coarse, 2), np.float16
        )
        self._gains = _mapped(folder / "gains.npy", (slots,), np.float32)
        # A gain of 0 marks a slot that was never filled.
        self._filled = int((self._gains > 0).sum())
        self._next = self._filled % slots

    def __len__(self) -> int:
        return self._filled

    @property
    def first_fill(self) -> int:
        """How many scenes should be there before the first draw."""
        return min(512, self.slots)

    @property
    def slots(self) -> int:
        return len(self._gains)

    def refresh(self) -> None:
        """Render one more scene into the pool."""
        scene = make_scene(self._pictures, self._size_px, self._random, SMALL_SHARE)
        for place, frame in enumerate((scene.reference, scene.current, scene.magnified)):
            self._frames[self._next, place] = np.rint(np.clip(frame, 0, 255) * LEVELS)
        coarse = self._size_px // STRIDE
        blocks = scene.displacement_px.reshape(coarse, STRIDE, coarse, STRIDE, 2)
        self._displacements[self._next] = blocks.mean(axis=(1, 3))
        self._gains[self._next] = scene.gain
        self._filled = max(self._filled, self._next + 1)
        self._next = (self._next + 1) % self.slots

    def draw(self, count: int, crop_px: int) -> Batch:
        """``count`` random crops; ``crop_px`` is a multiple of 4 and at most ``size_px``."""
        drawn = [self._draw_one(crop_px) for _ in range(count)]
        frames, displacements, gains = zip(*drawn, strict=True)
        # (batch, which frame, height, width, colour), as rendered, to (which, batch, colour, ...).
        levels = torch.from_numpy(np.stack(frames)).float().permute(1, 0, 4, 2, 3) / LEVELS
        noise = torch.rand(count, 1, 1, 1, generator=self._camera) * sensor_noise.LIMIT
        inputs = sensor_noise.noisy(levels[:2], noise, self._camera)
        reference, current = sensor_noise.quantised(inputs, self._camera) / 127.5 - 1
        magnified = levels[2] / 127.5 - 1
        return Batch(
            reference.contiguous(memory_format=torch.channels_last),
            current.contiguous(memory_format=torch.channels_last),
            magnified.contiguous(memory_format=torch.channels_last),
            displacement_px=torch.from_numpy(np.stack(displacements)).permute(0, 3, 1, 2).float(),
            gain=torch.tensor(gains, dtype=torch.float32).view(-1, 1, 1, 1),
        )

    def _draw_one(self, crop_px: int) -> tuple[NDArray[np.int16], NDArray[np.floating], float]:
        random = self._random
        slot = random.integers(self._filled)
        row, column = random.integers((self._size_px - crop_px) // STRIDE + 1, size=2)
        cells = crop_px // STRIDE
        rows = slice(row * STRIDE, row * STRIDE + crop_px)
        columns = slice(column * STRIDE, column * STRIDE + crop_px)
        frames = self._frames[slot, :, rows, columns]
        displacement = self._displacements[slot, row : row + cells, column : column + cells]
        displacement = displacement.astype(np.float32)
        if random.random() < 0.5:
            frames, displacement = frames[:, :, ::-1], displacement[:, ::-1] * (-1, 1)
        if random.random() < 0.5:
            frames, displacement = frames[:, ::-1], displacement[::-1] * (1, -1)
        if random.random() < 0.5:
            frames = frames.transpose(0, 2, 1, 3)
            displacement = displacement.transpose(1, 0, 2)[..., ::-1]
        return frames[..., random.permutation(3)], displacement, float(self._gains[slot])


def _mapped(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    if path.exists():
        kept = np.lib.format.open_memmap(path, mode="r+")
        if kept.shape == shape and kept.dtype == dtype:
            return kept
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
