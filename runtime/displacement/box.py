"""Part of a picture in whole pixels."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Box:
    """Part of a picture, in whole pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width_px(self) -> int:
        return self.right - self.left

    @property
    def height_px(self) -> int:
        return self.bottom - self.top

    @property
    def shape(self) -> tuple[int, int]:
        return self.height_px, self.width_px

    def moved(self, by_px: tuple[int, int]) -> "Box":
        x, y = by_px
        return Box(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def grown(self, by_px: int, width_px: int, height_px: int) -> "Box":
        """Larger on all sides, where a picture of this size allows it."""
        return Box(
            max(self.left - by_px, 0),
            max(self.top - by_px, 0),
            min(self.right + by_px, width_px),
            min(self.bottom + by_px, height_px),
        )

    def is_inside(self, image: Picture) -> bool:
        return (
            min(self.left, self.top) >= 0
            and self.right <= image.shape[1]
            and self.bottom <= image.shape[0]
        )

    def cut(self, image: Picture) -> Picture:
        return image[self.top : self.bottom, self.left : self.right]

    def grey(self, image: Picture) -> Pixels:
        """Grey levels (ITU-R BT.601), (height, width)."""
        colour = self.cut(image).astype(np.float32)
        return cast(Pixels, cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))
