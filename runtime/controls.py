"""The settings of the magnification that may be changed while it runs: by a page, over MQTT.

They live as long as the process. What is configured holds again after a restart: what a person turned
to see better at one time must not decide what the next one sees.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from failure import Failure
from runtime.config import Magnification, Rectangle
from runtime.config.file import wrong_value

log = logging.getLogger(__name__)

LIVE = ("gain", "mode", "low_hz", "high_hz", "area")
"""What may be changed. All are inputs of the network or a choice of pixels: no engine is built for them."""

Size = tuple[int, int]
"""(width, height) in pixels."""


class Controls:
    """The present settings. Any thread may read or change them; whoever reads sees all of a change or none.

    A refused change leaves everything as it was. ``told`` functions are called with every new
    ``Magnification``, in the order of the changes, by the thread that makes them: they must not wait, and
    not change anything here.
    """

    def __init__(self, settings: Magnification, *, engine_px: Size | None = None) -> None:
        """``engine_px`` is the one size of picture that the engine takes; None for any."""
        self.engine_px = engine_px
        self._settings = settings
        self._picture_px: Size | None = None
        self._changing = threading.Lock()
        self._told: list[Callable[[Magnification], None]] = []

    @property
    def settings(self) -> Magnification:
        """What holds now, for one frame at least: never written to, and replaced as a whole."""
        return self._settings

    @property
    def picture_px(self) -> Size | None:
        """The size of the camera's pictures; None before the first."""
        return self._picture_px

    def picture_is(self, size: Size) -> None:
        """A picture of this size has come: areas are held against it from now on."""
        self._picture_px = size

    def tell(self, told: Callable[[Magnification], None]) -> None:
        """Call ``told`` with the settings now, and with every change."""
        with self._changing:
            told(self._settings)
            self._told.append(told)

    def change(self, changes: Mapping[str, Any]) -> Magnification:
        """Set some of ``LIVE``, all at once, and return what holds now.

        Values are as JSON has them; ``area`` is null or a table of x, y, width and height (px).

        Raises:
            Failure: one of them cannot be; everything is as it was.
        """
        with self._changing:
            before = self._settings
            if not before.enabled:
                raise Failure(
                    "nothing is magnified here; set magnification.enabled = true in the configuration "
                    "and start again"
                )
            after = _changed(before, changes)
            if after.area != before.area:
                self._check(after.area)
            self._settings = after
            for name in LIVE:
                old, new = getattr(before, name), getattr(after, name)
                if old != new:
                    log.info("magnification.%s is %s now, was %s", name, _shown(new), _shown(old))
            if after != before:
                for told in self._told:
                    told(after)
            return after

    def _check(self, area: Rectangle | None) -> None:
        if self._picture_px is None:
            raise Failure(
                "magnification.area cannot be changed before the camera has delivered a picture; "
                "try again when it has"
            )
        check_area(area, self._picture_px)
        size = self._picture_px if area is None else (area.width, area.height)
        if self.engine_px is not None and size != self.engine_px:
            width, height = self.engine_px
            raise Failure(
                f"magnification.area cannot be {size[0]}x{size[1]} px, because the engine takes "
                f"{width}x{height} px and no other size; move the area without changing its size, or "
                "make an engine of that size with: tremorscope export, tremorscope build"
            )


def check_area(area: Rectangle | None, picture_px: Size) -> None:
    """Raises Failure when an area does not lie in a picture."""
    width, height = picture_px
    if area is not None and not area.lies_in(width, height):
        raise Failure(
            f"magnification.area ({area.width}x{area.height} px at {area.x},{area.y}) does not "
            f"lie in the picture of {width}x{height} px; move it or make it smaller"
        )


def _changed(before: Magnification, changes: Mapping[str, Any]) -> Magnification:
    known = f"what can be changed while it runs is {', '.join(LIVE)}"
    for name in changes:
        if name in LIVE:
            continue
        if name in Magnification.model_fields:
            raise Failure(
                f"magnification.{name} cannot be changed while it runs; change it in the configuration "
                f"and start again ({known})"
            )
        raise Failure(f"{json.dumps(str(name)[:60])} is no setting of the magnification; {known}")
    try:
        # As JSON and strictly: true is not the gain 1, and "50" is not 50.
        text = to_json({**before.model_dump(), **changes})
        return Magnification.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise Failure(wrong_value(error.errors()[0], ("magnification",))) from None
    except PydanticSerializationError:
        raise Failure("a value is not one that JSON knows; set numbers, text or tables") from None


def _shown(value: object) -> str:
    if value is None:
        return "the whole picture"
    if isinstance(value, Rectangle):
        return f"{value.width}x{value.height} px at {value.x},{value.y}"
    return f"{value:g}" if isinstance(value, float) else str(value)
