"""How a frame goes from the camera's thread to another: bounded, counted, and never waited for."""

import threading

from runtime.frame import Frame


class Newest:
    """Room for one frame; a newer one takes the place of one that nobody fetched."""

    def __init__(self) -> None:
        self.overtaken = 0
        """Frames that nobody fetched."""
        self._frame: Frame | None = None
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        with self._changed:
            self.overtaken += self._frame is not None
            self._frame = frame
            self._changed.notify()

    def get(self, timeout_s: float) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None, timeout_s)
            frame, self._frame = self._frame, None
            return frame

    def look(self, timeout_s: float) -> Frame | None:
        """The frame that waits, which stays there."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None, timeout_s)
            return self._frame
