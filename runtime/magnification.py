"""The station that shows motion: chooses filter and gain for each frame and calls the engine.

The graph filters with two first-order low-passes, fast and slow, and magnifies their difference
(see ``export/streaming.py``). Magnification may skip frames, so their coefficients are computed at
each call from the real time since the last frame; first-order sections stay valid under that.
"""

import cmath
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.config import Magnification, Rectangle
from runtime.controls import Controls, check_area
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


@dataclass(frozen=True, slots=True)
class Magnified:
    """A frame, the part of it that went through the network, and with what settings it did."""

    frame: Frame
    part: NDArray[np.uint8]
    settings: Magnification
    _whole: list[NDArray[np.uint8]] = field(default_factory=list, init=False, repr=False)

    @property
    def picture(self) -> NDArray[np.uint8]:
        """As large as the frame. Only where an area is set it is put together, when it is asked for."""
        area = self.settings.area
        if area is None:
            return self.part
        if not self._whole:
            # Two threads that ask at once may both make it, which costs less than a lock that all wait for:
            # a cached_property of Python 3.10 and 3.11 has one for all frames.
            whole = self.frame.image.copy()
            _part(whole, area)[...] = self.part
            self._whole.append(whole)
        return self._whole[0]


class Magnifier:
    """Magnifies frames in the order they are given, all of them or some.

    ``controls`` may change its settings from any thread; each frame is magnified with what holds when it
    is begun. A new mode or area begins with a frame as it is: the filter's past is of something else.
    Where ``area`` is set, only that part goes through the network. Raises Failure when the area does
    not lie in the picture.
    """

    def __init__(self, settings: Magnification, engine: Engine) -> None:
        self.controls = Controls(settings, engine_px=engine.size_px)
        self._engine = engine
        self._filtered: tuple[object, ...] | None = None
        """What the filter's state is of: the picture's size, the mode and the area."""
        self._last_ns = 0
        self._warned_hz: float | None = None
        """The band's upper edge that was warned of."""

    @property
    def description(self) -> str:
        return self._engine.description

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def process(
        self, frame: Frame, coming: Callable[[float], Frame | None] | None = None
    ) -> Magnified:
        """Magnify a frame.

        ``coming`` waits so many seconds at most for the frame that will probably be next: an engine may
        fetch it while it computes.
        """
        settings = self.controls.settings
        area, image = settings.area, frame.image
        step_s = (frame.t_capture_ns - self._last_ns) / 1e9
        self._last_ns = frame.t_capture_ns
        filtered = image.shape, settings.mode, area
        if self._filtered != filtered or not 0 < step_s < GAP_S:
            self._filtered = filtered
            self._engine.reset()
            follow, gain = (1.0, 1.0), 1.0
        else:
            self._warn_of_rate(settings, step_s)
            follow, gain = filter_for(settings, step_s)
        following = None if coming is None else _parts(coming, area)
        shown = self._engine.step(_part(image, area), gain, follow, following)
        return Magnified(frame, shown, settings)

    def _warn_of_rate(self, settings: Magnification, step_s: float) -> None:
        high_hz = settings.high_hz
        if high_hz == self._warned_hz or settings.mode != "band-pass" or high_hz * step_s <= 0.5:
            return
        self._warned_hz = high_hz
        log.warning(
            "magnification runs at %.1f frames a second, so motion above %.1f Hz is shown at a "
            "wrong frequency, but high_hz = %g; lower it or make magnification.area smaller "
            "(the measurement is not affected)",
            1 / step_s,
            0.5 / step_s,
            high_hz,
        )


def _part(image: NDArray[np.uint8], area: Rectangle | None) -> NDArray[np.uint8]:
    """A view of the area."""
    if area is None:
        return image
    check_area(area, (image.shape[1], image.shape[0]))
    return image[area.y : area.y + area.height, area.x : area.x + area.width]


def _parts(coming: Callable[[float], Frame | None], area: Rectangle | None) -> Coming:
    """What ``coming`` gives, as the engine sees it."""

    def part(within_s: float) -> NDArray[np.uint8] | None:
        frame = coming(within_s)
        return None if frame is None else _part(frame.image, area)

    return part
