"""The newest pictures, encoded for whoever watches, and for nobody else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from failure import Failure
from runtime.frame import Frame
from runtime.magnification import Magnified
from runtime.views import VIEWS, View, jpeg, seen

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
                picture = seen(view, frame, magnified)
                done = Encoded(frame.index, frame.t_capture_ns, jpeg(picture, QUALITY))
                self._done[view] = done
                self.encoded_pictures += 1
            return done
