"""How far a piece of a picture has moved: exact to a few thousandths of a pixel on clean texture."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from magnifier.photographs import Picture
from magnifier.scenes import Vector

COARSEST_PX = 4.0
"""Standard deviation of the blur that is taken off: what is coarser tells little of position."""
ROUNDS = 5
LEAST_CORRELATION = 0.4

Grey = NDArray[np.float32]


def fine(picture: Picture) -> Grey:
    """Brightness (height, width) without what is coarser than texture."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    detail: Grey = grey - cv2.GaussianBlur(grey, (0, 0), COARSEST_PX)
    return detail


def texture(grey: Grey) -> float:
    """The weaker of the two directions of slope, RMS in grey levels a pixel: what matching stands on."""
    down, right = np.gradient(grey)
    tensor = np.cov(np.stack([right.ravel(), down.ravel()]))
    return float(np.sqrt(max(0.0, np.linalg.eigvalsh(tensor)[0])))


def shift_px(
    template: Grey, picture: Grey, corner: NDArray[np.int_], reach_px: int
) -> Vector | None:
    """How far (x, y) ``template``, cut at ``corner`` (x, y), has moved within ``picture``.

    The best normalised correlation within ``reach_px`` gives whole pixels, least squares on the
    slopes of the template the rest. None where nothing in reach resembles the template.
    """
    height, width = template.shape
    low = np.maximum(corner - reach_px, 0)
    high = np.minimum(corner + np.array([width, height]) + reach_px, picture.shape[::-1])
    searched = picture[low[1] : high[1], low[0] : high[0]]
    scores = cv2.matchTemplate(searched, template, cv2.TM_CCOEFF_NORMED)
    _, best, _, place = cv2.minMaxLoc(scores)
    if best < LEAST_CORRELATION:
        return None
    found = low + place - corner.astype(float)
    down, right = np.gradient(template)
    slopes = np.stack([right.ravel(), down.ravel()], axis=1)
    rows, columns = np.mgrid[:height, :width].astype(float)
    for _ in range(ROUNDS):
        at = rows + corner[1] + found[1], columns + corner[0] + found[0]
        shown = ndimage.map_coordinates(picture, at, order=3, mode="nearest")
        # Sampled too far by e, the picture shows template(x + e): what remains is slope . e.
        error, *_ = np.linalg.lstsq(slopes, (shown - template).ravel(), rcond=None)
        found = found - error
    moved: Vector = found
    return moved
