"""What a camera hands over."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture with the time at which it was taken.

    ``image`` is (height, width, 3) uint8, blue-green-red as OpenCV has it, and is never written to
    after it was handed over. ``t_capture_ns`` is CLOCK_MONOTONIC for live cameras and the
    presentation time for files. ``index`` counts the frames that the source delivered, from 0.
    ``repeated``: a live camera sent exactly the picture before once more, which is no measurement.
    ``predicted``: a codec made it from other pictures; of coded video, all others are key frames.
    """

    index: int
    t_capture_ns: int
    image: NDArray[np.uint8]
    repeated: bool = False
    predicted: bool = False
