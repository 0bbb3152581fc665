"""Golden pictures: frames, and what torch made of them, in one PNG that people can look at.

Frames lie below each other, each with the picture that it is to become on its right. The first fills the
states; the others are shown ``GAIN`` times against a slowly following reference.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from atomic_file import replaced
from failure import Failure

FRAMES = 4
GAIN = 20.0
FOLLOW = (1.0, 0.05)
Picture = NDArray[np.uint8]


def golden_path(graph: Path) -> Path:
    """``twofold.onnx`` -> ``twofold.golden.png``."""
    return graph.with_suffix(".golden.png")


def store(path: Path, frames: list[Picture], expected: list[Picture]) -> None:
    """Write ``FRAMES`` frames and what they are to become, all of one (height, width, 3), uint8."""
    pairs = [np.hstack(pair) for pair in zip(frames, expected, strict=True)]
    assert len(pairs) == FRAMES
    with replaced(path) as scratch:
        cv2.imwrite(str(scratch), np.vstack(pairs))


def load(path: Path) -> tuple[list[Picture], list[Picture]]:
    """The frames and what they are to become. Raises Failure when there is no such picture."""
    sheet = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if sheet is None or sheet.shape[0] % FRAMES or sheet.shape[1] % 2:
        raise Failure(
            f"{path}: missing or no golden picture; write it again with: tremorscope export"
        )
    rows = np.split(sheet.astype(np.uint8, copy=False), FRAMES)
    halves = [np.split(row, 2, axis=1) for row in rows]
    frames = [np.ascontiguousarray(frame) for frame, _ in halves]
    return frames, [shown for _, shown in halves]
