"""Golden pictures: frames, and what torch made of them, in one PNG that people can look at.

Frames lie below each other, each with the picture that it is to become on its right. The first fills the
states; the others are shown ``GAIN`` times against a slowly following reference. There is one PNG for
some weights and a picture size, whatever the precision of the graphs and engines that it judges.
"""

import shutil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from atomic_file import replaced
from export.artifact import EngineSidecar, Sidecar
from failure import Failure

FRAMES = 4
GAIN = 20.0
FOLLOW = (1.0, 0.05)
Picture = NDArray[np.uint8]


def golden_path(folder: Path, sidecar: Sidecar | EngineSidecar) -> Path:
    """Of a graph or an engine in ``folder``, by network, size and weights:
    ``twofold-640x360-0123456789ab.golden.png``, or without a size where the graph has none.
    """
    size = [] if sidecar.size_px is None else ["x".join(map(str, sidecar.size_px))]
    return folder / f"{'-'.join([sidecar.network, *size, sidecar.weights_sha256[:12]])}.golden.png"


def store(path: Path, frames: list[Picture], expected: list[Picture]) -> None:
    """Write ``FRAMES`` frames and what they are to become, all of one (height, width, 3), uint8."""
    pairs = [np.hstack(pair) for pair in zip(frames, expected, strict=True)]
    assert len(pairs) == FRAMES
    with replaced(path) as scratch:
        if not cv2.imwrite(str(scratch), np.vstack(pairs)):
            raise Failure(
                f"{path}: cannot be written; free some space or choose another place with --out"
            )


def carry(source: Path, target: Path) -> bool:
    """Copy golden pictures beside an engine; False where there are none. Raises Failure as ``store``."""
    if not source.is_file():
        return False
    if source.resolve() != target.resolve():
        with replaced(target) as scratch:
            shutil.copyfile(source, scratch)
    return True


def load(path: Path) -> tuple[list[Picture], list[Picture]]:
    """The frames and what they are to become. Raises Failure when there is no such picture."""
    # What OpenCV says of a file that is missing or broken, the Failure says better.
    sheet = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if sheet is None or sheet.shape[0] % FRAMES or sheet.shape[1] % 2:
        raise Failure(
            f"{path}: there are no golden pictures of these weights and this size, or they are broken; "
            "tremorscope export writes them beside the graph"
        )
    rows = np.split(sheet.astype(np.uint8, copy=False), FRAMES)
    halves = [np.split(row, 2, axis=1) for row in rows]
    frames = [np.ascontiguousarray(frame) for frame, _ in halves]
    return frames, [shown for _, shown in halves]
