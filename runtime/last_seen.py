"""The newest picture, for whoever orders one from afar."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from failure import Failure
from runtime.frame import Frame
from runtime.magnification import Magnified
from runtime.views import VIEWS, View, bounded_jpeg, seen

MOST_BYTES = 200_000
"""Of a picture that goes over MQTT: a second of a line of 1.6 Mbit/s."""
STALE_S = 2.0


class LastSeen:
    """``see`` and ``see_magnified`` only replace what is newest and never wait; each is for one thread.

    It holds one frame and what was magnified of one: 12 MB of full HD.
    """

    def __init__(self, send: Callable[[bytes], bool]) -> None:
        """``send`` takes a JPEG; False while the one before is still on its way."""
        self._send = send
        self._raw: tuple[Frame, float] | None = None
        self._magnified: tuple[Magnified, float] | None = None

    def see(self, frame: Frame) -> None:
        """A frame of the camera."""
        self._raw = frame, time.monotonic()

    def see_magnified(self, magnified: Magnified) -> None:
        """What the magnification made of a frame."""
        self._magnified = magnified, time.monotonic()

    def order(self, values: Mapping[str, Any]) -> None:
        """Send a picture now; ``values`` may name its ``view``. For any thread; takes some milliseconds.

        Raises:
            Failure: there is no new picture, or the one before is still on its way.
        """
        view = _view(values)
        raw, magnified = self._raw, self._magnified
        newest = max((one[1] for one in (raw, magnified) if one is not None), default=None)
        if raw is None or newest is None or time.monotonic() - newest > STALE_S:
            raise Failure("the camera delivers no picture now; look at what state tells of it")
        if view != "raw" and magnified is not None and newest - magnified[1] <= STALE_S:
            picture = seen(view, magnified[0].frame, magnified[0])
        else:
            picture = seen("raw", raw[0], None)
        if not self._send(bounded_jpeg(picture, MOST_BYTES)):
            raise Failure("the picture before is still on its way; order another when it has come")


def _view(values: Mapping[str, Any]) -> View:
    for view in VIEWS:
        if values in ({"view": view}, {}):
            return view  # VIEWS begins with what is meant without one
    raise Failure(
        f"send {{}} or the view that you want, one of {', '.join(map(json.dumps, VIEWS))}, as "
        '{"view": "raw"}'
    )
