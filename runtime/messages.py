"""What goes over MQTT: one model for each topic. Units are in the names; a missing value is null.

The topics, with quality of service and what is retained, are in ``topics.py``. The camera's health goes to
``alerts`` too, with kind ``health``: a camera that went blind must reach the same person, with the same
promise of delivery, as an alert.

Values in millimetres are null unless the region has a scale. Their errors (``_se_mm``) include the
scale's; those of RMS and peak displacement are the scale's alone, and what noise adds shows in
``signal_to_noise``.
"""

from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core import CoreSchema

from runtime.config import Rectangle


def utc_text(unix_s: float) -> str:
    """A Unix time (s) as every ``time_utc`` has it: ISO 8601 with milliseconds and ``Z``."""
    moment = datetime.fromtimestamp(unix_s, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Part(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_serialization_defaults_required=True
    )


class Stamp(Part):
    """Who sent a message, as which of its stream, and when it was made. Set when it is published."""

    device: str
    """The machine: 32 hex digits that stay with its system, the same for all of its cameras."""
    run_id: str
    """This run of the daemon. Numbers begin anew with each, and one may be told from the other by it."""
    number: int | None
    """Counts the messages of this topic from 1; a gap is a message that was dropped. Null in a last will,
    which is written at the connection and published when that is lost."""
    time_utc: str
    monotonic_s: float
    """The machine's steady clock, which no one sets; a live camera's ``t_s`` is on the same one."""
    clock: Literal["synchronised", "unsynchronised", "unknown"]
    """Whether something keeps this machine's clock right, which ``time_utc`` is from."""
    clock_error_s: float | None
    """What that is wrong by at most, as the system knows it."""


class Message(BaseModel):
    """What every message has. ``stamp`` is missing only before it is published."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_serialization_defaults_required=True
    )

    schema_version: Literal[1] = 1
    stamp: Stamp | SkipJsonSchema[None] = None

    @model_serializer(mode="wrap")
    def _without_what_is_missing(self, written: SerializerFunctionWrapHandler) -> Any:
        """Where a message is kept or shown before it is published, it has no stamp, and not an empty one."""
        told = written(self)
        if self.stamp is None:
            told.pop("stamp", None)
        return told

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """That of the fields: pydantic cannot know what the serializer makes of them."""
        fields: Any = {key: part for key, part in schema.items() if key != "serialization"}
        return handler(fields)


class State(Message):
    """Whether the daemon is there. The broker publishes ``offline`` for a daemon that vanished."""

    state: Literal["online", "offline"]
    version: str
    source: str
    engine: str | None = None
    health: tuple[str, ...] = ()
    """What is wrong with the camera now; nothing when it is well."""
    unlocked: tuple[str, ...] = ()
    """What the camera may still change by itself (exposure, gain, white balance, focus), and why."""
    suppressed: int = 0
    """Alerts that would have been raised since the start, and were not: see the record on the disk."""
    outbox_problem: str | None = None
    """Why alerts are only in memory now, because the disk takes none."""
    evidence_problem: str | None = None
    """Why no evidence of alerts is kept now."""
    unconfirmed: tuple[str, ...] = ()
    """Rules whose profile nobody has confirmed: they show ratios to limits and raise nothing."""


class Peak(Part):
    """A frequency at which a region vibrates, from the whole window; amplitude from zero to peak."""

    hz: float
    hz_se: float
    axis: Literal["x", "y"]
    """The axis that moves more at this frequency."""
    amplitude_px: float
    amplitude_se_px: float
    amplitude_mm: float | None = None
    amplitude_se_mm: float | None = None


class Damping(Part):
    """Of the strongest peak, from a free decay and from nothing else."""

    hz: float
    ratio: float
    """1 is critical damping; the logarithmic decrement is about 2 pi times this."""
    ratio_se: float
    cycles: float
    """Length of the decay that it was found in."""


class Telemetry(Message):
    """One region, once every ``report_every_s``. All of it is about raw pictures, not magnified."""

    region: str
    time_utc: str
    t_s: float
    """Capture time of the newest frame, on the camera's clock."""
    rate_hz: float | None
    """Real frame rate from timestamps."""
    nyquist_hz: float | None = None
    """Half of it: faster vibration shows at a wrong, lower frequency."""
    x_px: float | None
    y_px: float | None
    x_se_px: float | None
    y_se_px: float | None
    x_mm: float | None = None
    y_mm: float | None = None
    x_se_mm: float | None = None
    y_se_mm: float | None = None
    shake: Literal["translation", "similarity", "affine"] | None = None
    """How the camera's shake, as reference regions show it, was taken out of everything here. Null for a
    reference region, whose values are the camera's own motion, and without references."""
    shake_x_px: float | None = None
    """What was taken out of x_px: the camera's displacement at this region."""
    shake_y_px: float | None = None
    displacement_rms_px: float | None
    displacement_peak_px: float | None
    displacement_rms_mm: float | None = None
    displacement_rms_se_mm: float | None = None
    displacement_peak_mm: float | None = None
    displacement_peak_se_mm: float | None = None
    displacement_peak_to_peak_px: float | None = None
    displacement_peak_to_peak_mm: float | None = None
    displacement_peak_to_peak_se_mm: float | None = None
    velocity_rms_px_s: float | None = None
    velocity_rms_mm_s: float | None = None
    velocity_rms_se_mm_s: float | None = None
    ppv_px_s: float | None = None
    """Peak particle velocity: the largest magnitude of x's or y's velocity inside the band."""
    ppv_mm_s: float | None = None
    ppv_se_mm_s: float | None = None
    ppv_hz: float | None = None
    """Frequency at that instant, from the zero crossings around it."""
    acceleration_rms_px_s2: float | None = None
    acceleration_rms_mm_s2: float | None = None
    acceleration_rms_se_mm_s2: float | None = None
    acceleration_peak_px_s2: float | None = None
    acceleration_peak_mm_s2: float | None = None
    acceleration_peak_se_mm_s2: float | None = None
    signal_to_noise: float | None
    noise_floor_px_per_root_hz: float | None = None
    """Amplitude density of the displacement where nothing vibrates, of the noisier axis."""
    dominant_hz: float | None
    dominant_amplitude_px: float | None
    dominant_amplitude_mm: float | None = None
    dominant_amplitude_se_mm: float | None = None
    peaks: tuple[Peak, ...] = ()
    """At most five, strongest first."""
    damping: Damping | None = None
    damping_missing: str | None = None
    """Why there is no damping, when there is a peak."""
    frequency_shift_percent: float | None = None
    """Of the natural frequency against its baseline; null while that is learned, or without a peak."""
    frequency_shift_se_percent: float | None = None
    baseline_hz: float | None = None
    valid: bool
    reason: str | None
    """Why the newest measurement cannot be trusted, when it cannot."""
    alert: bool
    """Whether an alert is open on this region."""
    limit_ratios: dict[str, float | None] = {}
    """For each rule with a profile, how much of the standard's limit is reached; 1 is the limit."""
    warnings: tuple[str, ...] = ()
    """What of the above cannot be trusted, and why: sampling, aliasing, exposure, lost frames."""


class ShapePoint(Part):
    """How one axis of one region moves at the shape's frequency."""

    region: str
    axis: Literal["x", "y"]
    amplitude_px: float
    amplitude_mm: float | None
    ratio: float
    """Amplitude in pixels over the reference's."""
    ratio_se: float
    phase_deg: float
    """Lead over the reference: 0 in phase, 180 or -180 against it."""
    phase_se_deg: float
    coherence: float
    """0 to 1: the share of the motion there that goes with the reference's."""


class ModeShape(Message):
    """How the regions move together at one frequency that two or more of them share."""

    time_utc: str
    t_s: float
    frequency_hz: float
    reference_region: str
    reference_axis: Literal["x", "y"]
    """The point with the largest amplitude."""
    points: tuple[ShapePoint, ...]
    mac: float | None
    """Modal assurance criterion against the first such shape since the start: 1 is the same shape."""


class AlertMessage(Message):
    """A step in the life of one alert: ``new``, ``update`` (it got worse), ``end``.

    ``event_id`` is the same for all steps of one alert; (``event_id``, ``type``, ``sequence``) is
    unique, so that a consumer can drop what it has already seen.
    """

    event_id: str
    type: Literal["new", "update", "end"]
    sequence: int
    kind: Literal["vibration", "missing", "health"] = "vibration"
    """A rule's threshold, a rule's missing reading, or a problem of the camera."""
    rule: str
    """The rule, or the camera's problem."""
    region: str | None
    """None for the camera as a whole, and for a rule on several regions together."""
    regions: tuple[str, ...] = ()
    """The regions that show it at this step."""
    quantity: str
    value: float | None
    """None where it is missing, and where it is beyond what can be measured (see ``reason``)."""
    threshold: float
    peak_value: float | None
    reason: str | None = None
    """Why it ended or changed, or why a reading is missing."""
    acknowledged: bool = False
    displacement_rms_mm: float | None = None
    displacement_rms_se_mm: float | None = None
    displacement_peak_mm: float | None = None
    displacement_peak_se_mm: float | None = None
    dominant_hz: float | None
    time_utc: str
    t_s: float
    started_t_s: float
    """Capture time at which the quantity first went above the threshold."""
    duration_s: float
    evidence: str | None = None
    """Folder of the event's evidence, below the camera's folder of events; null while none can be kept."""


class Present(Message):
    """How motion is magnified now; retained. What ``command/magnification`` may set, but ``enabled``."""

    enabled: bool
    gain: float
    mode: Literal["static", "dynamic", "band-pass"]
    low_hz: float
    high_hz: float
    area: Rectangle | None
    """The part of the picture that is magnified (px); null: all of it."""


class Reply(Message):
    """The answer to a command, which was carried out as a whole or not at all."""

    command: str
    request_id: str | None
    """As it was sent."""
    accepted: bool
    reason: str | None = None
    """Why it was refused, and what to send instead."""


class SuppressedAlert(Part):
    """One line of ``suppressed.jsonl``: an alert that would have been raised, and why it was not."""

    schema_version: Literal[1] = 1
    kind: Literal["vibration", "missing", "health"]
    rule: str
    region: str | None
    quantity: str
    value: float | None
    threshold: float
    reason: str
    time_utc: str
    t_s: float
    started_t_s: float
