"""What goes over MQTT: one model for each topic. Units are in the names; a missing value is null.

Topics, below ``<topic>/<camera>/``: ``state`` (retained, with a last will), ``telemetry/<region>``
(QoS 0, dropped while there is no connection), ``alerts`` (QoS 1, never retained, kept in the outbox
until the broker has accepted them). The camera's health goes to ``alerts`` too, with kind ``health``: a
camera that went blind must reach the same person, with the same promise of delivery, as an alert.

Values in millimetres are null unless the region has a scale. Their errors (``_se_mm``) include the
scale's; those of RMS and peak are the scale's alone, and what noise adds shows in ``signal_to_noise``.
"""

from datetime import datetime, timezone
from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


def utc_text(unix_s: float) -> str:
    """A Unix time (s) as every ``time_utc`` has it: ISO 8601 with milliseconds and ``Z``."""
    moment = datetime.fromtimestamp(unix_s, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1


class State(Message):
    """Whether the daemon is there. The broker publishes ``offline`` for a daemon that vanished."""

    state: Literal["online", "offline"]
    version: str
    source: str
    engine: str | None = None
    health: tuple[str, ...] = ()
    """What is wrong with the camera now; nothing when it is well."""
    suppressed: int = 0
    """Alerts that would have been raised since the start, and were not: see the record on the disk."""
    unconfirmed: tuple[str, ...] = ()
    """Rules whose profile nobody has confirmed: they show ratios to limits and raise nothing."""


class Telemetry(Message):
    """One region, once every ``report_every_s``. All of it is about raw pictures, not magnified."""

    region: str
    time_utc: str
    t_s: float
    """Capture time of the newest frame, on the camera's clock."""
    rate_hz: float | None
    """Real frame rate from timestamps; the Nyquist frequency is half of it."""
    x_px: float | None
    y_px: float | None
    x_se_px: float | None
    y_se_px: float | None
    x_mm: float | None = None
    y_mm: float | None = None
    x_se_mm: float | None = None
    y_se_mm: float | None = None
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
    ppv_mm_s: float | None = None
    ppv_se_mm_s: float | None = None
    ppv_hz: float | None = None
    acceleration_rms_px_s2: float | None = None
    acceleration_rms_mm_s2: float | None = None
    acceleration_rms_se_mm_s2: float | None = None
    acceleration_peak_px_s2: float | None = None
    acceleration_peak_mm_s2: float | None = None
    acceleration_peak_se_mm_s2: float | None = None
    signal_to_noise: float | None
    dominant_hz: float | None
    dominant_amplitude_px: float | None
    dominant_amplitude_mm: float | None = None
    dominant_amplitude_se_mm: float | None = None
    valid: bool
    reason: str | None
    """Why the newest measurement cannot be trusted, when it cannot."""
    alert: bool
    """Whether an alert is open on this region."""
    limit_ratios: dict[str, float | None] = {}
    """For each rule with a profile, how much of the standard's limit is reached; 1 is the limit."""


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


class SuppressedAlert(Message):
    """One line of ``suppressed.jsonl``: an alert that would have been raised, and why it was not."""

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
