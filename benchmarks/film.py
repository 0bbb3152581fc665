"""A camera whose every frame is known: pictures on disk, which GStreamer shows in a given order, live.

The pictures of a film lie uncompressed in files; a frame is a link to one of them, so that a film of minutes is
a handful of pictures. ``rawvideoparse`` gives frame n the time n / rate, ``identity`` lets it go when that time
has come, and a live source beside it makes the pipeline one: a reader that is late loses frames, as with any
camera.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.clips import Scene, render
from runtime.config import Region

Size = tuple[int, int]
"""(width, height) in pixels."""

FINEST_PX = 10.0
"""Of the texture: its JPEGs are then as large as evidence reckons with."""


def pictures(folder: Path, size_px: Size, moved_px: Sequence[float], *, noises: int) -> list[Path]:
    """One texture moved to the right by each ``moved_px``, with noise of several kinds: the files of the first
    kind, then those of the next. BGR, 8 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    width_px, height_px = size_px
    scene = Scene(width_px, height_px, finest_px=FINEST_PX)
    x_px = np.tile(np.asarray(moved_px, float), noises)
    files = []
    for frame in render(scene, x_px, np.zeros_like(x_px)):
        files.append(folder / f"{frame.index}.bgr")
        frame.image.tofile(files[-1])
    return files


def camera(folder: Path, frames: Iterable[Path], size_px: Size, rate_hz: int) -> str:
    """The ``camera.source`` that shows these files; ``folder`` is made for its links."""
    folder.mkdir()
    for number, file in enumerate(frames):
        (folder / f"{number:06d}").symlink_to(file)
    width_px, height_px = size_px
    return (
        "gst: videotestsrc is-live=true ! video/x-raw,width=16,height=16,framerate=1/1 ! fakesink "
        f'multifilesrc location="{folder}/%06d" ! rawvideoparse format=bgr width={width_px} '
        f"height={height_px} framerate={rate_hz}/1 ! identity sync=true ! appsink"
    )


def regions(count: int, side_px: int, size_px: Size) -> tuple[Region, ...]:
    """Squares, spread evenly over a picture. They must fit."""
    width_px, height_px = size_px
    columns = next(
        columns
        for columns in range(1, count + 1)
        if width_px / columns <= height_px / -(-count // columns) or columns == count
    )
    rows = -(-count // columns)
    return tuple(
        Region(
            name=f"r{place}",
            x=round((place % columns + 0.5) * width_px / columns - side_px / 2),
            y=round((place // columns + 0.5) * height_px / rows - side_px / 2),
            width=side_px,
            height=side_px,
        )
        for place in range(count)
    )
