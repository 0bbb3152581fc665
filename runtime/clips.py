"""Pictures that are kept: raw beside magnified, and clips of them in H.264."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from atomic_file import replaced
from failure import Failure
from runtime.config import Region

Picture = NDArray[np.uint8]

GREEN, RED, WHITE, BLACK = (80, 200, 60), (40, 60, 235), (255, 255, 255), (0, 0, 0)
TICKS_A_SECOND = 90_000


def side_by_side(
    raw: Picture,
    magnified: Picture | None,
    regions: tuple[Region, ...],
    label: str,
    alerted: set[str],
) -> Picture:
    """Two pictures next to each other with the regions' outlines, red where an alert is open.

    Without a magnified picture it is the raw one alone.
    """
    panels = []
    for picture, text in ((raw, "raw"), (magnified, label)):
        if picture is None:
            continue
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


def magnified_label(gain: float | None) -> str:
    """What is written into a magnified picture."""
    return "magnified" if gain is None else f"magnified x{gain:g}"


class ClipEncoder:
    """Writes an mp4 that browsers play: H.264, each picture at its own time.

    With ``fragments`` what was written before a crash can be read, all but the last few seconds;
    ``rewritten_clip`` makes a clip of it that can be sought in. Raises OSError or av.FFmpegError when
    the disk refuses. Pictures of odd size lose their last row or column, as the format demands.
    """

    def __init__(
        self,
        path: Path,
        rate_hz: float,
        *,
        fragments: bool = False,
        crf: int = 20,
        bits_a_second: int | None = None,
    ) -> None:
        """``bits_a_second`` is kept to on average, whatever quality that gives; else ``crf`` tells."""
        options = {}
        if fragments:
            options["movflags"] = "frag_keyframe+empty_moov+default_base_moof"
            options["flush_packets"] = "1"
        # Absolute, since FFmpeg takes a relative name with a colon in it for a protocol.
        self._container = av.open(str(path.absolute()), "w", format="mp4", options=options)
        rate = Fraction(rate_hz).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264", rate)
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast"}
        if bits_a_second is None:
            self._stream.options |= {"crf": str(crf)}
        else:
            self._stream.bit_rate = bits_a_second
        if fragments:
            self._stream.options |= {"g": str(max(round(2 * rate_hz), 1)), "threads": "2"}
        self._stream.codec_context.time_base = Fraction(1, TICKS_A_SECOND)

    def write(self, picture: Picture, t_s: float) -> None:
        """Add a picture; ``t_s`` counts from the clip's begin and grows."""
        height, width = (side - side % 2 for side in picture.shape[:2])
        if not self._stream.codec_context.is_open:
            self._stream.width, self._stream.height = width, height
        even = np.ascontiguousarray(picture[:height, :width])
        frame = av.VideoFrame.from_ndarray(even, format="bgr24")
        frame.pts, frame.time_base = round(t_s * TICKS_A_SECOND), Fraction(1, TICKS_A_SECOND)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds, and close."""
        self._container.mux(self._stream.encode())
        self._container.close()

    def abandon(self) -> None:
        """Close without caring for the content."""
        with suppress(OSError, av.FFmpegError):
            self._container.close()


@contextmanager
def clip_writer(path: Path, rate_hz: float) -> Iterator[Callable[[Picture, float], None]]:
    """Gives write(picture, t_s) for a clip as of ClipEncoder.

    The file appears under its name when it is complete. Raises Failure when the disk refuses.
    """
    with replaced(path) as scratch:
        encoder = ClipEncoder(scratch, rate_hz)
        try:
            yield encoder.write
            encoder.finish()
        finally:
            encoder.abandon()


def rewritten_clip(source: Path, target: Path) -> int:
    """What can be read of a clip in fragments, as a clip with an index; how many pictures.

    Nothing is encoded again. Raises Failure when there is not one whole picture, and as ``replaced``.
    """
    with replaced(target) as scratch:
        try:
            with av.open(str(source.absolute())) as old:
                count = _copied(old, scratch)
        except av.InvalidDataError:
            count = 0
        if count == 0:
            raise Failure(
                f"{source}: holds no whole picture, so no clip can be made of it; delete it"
            )
    return count


def _copied(old: InputContainer, path: Path) -> int:
    """Copy whole packets to a new file."""
    count = 0
    template = old.streams.video[0]
    if template.codec_context.width == 0:
        return 0
    with av.open(str(path.absolute()), "w", format="mp4") as new:
        stream = new.add_stream_from_template(template)
        for packet in old.demux(template):
            if packet.is_corrupt:  # the file ends in the middle of it
                break
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
                count += 1
    return count


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
