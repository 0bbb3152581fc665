"""The list of topics against the models, the document that is made of it, and the page about it."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from pydantic import BaseModel

from runtime.config import Magnification
from runtime.controls import LIVE
from runtime.messages import Message
from runtime.mqtt.asyncapi import asyncapi_document
from runtime.mqtt.command_messages import MagnificationCommand
from runtime.mqtt.topics import TOPICS, Topic

PAGE = Path(__file__).parents[3] / "docs" / "messages.md"
OFFICIAL = Path(__file__).parent / "asyncapi" / "3.0.0.json.gz"

WITH_MODEL = [topic for topic in TOPICS if topic.model is not None]


def named(topic: Topic) -> str:
    return topic.name


def model_of(topic: Topic) -> type[BaseModel]:
    assert topic.model is not None
    return topic.model


@pytest.mark.parametrize("topic", WITH_MODEL, ids=named)
def test_an_example_is_what_its_model_says(topic: Topic) -> None:
    read = model_of(topic).model_validate_json(json.dumps(topic.example), strict=True)
    assert topic.is_command or isinstance(read, Message)
    assert topic.is_command or read.model_dump()["stamp"] is not None


@pytest.mark.parametrize("topic", WITH_MODEL, ids=named)
def test_what_a_model_writes_its_schema_in_the_document_takes(topic: Topic) -> None:
    document = asyncapi_document()
    schema = {
        **document["components"]["messages"][topic.name]["payload"],
        "components": document["components"],
    }
    written = model_of(topic).model_validate(topic.example).model_dump(mode="json")
    validator = Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(written)] == []
    for wrong in ({**written, "weather": 1}, "text"):
        assert list(validator.iter_errors(wrong)), wrong
    if not topic.is_command:
        for key in ("stamp", "schema_version"):
            assert list(validator.iter_errors({**written, key: None}))
            assert list(validator.iter_errors({k: v for k, v in written.items() if k != key}))


def test_the_document_is_asyncapi_by_its_official_schema() -> None:
    official = Draft7Validator(json.loads(gzip.decompress(OFFICIAL.read_bytes())))
    document = asyncapi_document()
    assert [error.message for error in official.iter_errors(document)] == []
    document["channels"]["state"]["weather"] = 1
    assert list(official.iter_errors(document))


def test_all_that_the_document_refers_to_is_in_it() -> None:
    document = asyncapi_document()
    references = re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))
    assert len(references) > 3 * len(TOPICS)
    for reference in references:
        found: Any = document
        for key in reference.split("/"):
            found = found[key]


def test_a_command_may_set_what_can_be_set_within_the_same_limits() -> None:
    command = MagnificationCommand.model_json_schema()["properties"]
    setting = Magnification.model_json_schema()["properties"]
    assert set(command) == {*LIVE, "request_id"}
    for name in LIVE:
        limits = [
            {key: one[name].get(key) for key in ("minimum", "maximum", "enum", "anyOf", "default")}
            for one in (command, setting)
        ]
        assert limits[0] == limits[1], name


def row(topic: Topic) -> str:
    model = "JPEG" if topic.model is None else f"`{topic.model.__name__}`"
    way = "from the camera" if topic.action == "send" else "to the camera"
    expiry = "" if topic.expires_s is None else f"{topic.expires_s} s"
    retained = "yes" if topic.retained else ""
    return (
        f"| `{topic.address}` | {way} | {topic.qos} | {retained} | {expiry} | {model} | "
        f"{topic.about} |"
    )


def test_the_page_lists_every_topic() -> None:
    rows = [
        line
        for line in PAGE.read_text().splitlines()
        if re.match(r"\| `\S+` \| (from|to) the", line)
    ]
    assert rows == [row(topic) for topic in TOPICS]


def test_the_page_shows_every_example() -> None:
    blocks = re.findall(r"`([a-z/{}-]+)`:?\n\n```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [(address, json.loads(text)) for address, text in blocks] == [
        (topic.address, topic.example)
        for topic in WITH_MODEL
        if not topic.address.startswith("history/")  # the same messages, later
    ]
