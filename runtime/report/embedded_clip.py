"""The side-by-side clip, made small enough for a page that is mailed."""

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from failure import Failure
from runtime.clips import ClipEncoder, Picture

MOST_BYTES = 6_000_000
"""Of the clip; in the page it takes a third more. Many mail servers refuse 10 MB."""
WIDEST_PX = 1280
LEAST_BITS_A_SECOND = 400_000
"""With fewer, nothing can be seen: a longer video is cut instead."""
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class EmbeddedClip:
    """``content`` is an mp4; ``dropped`` says what it lacks, None: nothing. ``still`` is for print."""

    content: bytes
    still: Picture
    dropped: str | None


def embedded(
    clip: Path, folder: Path, loudest_s: float, most_bytes: int = MOST_BYTES
) -> EmbeddedClip:
    """The clip as it is where it fits, else smaller and, where that is not enough, the part around
    ``loudest_s`` (s). ``folder`` takes a file in the meantime.

    Raises Failure when the clip cannot be read, or the disk refuses.
    """
    try:
        with av.open(str(clip.absolute())) as container:
            length_s = (container.duration or 0) / av.time_base
        if clip.stat().st_size <= most_bytes:
            return EmbeddedClip(clip.read_bytes(), _still(clip, loudest_s), None)
        longest_s = 8 * most_bytes / LEAST_BITS_A_SECOND
        from_s, to_s = 0.0, length_s
        if length_s > longest_s:
            from_s = float(np.clip(loudest_s - longest_s / 2, 0, length_s - longest_s))
            to_s = from_s + longest_s
        scratch = folder / ".embedded.mp4"
        try:
            width = _shrunk(clip, scratch, from_s, to_s, most_bytes)
            content = scratch.read_bytes()
        finally:
            scratch.unlink(missing_ok=True)
        return EmbeddedClip(
            content, _still(clip, loudest_s), _dropped(length_s, from_s, to_s, width)
        )
    except (OSError, av.FFmpegError) as error:
        raise Failure(f"{clip}: cannot be put into the report ({error}); replay again") from error


def _dropped(length_s: float, from_s: float, to_s: float, width: int) -> str:
    told = (
        f"To keep the page small enough to mail, the clip was compressed, at most {width} px wide"
    )
    if to_s - from_s < length_s:
        told += (
            f", and of its {length_s:.0f} s only {from_s:.0f} to {to_s:.0f} s are shown, around the "
            "largest motion"
        )
    return f"{told}. The whole clip is beside this page as it was written, side-by-side.mp4."


def _shrunk(clip: Path, scratch: Path, from_s: float, to_s: float, most_bytes: int) -> int:
    """Encode the part anew, with fewer bits until it fits; its width."""
    bits_a_second = 0.9 * 8 * most_bytes / (to_s - from_s)
    for _ in range(_ATTEMPTS):
        with av.open(str(clip.absolute())) as old:
            stream = old.streams.video[0]
            rate = stream.average_rate
            encoder = ClipEncoder(scratch, float(rate or 30), bits_a_second=round(bits_a_second))
            try:
                old.seek(round(from_s * av.time_base))
                width = 0
                for frame in old.decode(stream):
                    t_s = float(frame.time or 0.0)
                    if t_s > to_s:
                        break
                    if t_s >= from_s:
                        picture = _smaller(
                            frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
                        )
                        width = picture.shape[1]
                        encoder.write(picture, t_s - from_s)
                encoder.finish()
            finally:
                encoder.abandon()
        if scratch.stat().st_size <= most_bytes:
            break
        bits_a_second *= 0.8 * most_bytes / scratch.stat().st_size
    return width


def _smaller(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    if width <= WIDEST_PX:
        return picture
    size = (WIDEST_PX, 2 * round(height * WIDEST_PX / width / 2))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _still(clip: Path, t_s: float) -> Picture:
    """The picture at a time, for paper."""
    with av.open(str(clip.absolute())) as container:
        container.seek(round(t_s * av.time_base))
        picture = None
        for frame in container.decode(video=0):
            picture = frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
            if float(frame.time or 0.0) >= t_s:
                break
    if picture is None:
        raise Failure(f"{clip}: holds no picture; replay again")
    return _smaller(picture)
