"""``[health]``: when the camera itself counts as unwell. The defaults would rather wait than cry wolf."""

from typing import Annotated

from pydantic import Field

from runtime.config.section import HoldSeconds, Positive, Section

Share = Annotated[float, Field(gt=0, le=1)]
_RAISE = "Time before it is told (s)"
_CLEAR = "Time of health before it is ended (s)"


class Check(Section):
    """What all checks have in common."""

    enabled: bool = Field(True, title="Watch it at all")
    raise_after_s: HoldSeconds = Field(10.0, title=_RAISE)
    clear_after_s: HoldSeconds = Field(10.0, title=_CLEAR)


class Offline(Check):
    """No frame comes. It is noticed after a second, and told ``raise_after_s`` later."""

    raise_after_s: HoldSeconds = Field(1.5, title=_RAISE)
    clear_after_s: HoldSeconds = Field(5.0, title=_CLEAR)


class Frozen(Check):
    """The same picture comes again and again: a live sensor's noise never repeats."""

    raise_after_s: HoldSeconds = Field(2.0, title=_RAISE)
    clear_after_s: HoldSeconds = Field(5.0, title=_CLEAR)


class Resized(Check):
    """Pictures have another size than those that the regions are for."""

    raise_after_s: HoldSeconds = Field(1.0, title=_RAISE)
    clear_after_s: HoldSeconds = Field(5.0, title=_CLEAR)


class Dark(Check):
    """The picture is nearly black."""

    below_grey: Annotated[float, Field(gt=0, lt=255)] = Field(
        12.0, title="Mean brightness below which it is dark (grey levels of 255)"
    )


class Blurred(Check):
    """Fine structure is gone from the picture: focus, rain, fog, dirt."""

    raise_after_s: HoldSeconds = Field(30.0, title=_RAISE)
    clear_after_s: HoldSeconds = Field(30.0, title=_CLEAR)
    below_share: Share = Field(
        0.3, title="Share of the learned sharpness below which it is blurred"
    )


class Occluded(Check):
    """Something covers the regions."""

    raise_after_s: HoldSeconds = Field(20.0, title=_RAISE)
    regions_share: Share = Field(0.5, title="Share of the regions that must be covered")


class Moved(Check):
    """The camera looks elsewhere: all regions have shifted together, and stay there."""

    beyond_px: Positive = Field(2.0, title="Common shift beyond which it has moved (px)")


class Rate(Check):
    """Fewer frames a second than wanted, over two seconds."""

    raise_after_s: HoldSeconds = Field(1.5, title=_RAISE)
    least_hz: Positive | None = Field(
        None,
        title="Least frame rate (Hz)",
        description="Without it, 0.8 of camera.rate_hz; without either, any rate will do.",
    )


class Clock(Check):
    """The time of day jumped: times in messages before and after do not compare."""

    raise_after_s: HoldSeconds = Field(0.0, title=_RAISE)
    clear_after_s: HoldSeconds = Field(60.0, title=_CLEAR)
    beyond_s: Positive = Field(
        1.0, title="Jump against the steady clock beyond which it is told (s)"
    )


class Health(Section):
    """What is watched of the camera; each problem is an alert of kind health."""

    offline: Offline = Offline()
    frozen: Frozen = Frozen()
    resized: Resized = Resized()
    dark: Dark = Dark()
    blurred: Blurred = Blurred()
    occluded: Occluded = Occluded()
    moved: Moved = Moved()
    rate: Rate = Rate()
    clock: Clock = Clock()
