"""What Home Assistant is told: golden files, and templates that read real messages."""

import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest

from runtime.config import Alert, Camera, Config, Evidence, Magnification, Mqtt, Region
from runtime.controls import Controls
from runtime.home_assistant.discovery import discovery, discovery_topic
from runtime.mqtt.topics import TOPICS
from runtime.remote import Remote

GOLDEN = Path(__file__).parent

SMALLEST = Config(
    camera=Camera(source="csi:0"), regions=(Region(name="deck", x=0, y=0, width=64, height=64),)
)
BRIDGE = Config(
    name="bridge",
    camera=Camera(source="csi:0"),
    regions=(
        Region(name="deck", x=0, y=0, width=64, height=64, scale=Path("deck.scale.json")),
        Region(name="Pier-2", x=80, y=0, width=64, height=64),
    ),
    alerts=(
        Alert(name="sway", quantity="displacement_rms_px", raise_above=0.1),
        Alert.model_validate(
            {"name": "houses", "profile": "din4150-3-line2", "regions": ("deck",)}
        ),
    ),
    mqtt=Mqtt(topic="site/7", pictures=True),
)
EXAMPLES = {topic.address: topic.example for topic in TOPICS}


def components(config: Config) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = discovery(config)["components"]
    return found


@pytest.mark.parametrize(("name", "config"), [("smallest", SMALLEST), ("bridge", BRIDGE)])
def test_what_is_published_is_the_golden_file(name: str, config: Config) -> None:
    told = {"topic": discovery_topic(config), **discovery(config)}
    for part in (told["device"], told["origin"]):
        part["sw_version"] = "VERSION"
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    assert told == golden, (
        "PYTHONPATH=. python tests/runtime/home_assistant/test_home_assistant.py writes it anew"
    )


def rendered(template: str, payload: dict[str, Any] | None = None, **others: Any) -> str:
    """As Home Assistant does; a field that a message does not have is an error."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["to_json"] = json.dumps
    return str(environment.from_string(template).render(value_json=payload, **others))


def full(topic: str) -> dict[str, Any]:
    """The example of the topic, with every field that the model has."""
    name = re.sub(r"^.*?/(bridge|camera)/", "", topic)
    address = "telemetry/{region}" if name.startswith("telemetry/") else name
    [found] = [one for one in TOPICS if one.address == address]
    assert found.model is not None
    written: dict[str, Any] = found.model.model_validate(found.example).model_dump(mode="json")
    return written


@pytest.mark.parametrize("config", [SMALLEST, BRIDGE])
def test_every_template_reads_a_message_of_its_topic(config: Config) -> None:
    count = 0
    for component in components(config).values():
        for key, topic in (
            ("value_template", "state_topic"),
            ("json_attributes_template", "json_attributes_topic"),
        ):
            if key not in component:
                continue
            text = rendered(component[key], full(component[topic]))
            assert text != ""
            count += 1
            if key == "json_attributes_template" or component["platform"] == "event":
                assert isinstance(json.loads(text), dict)
    assert count > 10


def test_values_are_plain_and_a_missing_one_is_none() -> None:
    bridge = components(BRIDGE)
    telemetry = full("site/7/bridge/telemetry/deck")

    def value(key: str, **news: Any) -> str:
        return rendered(bridge[key]["value_template"], telemetry | news)

    assert value("deck-displacement_rms_mm") == "0.31"
    assert value("deck-ppv_mm_s") == "6.8"
    assert value("deck-ppv_mm_s", ppv_mm_s=None) == "None"
    assert value("deck-vibration") == "ON"
    assert value("deck-vibration", alert=False) == "OFF"
    assert value("deck-unmeasured") == "OFF"
    assert value("deck-unmeasured", valid=False) == "ON"
    assert value("deck-limit-houses", limit_ratios={"houses": 0.4}) == "0.4"
    assert value("deck-limit-houses") == "None"
    assert "Pier-2-limit-houses" not in bridge
    problem = bridge["problem"]["value_template"]
    well: dict[str, Any] = {"health": [], "evidence_problem": None, "outbox_problem": None}
    assert rendered(problem, full("site/7/bridge/state") | well) == "OFF"
    for wrong in ({"health": ["frozen"]}, {"outbox_problem": "full"}, {"evidence_problem": "full"}):
        assert rendered(problem, full("site/7/bridge/state") | well | wrong) == "ON"


def test_an_event_has_its_type_and_what_tells_it_from_one_that_came_twice() -> None:
    told = json.loads(
        rendered(components(BRIDGE)["alert"]["value_template"], full("site/7/bridge/alerts"))
    )
    assert told["event_type"] in components(BRIDGE)["alert"]["event_types"]
    assert (told["event_id"], told["sequence"]) == (EXAMPLES["alerts"]["event_id"], 0)


def test_controls_send_commands_that_are_carried_out() -> None:
    bridge = components(BRIDGE)
    controls = Controls(Magnification())
    remote = Remote(controls, lambda _event_id: None)
    for key, value in (("gain", "33.5"), ("high_hz", "9.5"), ("low_hz", "2"), ("mode", "dynamic")):
        assert bridge[key]["command_topic"] == "site/7/bridge/command/magnification"
        payload = rendered(bridge[key]["command_template"], value=value)
        assert remote.answer("magnification", payload.encode()).accepted, payload
    now = controls.settings
    assert (now.gain, now.low_hz, now.high_hz, now.mode) == (33.5, 2.0, 9.5, "dynamic")
    for key in ("gain", "low_hz", "high_hz"):
        for limit, beyond in (("min", 0.99), ("max", 1.01)):
            value = bridge[key][limit] * beyond
            payload = rendered(bridge[key]["command_template"], value=value)
            assert not remote.answer("magnification", payload.encode()).accepted, payload


def test_what_cannot_work_is_not_shown() -> None:
    plain = SMALLEST.model_copy(
        update={
            "mqtt": Mqtt(pictures=True),
            "evidence": Evidence(enabled=False),
            "magnification": Magnification(enabled=False),
        }
    )
    kinds = {one["platform"] for one in components(plain).values()}
    assert {"number", "select"}.isdisjoint(kinds)
    assert "event-picture" not in components(plain)
    assert "picture" in components(plain)
    assert "image" not in {one["platform"] for one in components(SMALLEST).values()}
    assert not any("mm" in key for key in components(SMALLEST))


@pytest.mark.parametrize("config", [SMALLEST, BRIDGE])
def test_ids_are_unique_and_as_home_assistant_demands(config: Config) -> None:
    found = components(config).values()
    assert len({one["unique_id"] for one in found}) == len(found)
    entities = [one["default_entity_id"] for one in found]
    assert len(set(entities)) == len(entities)
    for one in found:
        domain, _, name = one["default_entity_id"].partition(".")
        assert domain == one["platform"]
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name)
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", discovery_topic(config))


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, config in (("smallest", SMALLEST), ("bridge", BRIDGE)):
        told = {"topic": discovery_topic(config), **discovery(config)}
        told["device"]["sw_version"] = told["origin"]["sw_version"] = "VERSION"
        (GOLDEN / f"{name}.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
