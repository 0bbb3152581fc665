"""Looks at every frame of a live camera: is it a new picture, of the right size, in its turn?"""

from collections import deque
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from runtime.camera.problem import Frozen, Resized
from runtime.frame import Frame
from runtime.picture_look import LEAST_CONTRAST_GREY, STRIDE_PX

_STEPS = 32  # whose median is the usual step
_FIRST = 64  # frames of a source, in which what had waited for its reader comes at once
_LOST_FROM, _CATCHES_UP = 1.5, 0.5  # of the usual step: longer, shorter
_QUIET = 16  # usual steps in a row, after which all that are only late have come ...
_LONGEST_LATE = 64  # ... or so many of any kind, after the first long one


@dataclass(slots=True)
class CameraCounters:
    """What became of a camera's frames since the daemon's start; written by the capturing thread."""

    reopened: int = 0
    repeated: int = 0
    """Frames with exactly the picture before: not measured."""
    lost: int = 0
    """Frames missing between two that came, by their times, whoever lost them."""
    not_advancing: int = 0
    """Frames whose time was not later than the one before: left out."""
    other_size: int = 0
    """Frames of another size than the right one: left out."""
    argus_restarts: int = 0
    """Requested restarts of NVIDIA's camera service."""


class FrameWatch:
    """Watches one camera's frames, for one thread.

    The right size (width, height) is the one given, or else the first frame's.
    """

    def __init__(
        self,
        name: str,
        counters: CameraCounters,
        *,
        frozen_s: float,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self._counters = counters
        self._frozen_ns = frozen_s * 1e9
        self._size = size
        self._steps_ns: deque[int] = deque(maxlen=_STEPS)
        self._left_of_first = _FIRST
        self._usual_ns = 0.0  # before the first long step of some
        self._behind = 0.0  # usual steps, since that one
        self._since_first = self._quiet = 0  # frames since that one, and since the last unusual one
        self._newest_ns: int | None = None
        self._picture: NDArray[np.uint8] | None = None
        self._changed_ns = 0

    def opened(self) -> None:
        """The camera was opened again: its times begin anew. The picture that froze may come again."""
        self.settle()
        self._steps_ns.clear()
        self._left_of_first = _FIRST
        self._newest_ns = None

    def see(self, frame: Frame) -> Frame:
        """The frame, marked if it repeats the one before.

        Raises:
            Resized: it has another size than the right one.
            Frozen: nothing has changed for ``frozen_s``.
        """
        size = (frame.image.shape[1], frame.image.shape[0])
        self._size = self._size or size
        if size != self._size:
            self._counters.other_size += 1
            (width, height), (is_width, is_height) = self._size, size
            raise Resized(
                f"{self.name}: the picture is {is_width}x{is_height} px, and regions and scale are for "
                f"{width}x{height} px; set the camera back, or restart with regions for the new size"
            )
        now_ns = frame.t_capture_ns
        if self._newest_ns is None:
            self._changed_ns = now_ns
        else:
            self._count_lost(now_ns - self._newest_ns)
        last, self._picture, self._newest_ns = self._picture, frame.image, now_ns
        if last is None or not _is_same(last, frame.image):
            self._changed_ns = now_ns
            return frame
        self._counters.repeated += 1
        since_ns = now_ns - self._changed_ns
        if since_ns >= self._frozen_ns:
            raise Frozen(
                f"{self.name}: every frame shows the same picture since {since_ns / 1e9:.1f} s; if it "
                "comes through an encoder that repeats still pictures, raise recovery.frozen_s"
            )
        return replace(frame, repeated=True)

    def _count_lost(self, step_ns: int) -> None:
        """A long step is a lost frame only where the next ones do not come the sooner: then it was late."""
        self._steps_ns.append(step_ns)
        if self._left_of_first:
            self._left_of_first -= 1
            return
        # While frames catch up, the latest steps say little; when the rate has sunk, they say all.
        usual_ns = max(median(self._steps_ns), self._usual_ns)
        steps = step_ns / usual_ns
        if not self._since_first:
            if steps < _LOST_FROM:
                return
            self._usual_ns = usual_ns
        self._behind += steps - 1
        self._since_first += 1
        self._quiet = self._quiet + 1 if _CATCHES_UP < steps < _LOST_FROM else 0
        if self._quiet == _QUIET or self._since_first == _LONGEST_LATE:
            self.settle()

    def settle(self) -> None:
        """Count what is missing by now, though some of it may only be late."""
        self._counters.lost += max(round(self._behind), 0)
        self._usual_ns, self._behind = 0.0, 0.0
        self._since_first = self._quiet = 0


def _is_same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two pictures are exactly the same and show something; nearly always told by a sample."""
    sample = other[::STRIDE_PX, ::STRIDE_PX]
    if not np.array_equal(one[::STRIDE_PX, ::STRIDE_PX], sample):
        return False
    return float(sample.std()) >= LEAST_CONTRAST_GREY and np.array_equal(one, other)
