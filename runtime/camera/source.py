"""What every source of frames promises."""

import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from failure import Failure
from runtime.camera.locks import Locks
from runtime.config import Rectangle
from runtime.frame import Frame

_log = logging.getLogger(__name__)


class Source(Protocol):
    """A camera or something that stands in for one. Opened by its constructor, read once.

    One thread iterates over ``frames()``; ``close()`` may be called from any thread and makes the
    iteration end. Whatever goes wrong while reading is a ``Failure``, after which the source must
    be closed and can be opened anew.
    """

    description: str
    """What it is, for messages and logs; without passwords."""
    live: bool
    """True for a camera, which has no end and should be opened anew when it fails."""
    size: tuple[int, int] | None
    """(width, height) in pixels of the first frame; None before it."""
    nominal_rate_hz: float | None
    """What the source says of its frame rate: a hint. The real rate comes from timestamps."""
    dropped: int
    """Frames left out because their time did not advance, or because they were damaged."""

    def lock(self) -> Locks:
        """Keep the camera from changing exposure, gain, white balance and focus by itself.

        To be called while frames come, once these have settled.
        """
        ...

    def frames(self) -> Iterator[Frame]:
        """The frames, with strictly increasing times. Ends at the end of a file and on close.

        Raises:
            Failure: the source failed, in one sentence.
        """
        ...

    def close(self) -> None:
        """Let go of the device or file. May be called more than once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: Any) -> None: ...


class BaseSource:
    """What the sources have in common: the numbering and the two rules that every frame obeys."""

    live = True

    def __init__(
        self,
        description: str,
        nominal_rate_hz: float | None = None,
        *,
        mask: tuple[Rectangle, ...] = (),
    ) -> None:
        """``mask``: what is made black in every picture, before anybody else sees it."""
        self.description = description
        self._mask = mask
        self.size: tuple[int, int] | None = None
        self.nominal_rate_hz = nominal_rate_hz
        self.dropped = 0
        self._index = 0
        self._newest_ns: int | None = None

    def close(self) -> None:
        raise NotImplementedError

    def lock(self) -> Locks:
        return Locks()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _advances(self, t_capture_ns: int) -> bool:
        """Whether the time is later than the newest frame's; counts the frame as dropped if not."""
        if self._newest_ns is not None and t_capture_ns <= self._newest_ns:
            if self.dropped == 0:
                _log.warning(
                    "%s: the time of frame %d does not advance (%.6f s after the one before); "
                    "such frames are dropped and counted",
                    self.description,
                    self._index,
                    (t_capture_ns - self._newest_ns) / 1e9,
                )
            self.dropped += 1
            return False
        self._newest_ns = t_capture_ns
        return True

    def _frame(
        self, t_capture_ns: int, image: NDArray[np.uint8], *, predicted: bool = False
    ) -> Frame:
        """Number a frame, black out what is masked, seal its pixels, hold a file's to the size of the first.

        A live camera's new size is told by the station that watches it.

        Raises:
            Failure: the size of a file's pictures changed, or a mask does not lie in the picture.
        """
        size = (image.shape[1], image.shape[0])
        if self.size is None:
            self.size = size
        elif size != self.size and not self.live:
            raise Failure(
                f"{self.description}: the picture changed from {self.size[0]}x{self.size[1]} to "
                f"{size[0]}x{size[1]} pixels at frame {self._index}; regions and engine are for "
                "one size, so give the source one size, or cut the file at the change"
            )
        self._black_out(image)
        image.setflags(write=False)
        frame = Frame(self._index, t_capture_ns, image, predicted=predicted)
        self._index += 1
        return frame

    def _black_out(self, image: NDArray[np.uint8]) -> None:
        """A mask for pictures of another size would hide something else than it should."""
        height, width = image.shape[:2]
        for number, part in enumerate(self._mask):
            if not part.lies_in(width, height):
                raise Failure(
                    f"{self.description}: camera.mask[{number}] ({part.width}x{part.height} px at "
                    f"{part.x},{part.y}) does not lie in the picture of {width}x{height} px, so nothing is "
                    "shown or stored; correct the mask, or set camera.width and camera.height"
                )
            image[part.y : part.y + part.height, part.x : part.x + part.width] = 0
