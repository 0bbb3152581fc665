"""How a camera shows itself in Home Assistant: one device, discovered over MQTT.

Home Assistant learns here which of the topics in ``topics.py`` are a sensor, an event, a picture or a
control, and how to read one simple value out of each message (a Jinja template). Nothing else is published
for it.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from runtime.config import Config, Magnification, Region
from runtime.mqtt.client import client_id_for

Component = dict[str, Any]

LONGEST_SILENCE = 5.0
"""A value of telemetry is unknown when it is older than this many reports."""
_LEAST_EXPIRY_S = 10


@dataclass(frozen=True, slots=True)
class _Value:
    """A sensor of one value of telemetry; ``shown`` False: it is there, switched off at first."""

    name: str
    called: str
    unit: str | None
    kind: str | None = None
    shown: bool = False
    digits: int = 3


_PIXELS = (
    _Value("displacement_rms_px", "RMS displacement (px)", "px", shown=True),
    _Value("dominant_hz", "Dominant frequency", "Hz", "frequency", shown=True),
    _Value("signal_to_noise", "Signal to noise", None, shown=True, digits=1),
    _Value("x_px", "Displacement x (px)", "px"),
    _Value("y_px", "Displacement y (px)", "px"),
    _Value("displacement_peak_px", "Peak displacement (px)", "px"),
    _Value("frequency_shift_percent", "Frequency shift", "%", digits=2),
    _Value("noise_floor_px_per_root_hz", "Noise floor", "px/√Hz", digits=5),
    _Value("rate_hz", "Frame rate", "Hz", "frequency", digits=1),
)
_NO_MILLIMETRES = (_Value("ppv_px_s", "Peak particle velocity (px/s)", "px/s", shown=True),)
_MILLIMETRES = (
    _Value("displacement_rms_mm", "RMS displacement", "mm", "distance", shown=True, digits=4),
    _Value("ppv_mm_s", "Peak particle velocity", "mm/s", "speed", shown=True),
    _Value("x_mm", "Displacement x", "mm", "distance", digits=4),
    _Value("y_mm", "Displacement y", "mm", "distance", digits=4),
    _Value("displacement_peak_mm", "Peak displacement", "mm", "distance", digits=4),
    _Value("velocity_rms_mm_s", "RMS velocity", "mm/s", "speed"),
    _Value("acceleration_rms_mm_s2", "RMS acceleration", "mm/s²"),  # no class takes this unit
    _Value("acceleration_peak_mm_s2", "Peak acceleration", "mm/s²"),
)
_CONTROLS = (
    ("gain", "Gain", None, 1.0),
    ("low_hz", "Lower edge of the band", "Hz", 0.01),
    ("high_hz", "Upper edge of the band", "Hz", 0.01),
)


def discovery_topic(config: Config) -> str:
    """Where a camera's discovery goes: below the client id that the broker knows it as, so that its
    access rules can bind one to the other."""
    return f"{config.home_assistant.discovery_prefix}/device/{_device_id(config)}/config"


def birth_topic(config: Config) -> str:
    """Where Home Assistant says that it is there."""
    return f"{config.home_assistant.discovery_prefix}/status"


def discovery(config: Config) -> dict[str, Any]:
    """What is published to ``discovery_topic``, retained, as JSON."""
    device = _device_id(config)
    components = dict(_components(config))
    for key, component in components.items():
        component["unique_id"] = f"{device}-{key}"
        entity = _slug(f"{config.name}_{key}")
        component["default_entity_id"] = f"{component['platform']}.{entity}"
    return {
        "device": {
            "identifiers": [device],
            "name": config.name,
            "manufacturer": "tremorscope",
            "model": "Camera that measures vibration",
            "sw_version": version("tremorscope"),
        },
        "origin": {"name": "tremorscope", "sw_version": version("tremorscope")},
        "availability": [
            {"topic": _topic(config, "state"), "value_template": "{{ value_json.state }}"}
        ],
        "components": components,
    }


def _components(config: Config) -> Iterator[tuple[str, Component]]:
    yield "problem", _problem(config)
    yield "alert", _event(config)
    if config.mqtt.pictures:
        yield from _pictures(config)
    if config.magnification.enabled:
        yield from _controls(config)
    for region in config.regions:
        for key, component in _region(config, region):
            yield f"{region.name}-{key}", component


def _problem(config: Config) -> Component:
    """Whether something is wrong with the camera, its evidence, or what its alerts wait in; and what."""
    state = _topic(config, "state")
    wrong = "value_json.health or value_json.evidence_problem or value_json.outbox_problem"
    return {
        "platform": "binary_sensor",
        "name": "Camera",
        "device_class": "problem",
        "entity_category": "diagnostic",
        "state_topic": state,
        "value_template": f"{{{{ 'ON' if {wrong} else 'OFF' }}}}",
        "json_attributes_topic": state,
        "json_attributes_template": "{{ {'problems': value_json.health, "
        "'unlocked': value_json.unlocked, 'evidence': value_json.evidence_problem, "
        "'outbox': value_json.outbox_problem, 'source': value_json.source} | to_json }}",
    }


def _event(config: Config) -> Component:
    """Each step of an alert. Attributes tell a step that came twice: MQTT promises at least once."""
    keys = (
        *("event_id", "sequence", "kind", "rule", "region", "regions", "quantity", "value"),
        *("threshold", "peak_value", "reason", "dominant_hz", "duration_s", "time_utc"),
    )
    told = ", ".join(f"'{key}': value_json.{key}" for key in keys)
    return {
        "platform": "event",
        "name": "Alert",
        "event_types": ["new", "update", "end"],
        "state_topic": _topic(config, "alerts"),
        "qos": 1,
        "value_template": f"{{{{ {{'event_type': value_json.type, {told}}} | to_json }}}}",
    }


def _pictures(config: Config) -> Iterator[tuple[str, Component]]:
    def image(name: str, topic: str) -> Component:
        return {
            "platform": "image",
            "name": name,
            "image_topic": _topic(config, topic),
            "content_type": "image/jpeg",
        }

    if config.evidence.enabled:
        yield "event-picture", image("Last alert", "event-picture")
    yield "picture", image("Picture", "picture")
    yield (
        "snapshot",
        {
            "platform": "button",
            "name": "Take a picture",
            "command_topic": _topic(config, "command/snapshot"),
            "payload_press": "{}",
        },
    )


def _controls(config: Config) -> Iterator[tuple[str, Component]]:
    command, state = _topic(config, "command/magnification"), _topic(config, "controls")
    limits = Magnification.model_json_schema()["properties"]
    for key, name, unit, step in _CONTROLS:
        yield (
            key,
            {
                "platform": "number",
                "name": name,
                "entity_category": "config",
                "command_topic": command,
                "command_template": f'{{"{key}": {{{{ value }}}}}}',
                "state_topic": state,
                "value_template": f"{{{{ value_json.{key} }}}}",
                "min": limits[key]["minimum"],
                "max": limits[key]["maximum"],
                "step": step,
                "mode": "box",
                **({} if unit is None else {"unit_of_measurement": unit}),
            },
        )
    yield (
        "mode",
        {
            "platform": "select",
            "name": "Mode",
            "entity_category": "config",
            "command_topic": command,
            "command_template": '{"mode": "{{ value }}"}',
            "state_topic": state,
            "value_template": "{{ value_json.mode }}",
            "options": limits["mode"]["enum"],
        },
    )


def _region(config: Config, region: Region) -> Iterator[tuple[str, Component]]:
    telemetry: Component = {
        "state_topic": _topic(config, f"telemetry/{region.name}"),
        "expire_after": max(
            math.ceil(LONGEST_SILENCE * config.vibration.report_every_s), _LEAST_EXPIRY_S
        ),
    }
    yield (
        "vibration",
        {
            "platform": "binary_sensor",
            "name": f"{region.name} Alert",
            "device_class": "vibration",
            "value_template": "{{ 'ON' if value_json.alert else 'OFF' }}",
            **telemetry,
        },
    )
    yield (
        "unmeasured",
        {
            "platform": "binary_sensor",
            "name": f"{region.name} Measurement",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "value_template": "{{ 'OFF' if value_json.valid else 'ON' }}",
            "json_attributes_topic": telemetry["state_topic"],
            "json_attributes_template": "{{ {'reason': value_json.reason, "
            "'warnings': value_json.warnings} | to_json }}",
            **telemetry,
        },
    )
    values = _PIXELS + (_NO_MILLIMETRES if region.scale is None else _MILLIMETRES)
    for value in values:
        yield (
            value.name,
            _sensor(value, f"{region.name} {value.called}", f"value_json.{value.name}") | telemetry,
        )
    for rule in config.alerts:
        if rule.profile is not None and region.name in config.watched(rule):
            ratio = _Value(rule.name, "", None, shown=True)
            read = f"value_json.limit_ratios.get('{rule.name}')"
            sensor = _sensor(ratio, f"{region.name} Share of the limit of {rule.name}", read)
            yield f"limit-{rule.name}", sensor | telemetry


def _sensor(value: _Value, name: str, read: str) -> Component:
    """Null is rendered as None, which Home Assistant takes for unknown."""
    sensor: Component = {
        "platform": "sensor",
        "name": name,
        "state_class": "measurement",
        "value_template": f"{{{{ {read} }}}}",
        "suggested_display_precision": value.digits,
    }
    if value.unit is not None:
        sensor["unit_of_measurement"] = value.unit
    if value.kind is not None:
        sensor["device_class"] = value.kind
    if not value.shown:
        sensor["enabled_by_default"] = False
    return sensor


def _topic(config: Config, name: str) -> str:
    return f"{config.mqtt.topic}/{config.name}/{name}"


def _device_id(config: Config) -> str:
    """Of letters, digits, - and _, as Home Assistant demands."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", client_id_for(f"{config.mqtt.topic}/{config.name}"))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
