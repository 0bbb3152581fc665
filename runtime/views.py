"""How a frame and what was magnified of it are shown: ``beside`` is raw and magnified next to each other,
``below`` one above the other, for a narrow screen."""

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.evidence.ring import keepable
from runtime.frame import Frame
from runtime.magnification import Magnified

View = Literal["magnified", "raw", "beside", "below"]
VIEWS: tuple[View, ...] = get_args(View)

Picture = NDArray[np.uint8]


def seen(view: View, frame: Frame, magnified: Magnified | None) -> Picture:
    """A picture at most as wide as evidence keeps; without magnification every view is the raw one."""
    if view == "raw" or magnified is None:
        return keepable(frame.image)
    shown = keepable(magnified.picture)
    if view == "magnified":
        return shown
    both = (keepable(frame.image), shown)
    return np.hstack(both) if view == "beside" else np.vstack(both)


def jpeg(picture: Picture, quality: int) -> bytes:
    """A picture (height, width, 3) as JPEG."""
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def bounded_jpeg(picture: Picture, most_bytes: int) -> bytes:
    """A picture as a JPEG of at most ``most_bytes``: of less quality, and then smaller, as it needs."""
    while True:
        for quality in (85, 65, 45):
            encoded = jpeg(picture, quality)
            if len(encoded) <= most_bytes:
                return encoded
        height, width = (max(side // 2, 1) for side in picture.shape[:2])
        smaller = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        picture = np.asarray(smaller, np.uint8)
