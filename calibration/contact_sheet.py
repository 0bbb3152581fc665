"""A sheet with every run in small: a picture, and below it, enlarged, what changes in the run."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.motion import Run

Picture = NDArray[np.uint8]

COLUMNS = 4
CELL_PX = 360
CAPTION_PX = 24
ENLARGED = 16.0
"""How many times the difference is shown, about mid-grey."""


def cell(run: Run) -> Picture:
    """One run: its first picture, and its difference from the picture that differs most from it."""
    height = max(1, round(CELL_PX * run.shape[1] / run.shape[2]))
    small = np.stack(
        [cv2.resize(one, (CELL_PX, height), interpolation=cv2.INTER_AREA) for one in run]
    ).astype(np.float32)
    changes = small - small[0]
    most = changes[int(np.abs(changes).mean(axis=(1, 2, 3)).argmax())]
    difference = np.clip(128 + ENLARGED * most, 0, 255)
    return np.vstack([small[0], difference]).astype(np.uint8)


def sheet(cells: Sequence[Picture], captions: Sequence[str]) -> Picture:
    """Cells of one size, each below its caption, in rows of up to ``COLUMNS``."""
    captioned = []
    for picture, caption in zip(cells, captions, strict=True):
        strip = np.zeros((CAPTION_PX, CELL_PX, 3), np.uint8)
        white = (255, 255, 255)
        cv2.putText(strip, caption, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.42, white, 1, cv2.LINE_AA)
        captioned.append(np.vstack([strip, picture]))
    columns = min(COLUMNS, len(captioned))
    captioned += [np.zeros_like(captioned[0])] * (-len(captioned) % columns)
    return np.vstack(
        [
            np.hstack(captioned[start : start + columns])
            for start in range(0, len(captioned), columns)
        ]
    )
