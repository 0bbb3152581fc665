"""What may be sent to a camera: a JSON object to ``command/<name>``, which has one reply."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from runtime.config import Rectangle
from runtime.views import View

_Gain = Annotated[float, Field(ge=1, le=500, allow_inf_nan=False)]
_Hz = Annotated[float, Field(ge=0.001, le=500, allow_inf_nan=False)]


class Command(BaseModel):
    """What every command may have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_id: Annotated[str, Field(max_length=64)] | None = None
    """Repeated in the reply."""


class MagnificationCommand(Command):
    """Set how motion is magnified: all of what is named, or nothing; what is not named stays."""

    gain: _Gain = 20.0
    mode: Literal["static", "dynamic", "band-pass"] = "static"
    low_hz: _Hz = 0.5
    """Must stay below ``high_hz``."""
    high_hz: _Hz = 5.0
    area: Rectangle | None = None
    """The part of the picture that is magnified (px); null: all of it."""


class AcknowledgeCommand(Command):
    """A person has seen an open alert."""

    event_id: str


class SnapshotCommand(Command):
    """Send a picture now, to ``picture``. Needs ``mqtt.pictures = true``."""

    view: View = "magnified"
