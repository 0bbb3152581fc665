"""What may be ordered from afar: each command gets one reply, and what is refused has no effect."""

import json
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from videos import moving

from failure import Failure
from runtime.config import Magnification
from runtime.controls import Controls
from runtime.last_seen import LastSeen
from runtime.mqtt.topics import TOPICS
from runtime.remote import MOST_BYTES, Remote

OPEN = "f00d"


class Board:
    """Controls, and one open alert that can be acknowledged."""

    def __init__(self) -> None:
        self.controls = Controls(Magnification())
        self.acknowledged: list[str] = []
        self.remote = Remote(self.controls, self._acknowledge)

    def _acknowledge(self, event_id: str) -> None:
        if event_id != OPEN:
            raise Failure("no open alert has this event_id")
        self.acknowledged.append(event_id)


def test_the_magnification_is_set() -> None:
    board = Board()
    reply = board.remote.answer("magnification", b'{"gain": 50, "mode": "dynamic"}')
    assert (reply.accepted, reply.reason, reply.request_id) == (True, None, None)
    assert (board.controls.settings.gain, board.controls.settings.mode) == (50, "dynamic")


def test_an_open_alert_is_acknowledged() -> None:
    board = Board()
    payload = json.dumps({"event_id": OPEN, "request_id": "7"}).encode()
    reply = board.remote.answer("acknowledge", payload)
    assert (reply.command, reply.accepted, reply.request_id) == ("acknowledge", True, "7")
    assert board.acknowledged == [OPEN]


@pytest.mark.parametrize(
    ("name", "sent", "reason"),
    [
        ("magnification", {"gain": 0}, "must be at least 1"),
        ("magnification", {"gain": 10**400}, "must be"),
        ("magnification", {"gain": 30, "engine": "auto"}, "cannot be changed while it runs"),
        ("magnification", [], "not a JSON object"),
        ("magnification", b"", "not valid JSON"),
        ("magnification", b"\xff\xfe", "not valid JSON"),
        ("magnification", b"[" * MOST_BYTES, "not valid JSON"),
        ("magnification", b'{"gain": 1e999}', "must be a finite number"),
        ("magnification", b" " * (MOST_BYTES + 1), "send at most"),
        ("magnification", {"gain": 30, "request_id": 5}, "request_id must be text"),
        ("magnification", {"gain": 30, "request_id": "x" * 65}, "request_id must be text"),
        ("acknowledge", {"event_id": "dead"}, "no open alert"),
        ("acknowledge", {}, "send the alert's event_id"),
        ("acknowledge", {"event_id": 5}, "send the alert's event_id"),
        ("acknowledge", {"event_id": OPEN, "why": "seen"}, "and nothing else"),
        ("restart", {}, "no such command; known are: magnification, acknowledge"),
    ],
)
def test_a_refused_command_is_answered_and_has_no_effect(name: str, sent: Any, reason: str) -> None:
    board = Board()
    payload = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    reply = board.remote.answer(name, payload)
    assert not reply.accepted
    assert reply.command == name
    assert reply.reason is not None
    assert reason in reply.reason
    assert "\n" not in reply.reason
    assert board.controls.settings == Magnification()
    assert board.acknowledged == []


TRIED: dict[str, dict[str, list[Any]]] = {
    "magnification": {
        "gain": [1, 500, 0.99, 501, True, "20", None, []],
        "mode": ["static", "band-pass", "slow", 1, None],
        "low_hz": [0.001, 1e-4, -1, None],
        "high_hz": [500, 501, "5"],
        "area": [
            None,
            {"x": 0, "y": 0, "width": 32, "height": 32},
            {"x": 0, "y": 0, "width": 7, "height": 32},
            {"x": 0, "y": 0, "width": 32},
        ],
        "weather": [1],
    },
    "acknowledge": {"event_id": [OPEN, 1, None], "weather": [1]},
    "snapshot": {
        "view": ["raw", "magnified", "beside", "back", None, 1],
        "request_id": ["x" * 64, "x" * 65, 1],
        "weather": [1],
    },
}


@pytest.mark.parametrize(
    ("name", "sent"),
    [(name, {key: one}) for name, keys in TRIED.items() for key in keys for one in keys[key]]
    + [(name, {}) for name in TRIED],
)
def test_the_schema_of_a_command_takes_what_is_carried_out(name: str, sent: dict[str, Any]) -> None:
    [topic] = [one for one in TOPICS if one.address == f"command/{name}"]
    assert topic.model is not None
    takes = Draft202012Validator(topic.model.model_json_schema()).is_valid(sent)
    controls = Controls(Magnification())
    controls.picture_is((64, 64))
    last = LastSeen(lambda _jpeg: True)
    last.see(next(iter(moving(np.zeros(1)))))
    remote = Remote(controls, lambda _event_id: None, snapshot=last.order)
    reply = remote.answer(name, json.dumps(sent).encode())
    assert (reply.accepted, reply.reason) == (takes, None if takes else reply.reason)
