"""The video's picture with its regions, and with how they move together."""

from collections.abc import Sequence

import cv2
import numpy as np

from runtime.clips import GREEN, Picture, write_text
from runtime.config import Region
from runtime.report.findings import ShapeFindings

WIDEST_PX = 960
_LONGEST_ARROW = 0.14  # of the picture's height
_LEAST_COHERENCE = 0.5  # below it, a motion does not go with the others
_COLOUR = (40, 60, 235)


def outlined(picture: Picture, regions: Sequence[Region]) -> bytes:
    """The regions in the first picture, as a JPEG."""
    shown, _ = _prepared(picture, regions)
    return jpeg(shown)


def deflected(picture: Picture, regions: Sequence[Region], found: ShapeFindings) -> bytes:
    """Arrows from the regions: where each is when the reference is furthest out, enlarged."""
    shown, factor = _prepared(picture, regions)
    at_peak = (found.shape.ratio * found.shape.amplitude_px[found.shape.reference]).real
    going_along = found.shape.coherence > _LEAST_COHERENCE
    moved = np.where(going_along & np.isfinite(at_peak), at_peak, 0.0).reshape(-1, 2)
    longest = float(np.hypot(*moved.T).max())
    if longest == 0:
        return jpeg(shown)
    enlarged = moved * _LONGEST_ARROW * shown.shape[0] / longest
    for region, (right, down) in zip(regions, enlarged, strict=True):
        if np.hypot(right, down) < 2:
            continue
        x = factor * (region.x + region.width / 2)
        y = factor * (region.y + region.height / 2)
        start, end = (round(x), round(y)), (round(x + right), round(y + down))
        cv2.arrowedLine(shown, start, end, (255, 255, 255), 6, cv2.LINE_AA, tipLength=0.25)
        cv2.arrowedLine(shown, start, end, _COLOUR, 3, cv2.LINE_AA, tipLength=0.25)
    return jpeg(shown)


def jpeg(picture: Picture) -> bytes:
    good, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 82])
    assert good, "OpenCV encodes every 8-bit picture"
    return encoded.tobytes()


def _prepared(picture: Picture, regions: Sequence[Region]) -> tuple[Picture, float]:
    """A copy of a size that can be mailed and read, with outlines."""
    height, width = picture.shape[:2]
    factor = WIDEST_PX / width
    size = (WIDEST_PX, max(round(height * factor), 1))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    shown = np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)
    for region in regions:
        left, top = round(region.x * factor), round(region.y * factor)
        right, bottom = (
            round((region.x + region.width) * factor) - 1,
            round((region.y + region.height) * factor) - 1,
        )
        cv2.rectangle(shown, (left, top), (right, bottom), GREEN, 2)
        write_text(shown, region.name, (left, max(16, top - 6)), 0.6, GREEN)
    return shown, factor
