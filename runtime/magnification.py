"""The station that shows motion: chooses filter and gain for each frame and calls the engine.

The graph filters with two first-order low-passes, fast and slow, and magnifies their difference
(see ``export/streaming.py``). Magnification may skip frames, so their coefficients are computed at
each call from the real time since the last frame; first-order sections stay valid under that.
"""

import cmath
import logging
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from failure import Failure
from runtime.config import Magnification
from runtime.engine import Coming, Engine, Follow
from runtime.frame import Frame

log = logging.getLogger(__name__)

GAP_S = 5.0
"""After a longer pause than this the filter starts anew: its past says nothing any more."""


def filter_for(settings: Magnification, step_s: float) -> tuple[Follow, float]:
    """Coefficients of the two low-passes for a time step, and the gain that the graph is given.

    The difference of two low-passes passes less than 1 even in the middle of the band,
    sqrt(low x high); the gain makes up for it, so that motion there is shown ``gain`` times. Of a band
    that reaches beyond half the real rate, the part below counts; where none is left, motion is shown
    as it is.
    """
    if settings.mode == "dynamic":
        return (1.0, 1.0), settings.gain
    if settings.mode == "static":
        return (1.0, _follow(1 / (2 * math.pi * settings.reference_s), step_s)), settings.gain
    high_hz = min(settings.high_hz, 0.5 / step_s)
    if high_hz <= settings.low_hz:
        return (1.0, 1.0), 1.0
    fast = _follow(high_hz, step_s)
    slow = _follow(settings.low_hz, step_s)
    centre_hz = math.sqrt(settings.low_hz * high_hz)
    passed = abs(_response((fast, slow), centre_hz, step_s))
    return (fast, slow), 1 + (settings.gain - 1) / passed


def _follow(corner_hz: float, step_s: float) -> float:
    """Share of the way to the newest value that a first-order low-pass goes in one step."""
    return -math.expm1(-2 * math.pi * corner_hz * step_s)


def _response(follow: Follow, frequency_hz: float, step_s: float) -> complex:
    """Frequency response of: fast low-pass minus the slow one before its update."""
    fast, slow = follow
    delay = cmath.exp(-2j * math.pi * frequency_hz * step_s)
    return fast / (1 - (1 - fast) * delay) - slow * delay / (1 - (1 - slow) * delay)


class Magnifier:
    """Magnifies frames in the order they are given, all of them or some.

    Where ``settings.area`` is set, only that part goes through the network. Raises Failure when the
    area does not lie in the picture.
    """

    def __init__(self, settings: Magnification, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._size: tuple[int, ...] | None = None
        self._last_ns = 0
        self._warned = False

    @property
    def description(self) -> str:
        return self._engine.description

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def process(
        self, frame: Frame, coming: Callable[[float], Frame | None] | None = None
    ) -> NDArray[np.uint8]:
        """The magnified picture, as large as the frame's.

        ``coming`` waits so many seconds at most for the frame that will probably be next: an engine may
        fetch it while it computes.
        """
        part = self._part(frame.image)
        step_s = (frame.t_capture_ns - self._last_ns) / 1e9
        self._last_ns = frame.t_capture_ns
        if self._size != frame.image.shape or not 0 < step_s < GAP_S:
            self._size = frame.image.shape
            self._engine.reset()
            follow, gain = (1.0, 1.0), 1.0
        else:
            self._warn_of_rate(step_s)
            follow, gain = filter_for(self._settings, step_s)
        shown = self._engine.step(part, gain, follow, coming and self._parts(coming))
        area = self._settings.area
        if area is None:
            return shown
        whole = frame.image.copy()
        whole[area.y : area.y + area.height, area.x : area.x + area.width] = shown
        return whole

    def _parts(self, coming: Callable[[float], Frame | None]) -> Coming:
        """What ``coming`` gives, as the engine sees it."""

        def part(within_s: float) -> NDArray[np.uint8] | None:
            frame = coming(within_s)
            return None if frame is None else self._part(frame.image)

        return part

    def _part(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        area = self._settings.area
        if area is None:
            return image
        height, width = image.shape[:2]
        if area.x + area.width > width or area.y + area.height > height:
            raise Failure(
                f"magnification.area ({area.width}x{area.height} px at {area.x},{area.y}) does not "
                f"lie in the picture of {width}x{height} px; move it or make it smaller"
            )
        return image[area.y : area.y + area.height, area.x : area.x + area.width]

    def _warn_of_rate(self, step_s: float) -> None:
        settings = self._settings
        if self._warned or settings.mode != "band-pass" or settings.high_hz * step_s <= 0.5:
            return
        self._warned = True
        log.warning(
            "magnification runs at %.1f frames a second, so motion above %.1f Hz is shown at a "
            "wrong frequency, but high_hz = %g; lower it or make magnification.area smaller "
            "(the measurement is not affected)",
            1 / step_s,
            0.5 / step_s,
            settings.high_hz,
        )
