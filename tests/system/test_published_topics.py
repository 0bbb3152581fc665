"""Everything that a daemon publishes through a real broker, against the list of topics."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from broker import Mosquitto, wait_until
from jsonschema import Draft202012Validator
from paho.mqtt.client import MQTTMessage
from test_run import SETTINGS, Listen, Start, ended, start, written
from videos import burst, moving, write_video

from runtime.mqtt.asyncapi import asyncapi_document
from runtime.mqtt.topics import TOPICS, Topic

__all__ = ["start"]  # a fixture

HOME_ASSISTANT = "homeassistant/device/tremorscope-tremorscope-bridge/config"
ALL = SETTINGS + "[home_assistant]\nenabled = true\n"


def written_with_pictures(folder: Path, port: int) -> Path:
    path = written(folder, port, ALL)
    path.write_text(path.read_text().replace("[mqtt]\n", "[mqtt]\npictures = true\n"))
    return path


def topic_of(message: MQTTMessage) -> Topic:
    name = message.topic.removeprefix("tremorscope/bridge/")
    address = "telemetry/{region}" if name.startswith("telemetry/") else name
    [found] = [topic for topic in TOPICS if topic.address == address]
    return found


def check(message: MQTTMessage, document: dict[str, Any]) -> dict[str, Any] | None:
    """A message is what the document says; gives its stamp, None for one without content."""
    topic = topic_of(message)
    properties: Any = message.properties
    binding = document["operations"][topic.name]["bindings"]["mqtt"]
    assert message.qos == binding["qos"]
    expiry = getattr(properties, "MessageExpiryInterval", None)
    assert (expiry is not None) == ("messageExpiryInterval" in binding)
    assert expiry is None or 0 < expiry <= binding["messageExpiryInterval"]
    declared = document["components"]["messages"][topic.name]
    assert properties.ContentType == declared["contentType"]
    if topic.model is None:
        picture = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        [(name, stamp)] = properties.UserProperty
        assert name == "stamp"
        found: dict[str, Any] = json.loads(stamp)
        return found
    payload = json.loads(message.payload)
    schema = {**declared["payload"], "components": document["components"]}
    assert [e.message for e in Draft202012Validator(schema).iter_errors(payload)] == []
    stamped: dict[str, Any] = payload["stamp"]
    return stamped


def test_all_that_is_published_is_as_the_document_says(
    tmp_path: Path, mosquitto: Mosquitto, listen: Listen, start: Start
) -> None:
    write_video(tmp_path / "bridge.mkv", moving(burst(12.0, 1.2, 3.2)))
    listener = listen()
    process = start(written_with_pictures(tmp_path, mosquitto.port))
    wait_until(lambda: bool(listener.payloads("bridge/controls")), "it serves commands", 60)
    wait_until(lambda: bool(listener.payloads("telemetry/girder")), "it measures", 60)
    listener.send("tremorscope/bridge/command/snapshot", b'{"view": "beside"}')
    listener.send("tremorscope/bridge/command/magnification", b'{"gain": 7}')
    wait_until(lambda: len(listener.payloads("bridge/reply")) == 2, "both are answered", 30)
    assert [json.loads(one)["accepted"] for one in listener.payloads("bridge/reply")] == [True] * 2
    ended(process)
    wait_until(lambda: len(listener.payloads("bridge/state")) >= 2, "it says goodbye")
    late = listen()
    wait_until(lambda: bool(late.payloads("bridge/state")), "what is retained comes")
    wait_until(lambda: bool(late.payloads("bridge/event-picture")), "the alert's picture does, too")

    document = asyncapi_document()
    ours = [m for m in listener.messages if m.topic.startswith("tremorscope/bridge/")]
    published = [m for m in ours if "/command/" not in m.topic]
    stamps: dict[str, list[dict[str, Any]]] = {}
    for message in published:
        stamp = check(message, document)
        assert stamp is not None
        # Before there is a connection, telemetry waits: a part of the same stream.
        stamps.setdefault(message.topic.replace("/history/", "/"), []).append(stamp)
    # One region has no shape to share.
    expected = {topic.name for topic in TOPICS if not topic.is_command} - {"shapes"}
    names = {topic_of(message).name.removeprefix("history-") for message in published}
    assert names == {name for name in expected if not name.startswith("history-")}
    for topic, told in stamps.items():
        numbers = sorted(each["number"] for each in told)
        assert numbers == list(range(1, len(told) + 1)), topic
    every = [stamp for told in stamps.values() for stamp in told]
    assert len({(stamp["device"], stamp["run_id"]) for stamp in every}) == 1

    kept = {m.topic for m in late.messages}
    assert all(message.retain for message in late.messages)
    assert kept == {
        *(f"tremorscope/bridge/{topic.address}" for topic in TOPICS if topic.retained),
        HOME_ASSISTANT,
    }


def test_without_the_setting_no_picture_leaves_the_device_and_a_kept_one_goes(
    tmp_path: Path, mosquitto: Mosquitto, listen: Listen, start: Start
) -> None:
    write_video(tmp_path / "bridge.mkv", moving(burst(6.0, 1.2, 3.2)))
    listener = listen()
    listener.send("tremorscope/bridge/event-picture", b"of an earlier run", retain=True)
    process = start(written(tmp_path, mosquitto.port))
    wait_until(lambda: bool(listener.payloads("bridge/controls")), "it serves commands", 60)
    listener.send("tremorscope/bridge/command/snapshot", b"{}")
    wait_until(lambda: bool(listener.payloads("bridge/reply")), "it answers", 30)
    assert "mqtt.pictures" in json.loads(listener.payloads("bridge/reply")[0])["reason"]
    ended(process)
    wait_until(lambda: bool(listener.payloads("bridge/alerts")), "an alert was raised")
    assert listener.payloads("bridge/picture") == []
    assert set(listener.payloads("bridge/event-picture")) == {b"of an earlier run", b""}
    late = listen(topic="tremorscope/bridge/+")
    wait_until(lambda: bool(late.payloads("bridge/state")), "what is retained comes")
    assert late.payloads("bridge/event-picture") == []
    assert not [m for m in listener.messages if m.topic.startswith("homeassistant")]
