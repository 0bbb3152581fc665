"""Telegraf's configuration and Grafana's board: all that either names is what cameras send."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from broker import wait_until
from paho.mqtt.client import topic_matches_sub
from shipped_broker import ShippedMosquitto
from test_mosquitto import Guest

from runtime.mqtt.topics import TOPICS, Topic

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
TELEGRAF = tomllib.loads((DASHBOARDS / "telegraf" / "telegraf.conf").read_text())
BOARD = json.loads((DASHBOARDS / "grafana" / "tremorscope.json").read_text())
INPUTS: list[dict[str, Any]] = TELEGRAF["inputs"]["mqtt_consumer"]
TYPES = {"float": {"number"}, "int": {"integer"}, "string": {"string"}, "bool": {"boolean"}}


def by_alias(one: dict[str, Any]) -> str:
    return str(one["alias"])


def topics_of(one: dict[str, Any]) -> list[Topic]:
    """What comes to an input."""
    return [
        topic
        for topic in TOPICS
        if any(topic_matches_sub(subscription, address(topic)) for subscription in one["topics"])
    ]


def address(topic: Topic) -> str:
    return f"tremorscope/bridge/{topic.address}".replace("{region}", "deck")


def kinds(schema: dict[str, Any], path: str) -> set[str]:
    """The JSON types that a field may have; KeyError where there is no such field."""
    part = schema
    for name in path.split("."):
        if name == "#":  # the length of a list
            assert "array" in {part["type"]}
            return {"integer"}
        part = part["properties"][name]
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    if "const" in part or "enum" in part:
        return {"string"}
    return {one.get("type", "string") for one in part.get("anyOf", [part])}


def written() -> dict[str, dict[str, set[str]]]:
    """What Telegraf writes: of each measurement its fields and its tags."""
    found = {}
    for one in INPUTS:
        [parsed] = one["json_v2"]
        tags = {each["path"] for each in parsed.get("tag", [])}
        for rule in one["topic_parsing"]:
            tags |= {name for name in rule["tags"].split("/") if name != "_"}
        fields = {each.get("rename", each["path"]) for each in parsed["field"]}
        found[parsed["measurement_name"]] = {"fields": fields, "tags": tags}
    return found


@pytest.mark.parametrize("one", INPUTS, ids=by_alias)
def test_each_input_hears_topics_that_there_are_and_waits_for_nothing_lost(
    one: dict[str, Any],
) -> None:
    heard = topics_of(one)
    for subscription in one["topics"]:
        assert any(topic_matches_sub(subscription, address(t)) for t in heard), subscription
    assert all(topic.qos == 1 for topic in heard)
    assert (one["qos"], one["persistent_session"]) == (1, True)
    rules = {rule["topic"]: rule["tags"].split("/") for rule in one["topic_parsing"]}
    assert set(rules) == set(one["topics"])
    for topic, tags in rules.items():
        assert len(tags) == len(topic.split("/"))
        assert tags[1] == "camera"


def test_no_two_inputs_share_a_session() -> None:
    for name in ("client_id", "username"):
        assert len({one[name] for one in INPUTS}) == len(INPUTS)


@pytest.mark.parametrize("one", INPUTS, ids=by_alias)
def test_each_field_and_tag_is_one_of_the_message_with_its_type(one: dict[str, Any]) -> None:
    [parsed] = one["json_v2"]
    for topic in topics_of(one):
        assert topic.model is not None
        schema = topic.model.model_json_schema(mode="serialization")
        for field in parsed["field"]:
            found = kinds(schema, field["path"])
            assert found - {"null"} <= TYPES[field["type"]], field
            # Telegraf drops a whole message for a field that is missing and not optional.
            assert field.get("optional", False) == ("null" in found), field
        for tag in parsed.get("tag", []):
            assert "null" not in kinds(schema, tag["path"]), tag
        if "timestamp_path" in parsed:
            assert kinds(schema, parsed["timestamp_path"]) == {"string"}


def test_what_waited_is_the_same_series_as_what_is_now() -> None:
    [telemetry] = [one for one in INPUTS if one["alias"] == "telemetry"]
    assert {topic.name for topic in topics_of(telemetry)} == {"telemetry", "history-telemetry"}
    [parsed] = telemetry["json_v2"]
    assert parsed["timestamp_path"] == "time_utc", "when it was measured, not when it came"


def queries() -> list[str]:
    shown = [target["query"] for panel in BOARD["panels"] for target in panel["targets"]]
    noted = [one["target"]["query"] for one in BOARD["annotations"]["list"]]
    asked = [one["query"]["query"] for one in BOARD["templating"]["list"] if one["type"] == "query"]
    return [*shown, *noted, *asked]


@pytest.mark.parametrize("query", queries())
def test_each_query_asks_for_what_telegraf_writes(query: str) -> None:
    measured = re.findall(r'(?:_measurement ==|measurement:) "(\w+)"', query)
    assert len(measured) == 1
    there = written()[measured[0]]
    fields = re.findall(r'_field == "(\w+)"', query)
    assert set(fields) <= there["fields"]
    assert fields or "tag:" in query
    asked = {*re.findall(r"\br\.([a-z]\w*)", query), *re.findall(r'tag: "(\w+)"', query)}
    for columns in re.findall(r"rowKey: \[(.*?)\]", query):
        asked |= set(re.findall(r'"([a-z]\w*)"', columns))
    assert asked <= there["tags"]
    variables = set(re.findall(r"\$\{(\w+)", query))
    assert variables <= {one["name"] for one in BOARD["templating"]["list"]}


def test_the_board_s_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_the_broker_as_shipped_lets_telegraf_hear_what_it_asks_for(tmp_path: Path) -> None:
    broker = ShippedMosquitto(tmp_path)
    broker.start()
    camera = Guest(broker, "bridge")
    try:
        for one in INPUTS:
            guest = Guest(broker, one["username"])
            for subscription in one["topics"]:
                guest.subscribe(subscription)
            sent = {address(topic) for topic in topics_of(one)}
            for topic in sent:
                camera.publish(topic)
            wait_until(lambda g=guest, s=sent: {t for t, _ in g.heard} == s, one["alias"])  # type: ignore[misc]
            guest.leave()
    finally:
        camera.leave()
        broker.stop()
