"""Pictures that are kept: raw beside magnified, as H.264 clip or as JPEG."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from atomic_file import replaced
from failure import Failure
from runtime.config import Region

Picture = NDArray[np.uint8]

GREEN, RED, WHITE, BLACK = (80, 200, 60), (40, 60, 235), (255, 255, 255), (0, 0, 0)
TICKS_A_SECOND = 90_000


def side_by_side(
    raw: Picture, magnified: Picture, regions: tuple[Region, ...], label: str, alerted: set[str]
) -> Picture:
    """Two pictures next to each other with the regions' outlines, red where an alert is open."""
    panels = []
    for picture, text in ((raw, "raw"), (magnified, label)):
        panel = picture.copy()
        for region in regions:
            colour = RED if region.name in alerted else GREEN
            corner = (region.x, region.y)
            opposite = (region.x + region.width - 1, region.y + region.height - 1)
            cv2.rectangle(panel, corner, opposite, colour, 1)
            write_text(panel, region.name, (region.x, max(10, region.y - 4)), 0.4, colour)
        write_text(panel, text, (8, 20), 0.55, WHITE)
        panels.append(panel)
    return np.hstack(panels)


def keep_picture(path: Path, picture: Picture, at_most: int) -> None:
    """Write a JPEG; of all JPEGs in its folder the ``at_most`` newest stay."""
    with replaced(path) as scratch:
        written = cv2.imwrite(str(scratch), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        if not written:
            raise Failure(f"{path}: cannot be written; check its folder's permissions and space")
    kept = sorted(path.parent.glob("*.jpg"), key=lambda old: old.stat().st_mtime)
    for old in kept[: max(0, len(kept) - at_most)]:
        old.unlink(missing_ok=True)


@contextmanager
def clip_writer(path: Path, rate_hz: float) -> Iterator[Callable[[Picture, float], None]]:
    """Gives write(picture, t_s) for an mp4 that browsers play: H.264, each frame at its own time.

    ``t_s`` counts from the clip's begin and grows. The file appears under its name when it is
    complete. Pictures of odd size lose their last row or column, as the format demands.
    """
    time_base = Fraction(1, TICKS_A_SECOND)
    # Absolute, since FFmpeg takes a relative name with a colon in it for a protocol.
    with (
        replaced(path.absolute()) as scratch,
        av.open(str(scratch), "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", Fraction(rate_hz).limit_denominator(1001))
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        stream.codec_context.time_base = time_base

        def write(picture: Picture, t_s: float) -> None:
            height, width = (side - side % 2 for side in picture.shape[:2])
            if not stream.codec_context.is_open:
                stream.width, stream.height = width, height
            even = np.ascontiguousarray(picture[:height, :width])
            frame = av.VideoFrame.from_ndarray(even, format="bgr24")
            frame.pts, frame.time_base = round(t_s * TICKS_A_SECOND), time_base
            container.mux(stream.encode(frame))

        yield write
        container.mux(stream.encode())


def write_text(
    picture: Picture, text: str, place: tuple[int, int], size: float, colour: tuple[int, int, int]
) -> None:
    """Text on a dark plate, readable on any picture."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), below = cv2.getTextSize(text, font, size, 1)
    left, base = place
    cv2.rectangle(
        picture, (left - 2, base - height - 2), (left + width + 2, base + below), BLACK, cv2.FILLED
    )
    cv2.putText(picture, text, place, font, size, colour, 1, cv2.LINE_AA)
