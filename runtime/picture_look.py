"""Cheap statistics of a picture, from a sample of it: is it the same, dark, or without fine structure?"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

STRIDE_PX = 8
LEAST_CONTRAST_GREY = 4.0
"""A picture or tile with less shows nothing: darkness, glare, a blank wall."""
TILE_PX = 32
TILES = 4
"""Sharpness is judged in TILES x TILES tiles, at full resolution."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one picture looks like. ``sample`` is (height / 8, width / 8) uint8."""

    sample: Picture
    brightness_grey: float
    sharpness: float | None
    """Energy of fine structure over that of all structure; None for a picture without contrast."""

    def is_same_as(self, other: "Look") -> bool:
        """Whether both show exactly the same; darkness and glare show nothing, and do not count."""
        shows = float(self.sample.std()) >= LEAST_CONTRAST_GREY
        return shows and np.array_equal(self.sample, other.sample)


def look_at(image: Picture) -> Look:
    """Look at a picture (height, width, 3), judged on green."""
    green = image[:, :, 1]
    sample = np.ascontiguousarray(green[::STRIDE_PX, ::STRIDE_PX])
    return Look(sample, float(sample.mean()), _sharpness(green))


def _sharpness(green: Picture) -> float | None:
    """Variance of the Laplacian over that of the picture (Pech-Pacheco et al., ICPR 2000).

    The picture is smoothed over 3x3 pixels before, since the Laplacian of noise alone would hide
    that the structure has gone.
    """
    fine = coarse = 0.0
    for top in _corners(green.shape[0]):
        for left in _corners(green.shape[1]):
            tile = cv2.blur(green[top : top + TILE_PX, left : left + TILE_PX], (3, 3))
            contrast = float(tile.var())
            if contrast >= LEAST_CONTRAST_GREY**2:
                coarse += contrast
                fine += float(cv2.Laplacian(tile, cv2.CV_32F).var())
    return fine / coarse if coarse > 0 else None


def _corners(length_px: int) -> list[int]:
    last = max(length_px - TILE_PX, 0)
    return sorted({round(last * step / (TILES - 1)) for step in range(TILES)})
