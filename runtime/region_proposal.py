"""Regions for a video that comes without a configuration: where motion can be measured best."""

import cv2
import numpy as np
from numpy.typing import NDArray

from failure import Failure
from runtime.config import Region

SIZE_PX = 48
LEAST_STRENGTH = 20.0
"""Mean squared gradient along the weaker axis, in (grey levels / px) squared."""


def propose_regions(picture: NDArray[np.uint8], count: int = 4) -> tuple[Region, ...]:
    """Up to ``count`` squares with the most texture in both axes, not overlapping.

    The measure is the smaller eigenvalue of the structure tensor (Shi and Tomasi, "Good features to
    track", CVPR 1994). Raises Failure when no square has enough.
    """
    height, width = picture.shape[:2]
    size = min(SIZE_PX, height // 2, width // 2)
    if size < 8:
        raise Failure(
            f"a picture of {width}x{height} px is too small to measure in; "
            "give a video of at least 16x16 px"
        )
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    slope_x, slope_y = (
        cv2.Sobel(grey, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))
    )
    xx, yy, xy = (
        cv2.boxFilter(product, -1, (size, size))
        for product in (slope_x * slope_x, slope_y * slope_y, slope_x * slope_y)
    )
    strength = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    half = size // 2
    usable = np.zeros_like(strength)
    usable[half : height - half, half : width - half] = strength[
        half : height - half, half : width - half
    ]
    regions: list[Region] = []
    while len(regions) < count:
        row, column = np.unravel_index(int(usable.argmax()), usable.shape)
        if usable[row, column] < LEAST_STRENGTH:
            break
        x, y = int(column) - half, int(row) - half
        name = f"region-{len(regions) + 1}"
        regions.append(Region(name=name, x=x, y=y, width=size, height=size))
        usable[max(0, row - size) : row + size, max(0, column - size) : column + size] = 0
    if not regions:
        raise Failure(
            "no part of the first picture has enough texture to measure its motion; "
            "give regions in a configuration, or film a textured surface"
        )
    return tuple(regions)
