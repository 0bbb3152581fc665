"""The newest pictures, encoded for whoever watches, and for nobody else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from failure import Failure
from runtime.evidence.ring import keepable
from runtime.frame import Frame
from runtime.magnification import Magnified

View = Literal["magnified", "raw", "beside", "below"]
"""``beside`` is raw and magnified next to each other, ``below`` one above the other, for a narrow screen."""
VIEWS: tuple[View, ...] = get_args(View)
QUALITY = 80


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as JPEG. ``index`` is the frame's, so that the same is not sent twice."""

    index: int
    t_capture_ns: int
    jpeg: bytes


class Pictures:
    """``see`` and ``see_magnified`` only replace what is newest and never wait; each is for one thread.

    ``encoded`` is for any thread: one encodes, whoever wants the same meanwhile waits for it.
    """

    def __init__(self, most_watchers: int) -> None:
        self.most_watchers = most_watchers
        self.watchers = self.refused = self.encoded_pictures = self.sent = 0
        """Who watches now, and counters since the start."""
        self._raw: Frame | None = None
        self._magnified: Magnified | None = None
        self._lock = threading.Lock()
        self._encoding = {view: threading.Lock() for view in VIEWS}
        self._done: dict[View, Encoded] = {}

    def see(self, frame: Frame) -> None:
        """A frame of the camera."""
        if self.watchers:
            self._raw = frame

    def see_magnified(self, magnified: Magnified) -> None:
        """What the magnification made of a frame."""
        if self.watchers:
            self._magnified = magnified

    @property
    def is_full(self) -> bool:
        """Whether as many watch as may."""
        return self.watchers >= self.most_watchers

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Somebody watches for as long as this lasts. Raises Failure when too many do already."""
        with self._lock:
            if self.is_full:
                self.refused += 1
                raise Failure(
                    f"{self.watchers} watch already, which are as many as page.watchers allows; close "
                    "one of their pages, or raise it"
                )
            self.watchers += 1
        try:
            yield
        finally:
            with self._lock:
                self.watchers -= 1
                if self.watchers == 0:  # frames are large, and old ones would be shown to the next
                    self._raw = self._magnified = None
                    self._done.clear()

    def encoded(self, view: View, after: int | None) -> Encoded | None:
        """The newest picture; None where that is still the one with the index ``after``.

        Without magnification every view is the raw one.
        """
        magnified = self._magnified
        frame = self._raw if view == "raw" or magnified is None else magnified.frame
        if frame is None or frame.index == after:
            return None
        with self._encoding[view]:
            done = self._done.get(view)
            if done is None or done.index != frame.index:
                done = Encoded(
                    frame.index, frame.t_capture_ns, _jpeg(_seen(view, frame, magnified))
                )
                self._done[view] = done
                self.encoded_pictures += 1
            return done


def _seen(view: View, frame: Frame, magnified: Magnified | None) -> NDArray[np.uint8]:
    if view == "raw" or magnified is None:
        return keepable(frame.image)
    shown = keepable(magnified.picture)
    if view == "magnified":
        return shown
    both = (keepable(frame.image), shown)
    return np.hstack(both) if view == "beside" else np.vstack(both)


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return jpeg.tobytes()
