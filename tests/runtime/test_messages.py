import json

from jsonschema import Draft202012Validator
from sample_messages import alert, telemetry

from runtime.messages import AlertMessage, utc_text
from runtime.mqtt.asyncapi import message_schema
from runtime.mqtt.stamps import Stamps


def test_times_are_utc_with_milliseconds() -> None:
    assert utc_text(0.0) == "1970-01-01T00:00:00.000Z"
    assert utc_text(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"


def test_a_message_has_no_stamp_before_it_is_published_and_must_have_one_then() -> None:
    assert "stamp" not in json.loads(telemetry().model_dump_json())
    kept = json.loads(alert(1).model_dump_json())
    assert "stamp" not in kept
    published = Draft202012Validator(message_schema(AlertMessage))
    assert not published.is_valid(kept)
    assert Draft202012Validator(AlertMessage.model_json_schema()).is_valid(kept)
    assert published.is_valid(json.loads(Stamps().payload("alerts", alert(1))))
