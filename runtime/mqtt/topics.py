"""Every topic of a camera, below ``<topic>/<camera>/``: what goes there, which way, and how it is kept.

The daemon's own code decides all this where it publishes; a test holds this list against what really
comes through a broker. ``asyncapi.py`` makes a document of it, docs/messages.md shows it.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from runtime import messages
from runtime.mqtt.command_messages import AcknowledgeCommand, MagnificationCommand, SnapshotCommand
from runtime.mqtt.publisher import TELEMETRY_EXPIRES_S

STAMP: dict[str, Any] = {
    "device": "643b0f27fa8013e8a46df1e276f25f9a",
    "run_id": "e2436b05e8014aa1acdbc889af1ee627",
    "number": 42,
    "time_utc": "2026-03-01T06:30:00.250Z",
    "monotonic_s": 86400.125,
    "clock": "synchronised",
    "clock_error_s": 0.021,
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, or one for each region."""

    name: str
    address: str
    """Below the camera's; ``{region}`` stands for a region's name."""
    model: type[BaseModel] | None
    """None: a JPEG, whose stamp is the MQTT 5 user property ``stamp``."""
    action: Literal["send", "receive"]
    """As the daemon sees it."""
    about: str
    example: dict[str, Any]
    qos: int = 0
    """For what is received: what it is subscribed with."""
    retained: bool = False
    expires_s: int | None = None

    @property
    def is_command(self) -> bool:
        return self.action == "receive"


def _stamped(message: dict[str, Any]) -> dict[str, Any]:
    return {"schema_version": 1, "stamp": STAMP, **message}


_ALERT: dict[str, Any] = {
    "event_id": "1f2e3d4c5b6a79880716253443526170",
    "type": "new",
    "sequence": 0,
    "kind": "vibration",
    "rule": "sway",
    "region": "deck",
    "regions": ["deck"],
    "quantity": "displacement_rms_mm",
    "value": 0.31,
    "threshold": 0.25,
    "peak_value": 0.31,
    "displacement_rms_mm": 0.31,
    "displacement_rms_se_mm": 0.004,
    "dominant_hz": 2.41,
    "time_utc": "2026-03-01T06:30:00.240Z",
    "t_s": 86400.1,
    "started_t_s": 86399.1,
    "duration_s": 1.0,
    "evidence": "1f2e3d4c5b6a79880716253443526170",
}
_TELEMETRY: dict[str, Any] = {
    "region": "deck",
    "time_utc": "2026-03-01T06:30:00.240Z",
    "t_s": 86400.1,
    "rate_hz": 60.0,
    "nyquist_hz": 30.0,
    "x_px": 0.012,
    "y_px": -0.214,
    "x_se_px": 0.003,
    "y_se_px": 0.003,
    "displacement_rms_px": 0.155,
    "displacement_peak_px": 0.231,
    "displacement_rms_mm": 0.31,
    "displacement_rms_se_mm": 0.004,
    "ppv_px_s": 3.4,
    "ppv_mm_s": 6.8,
    "ppv_se_mm_s": 0.1,
    "signal_to_noise": 51.0,
    "dominant_hz": 2.41,
    "dominant_amplitude_px": 0.219,
    "peaks": [
        {
            "hz": 2.41,
            "hz_se": 0.002,
            "axis": "y",
            "amplitude_px": 0.219,
            "amplitude_se_px": 0.002,
        }
    ],
    "valid": True,
    "reason": None,
    "alert": True,
}
_SHAPE: dict[str, Any] = {
    "time_utc": "2026-03-01T06:30:00.240Z",
    "t_s": 86400.1,
    "frequency_hz": 2.41,
    "reference_region": "deck",
    "reference_axis": "y",
    "points": [],
    "mac": 0.98,
}

TOPICS = (
    Topic(
        "state",
        "state",
        messages.State,
        "send",
        "Whether the daemon is there; its last will says offline.",
        _stamped(
            {
                "state": "online",
                "version": "0.1.0",
                "source": "csi:0",
                "engine": "twofold on TensorRT",
                "health": ["dark"],
            }
        ),
        qos=1,
        retained=True,
    ),
    Topic(
        "telemetry",
        "telemetry/{region}",
        messages.Telemetry,
        "send",
        "What one region measures, once every vibration.report_every_s.",
        _stamped(_TELEMETRY),
        qos=1,
        expires_s=TELEMETRY_EXPIRES_S,
    ),
    Topic(
        "shapes",
        "shapes",
        messages.ModeShape,
        "send",
        "How regions move together at a frequency that they share.",
        _stamped(_SHAPE),
        qos=1,
        expires_s=TELEMETRY_EXPIRES_S,
    ),
    Topic(
        "history-telemetry",
        "history/telemetry/{region}",
        messages.Telemetry,
        "send",
        "Telemetry that found no connection, once there is one, marked as replayed.",
        _stamped(_TELEMETRY),
        qos=1,
        expires_s=TELEMETRY_EXPIRES_S,
    ),
    Topic(
        "history-shapes",
        "history/shapes",
        messages.ModeShape,
        "send",
        "Shapes that found no connection, likewise.",
        _stamped(_SHAPE),
        qos=1,
        expires_s=TELEMETRY_EXPIRES_S,
    ),
    Topic(
        "alerts",
        "alerts",
        messages.AlertMessage,
        "send",
        "Each step of an alert; on disk until the broker has accepted it for somebody.",
        _stamped(_ALERT),
        qos=1,
    ),
    Topic(
        "controls",
        "controls",
        messages.Present,
        "send",
        "How motion is magnified now.",
        _stamped(
            {
                "enabled": True,
                "gain": 50,
                "mode": "band-pass",
                "low_hz": 2,
                "high_hz": 8,
                "area": None,
            }
        ),
        retained=True,
    ),
    Topic(
        "reply",
        "reply",
        messages.Reply,
        "send",
        "The answer to each command that names no response topic of its own.",
        _stamped(
            {
                "command": "magnification",
                "request_id": "7",
                "accepted": False,
                "reason": "magnification.gain = 501: must be at most 500",
            }
        ),
    ),
    Topic(
        "picture",
        "picture",
        None,
        "send",
        "The picture that command/snapshot ordered, at most 200 kB.",
        {},
    ),
    Topic(
        "eventPicture",
        "event-picture",
        None,
        "send",
        "The snapshot of the last alert, at most 200 kB; empty without mqtt.pictures.",
        {},
        retained=True,
    ),
    Topic(
        "setMagnification",
        "command/magnification",
        MagnificationCommand,
        "receive",
        "Changes gain, mode, band or area.",
        {"gain": 50, "mode": "band-pass", "low_hz": 2, "high_hz": 8, "request_id": "7"},
        qos=1,
    ),
    Topic(
        "acknowledge",
        "command/acknowledge",
        AcknowledgeCommand,
        "receive",
        "Acknowledges an open alert.",
        {"event_id": "1f2e3d4c5b6a79880716253443526170"},
        qos=1,
    ),
    Topic(
        "snapshot",
        "command/snapshot",
        SnapshotCommand,
        "receive",
        "Orders a picture.",
        {"view": "raw"},
        qos=1,
    ),
)
