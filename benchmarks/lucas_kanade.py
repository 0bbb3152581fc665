"""What the measurement is held against: the Lucas-Kanade method of pyidi, on the same windows.

pyidi (Zaletelj, Gorjup, Slavic and others, University of Ljubljana; MIT licence) is what engineers
use to measure vibration in recorded video. It comes with ``pip install -e '.[benchmark]'``.
"""

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import Floats
from failure import Failure
from runtime.config import Region


def demand_pyidi() -> None:
    """Raises Failure when pyidi is not installed."""
    if importlib.util.find_spec("pyidi") is None:
        raise Failure(
            "pyidi, which the measurement is compared with, is not installed; run "
            "pip install -c constraints.txt -e '.[benchmark]'"
        )


def lucas_kanade(
    grey: NDArray[np.generic], regions: Sequence[Region], *, compiled: bool = True
) -> Floats:
    """Displacement of every region in every picture, (pictures, regions, 2): x to the right, y down.

    grey (pictures, height, width). Zero is the first picture, as it is for the measurement; tolerance,
    spline and number of iterations are pyidi's defaults. Regions have one size, with odd sides.
    ``compiled`` false is pyidi's way without numba.
    """
    from pyidi import LucasKanade, VideoReader

    height, width = regions[0].height, regions[0].width
    with tempfile.TemporaryDirectory() as folder:  # where pyidi keeps a log of its progress
        method = LucasKanade(VideoReader(np.ascontiguousarray(grey), root=str(Path(folder, "log"))))
        method.configure(
            roi_size=(height, width), verbose=0, show_pbar=False, use_compiled_kernel=compiled
        )
        method.set_points([(one.y + height // 2, one.x + width // 2) for one in regions])
        moved_px = method.get_displacements(autosave=False)
    return np.asarray(moved_px, dtype=np.float64)[:, :, ::-1].transpose(1, 0, 2)
