"""Command messages that make no sense, by the thousand, over a real broker."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Plan, alert, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from failure import Failure
from runtime.config import Magnification
from runtime.controls import LIVE, Controls
from runtime.delivery.outbox import Outbox
from runtime.messages import Reply
from runtime.remote import Remote

A_TRIAL = 50
"""10,000 messages at 200 trials."""
_OPEN = "event-1"
_RANGES = {"gain": (0, 1000), "low_hz": (0, 1000), "high_hz": (0, 1000)}
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        50,
        1e308,
        -1e-308,
        10**400,
        "50",
        "",
        "static",
        "dynamic",
        [],
        {},
    ),
    *({"x": 0, "y": 0, "width": 8, "height": 8}, {"x": -1, "y": 0, "width": 10**9, "height": 0}),
    *("\u0000", "x" * 5000, [[[[]]]], {"a": {"b": {}}}, _OPEN, 2.5, 60.0, "band-pass"),
)
_SOUND: tuple[tuple[str, dict[str, Any]], ...] = (
    ("magnification", {"gain": 35.5}),
    ("magnification", {"gain": 12, "mode": "dynamic"}),
    ("magnification", {"area": {"x": 8, "y": 8, "width": 64, "height": 64}}),
    ("acknowledge", {"event_id": _OPEN}),
)
_NAMES = (*LIVE, "enabled", "event_id", "request_id", "", "gain ", "GAIN", "__class__", "a.b")
_COMMANDS = (
    "magnification",
    "acknowledge",
    "magnification",
    "restart",
    "",
    " ",
    "%s",
    "..",
    "\u00e4",
)


def rows(plan: Plan) -> Iterator[Row]:
    row = Row(
        f"{A_TRIAL * plan.trials} fuzzed command messages", "no crash, no change by a refused one"
    )
    answered: Counter[bool] = Counter()
    plan.run(row, partial(trial, answered), at_once=16)
    row.notes.append(
        f"{answered[False]} refused with a reason, {answered[True]} accepted and carried out"
    )
    yield row


def trial(answered: Counter[bool], chance: random.Random, folder: Path) -> Trial:
    """A_TRIAL messages one after the other, and an alert meanwhile."""
    with (
        Broker(folder / "broker") as broker,
        Consumer(broker) as consumer,
        Consumer(broker, "answers") as answers,
    ):
        controls = Controls(Magnification(gain=20))
        controls.picture_is((640, 480))
        acknowledged: list[str] = []
        complaints = []

        def acknowledge(event_id: str) -> None:
            if event_id != _OPEN:
                raise Failure("no such alert")
            acknowledged.append(event_id)

        with publishing(broker, Outbox(folder / "outbox.sqlite")) as one:
            one.serve(Remote(controls, acknowledge).answer)
            wait_until(lambda: "subscribed" in _asked(one, answers))
            one.publish_alert(alert("meanwhile"))
            for _ in range(A_TRIAL):
                before, done, count = controls.settings, len(acknowledged), len(answers.messages)
                command, payload = message(chance)
                topic = f"tremorscope/cam/command/{command}"
                answers.publish(topic, payload, qos=1, properties=_answer_to())
                if not wait_until(lambda count=count: len(answers.messages) > count, 10):  # type: ignore[misc]
                    complaints.append(f"no reply to {command} {payload[:80]!r}")
                    continue
                reply = Reply.model_validate_json(answers.messages[-1][1].payload)
                answered[reply.accepted] += 1
                changed = controls.settings != before or len(acknowledged) != done
                if not reply.accepted and changed:
                    complaints.append("a refused command changed something")
                if reply.accepted and not _makes_sense(command, payload, controls.settings):
                    complaints.append(f"accepted: {command} {payload[:80]!r}")
            consumer.wait_for({"meanwhile"})
            if one.counts().errors:
                complaints.append("an exception was caught")
            return Trial(
                ["meanwhile"],
                ["meanwhile"],
                consumer.event_ids(),
                one.counts().acknowledged,
                complaints=tuple(complaints),
            )


def _asked(_: object, answers: Consumer) -> str:
    """Whether commands are taken already: one that is refused has a reply."""
    count = len(answers.messages)
    answers.publish("tremorscope/cam/command/none", b"{}", qos=1, properties=_answer_to())
    return "subscribed" if wait_until(lambda: len(answers.messages) > count, 0.3) else ""


def message(chance: random.Random) -> tuple[str, bytes]:
    """A command's name and payload: valid, nearly valid, or nothing of the kind."""
    command = chance.choice(_COMMANDS)
    kind = chance.randrange(5)
    if kind == 0:
        return command, chance.randbytes(chance.choice([0, 1, 7, 100, 5000]))
    values = {chance.choice(_NAMES): chance.choice(_VALUES) for _ in range(chance.randint(0, 3))}
    if chance.random() < 0.2:
        command, values = chance.choice(_SOUND)
    payload = json.dumps(values).encode()
    if kind == 1:
        return command, payload[: chance.randrange(len(payload) + 1)]
    if kind == 2:
        place = chance.randrange(len(payload))
        return command, payload[:place] + chance.randbytes(1) + payload[place + 1 :]
    if kind == 3:
        return command, b"[" * chance.choice([1, 100, 4000]) + payload
    return command, payload


def _makes_sense(command: str, payload: bytes, settings: Magnification) -> bool:
    """Judged without the code under test, as far as that goes."""
    values = json.loads(payload)
    if not isinstance(values, dict):
        return False
    values.pop("request_id", None)
    if command == "acknowledge":
        return values == {"event_id": _OPEN}
    if command != "magnification" or not set(values) <= set(LIVE):
        return False
    now = settings.model_dump(mode="json")
    for name, value in values.items():
        if name in _RANGES and (isinstance(value, bool) or not isinstance(value, (int, float))):
            return False
        if now[name] != value:
            return False
    return True


def _answer_to() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    properties.ResponseTopic = "answers"
    return properties
