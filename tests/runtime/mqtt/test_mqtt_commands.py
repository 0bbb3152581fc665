"""Commands through a real broker: who is answered where, what is retained, and what is never carried out."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from broker import Listener, Mosquitto, wait_until
from sample_messages import alert

from runtime.config import Magnification, Mqtt
from runtime.controls import Controls
from runtime.delivery.outbox import Outbox
from runtime.messages import Reply, State
from runtime.mqtt.commands import MOST_WAITING
from runtime.mqtt.publisher import Publisher
from runtime.remote import Remote

STATE = State(state="online", version="1", source="test")
SET = "tremorscope/cam/command/magnification"

Listen = Callable[..., Listener]
Serve = Callable[..., "Served"]


class Served:
    """A publisher that takes commands, and what they act on."""

    def __init__(self, broker: Mosquitto, outbox: Outbox, **settings: Any) -> None:
        self.controls = Controls(Magnification())
        self.acknowledged: list[str] = []
        self.remote = Remote(self.controls, self.acknowledged.append)
        mqtt = Mqtt(host=broker.host, port=broker.port, **settings)
        self.publisher = Publisher(mqtt, name="cam", outbox=outbox, state=STATE)

    def start(self) -> None:
        self.publisher.start()
        self.publisher.serve(self.remote.answer)
        self.controls.tell(self.publisher.tell_controls)


@pytest.fixture
def serve(mosquitto: Mosquitto, outbox: Outbox) -> Iterator[Serve]:
    made: list[Served] = []

    def make(**settings: Any) -> Served:
        log = mosquitto.folder / "mosquitto.log"
        before = log.read_text().count("command/+")
        made.append(Served(mosquitto, outbox, **settings))
        made[-1].start()
        wait_until(lambda: log.read_text().count("command/+") > before, "it has subscribed")
        return made[-1]

    mosquitto.stop()
    mosquitto.settings.append("log_type all")
    mosquitto.start()
    yield make
    for one in made:
        one.publisher.close(timeout_s=1.0)


def replies(listener: Listener, ending: str = "/reply") -> list[Reply]:
    return [Reply.model_validate_json(payload) for payload in listener.payloads(ending)]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_command_is_carried_out_and_answered(listen: Listen, serve: Serve, protocol: str) -> None:
    one, listener = serve(protocol=protocol), listen()
    listener.send(SET, b'{"gain": 50, "request_id": "a"}')
    listener.send(SET, b'{"gain": 0, "request_id": "b"}')
    listener.send("tremorscope/cam/command/acknowledge", b'{"event_id": "e"}')
    wait_until(lambda: len(replies(listener)) == 3, "three replies")
    told = [(reply.request_id, reply.accepted) for reply in replies(listener)]
    assert told == [("a", True), ("b", False), (None, True)]
    assert one.controls.settings.gain == 50
    assert one.acknowledged == ["e"]


def test_the_reply_goes_where_the_command_says_with_its_correlation_data(
    listen: Listen, serve: Serve
) -> None:
    serve()
    listener = listen()
    listener.send(SET, b'{"gain": 3}', reply_to="person/7/inbox", correlation=b"\x00\x01")
    wait_until(lambda: bool(replies(listener, "/inbox")), "the reply arrives")
    [message] = [one for one in listener.messages if one.topic == "person/7/inbox"]
    assert getattr(message.properties, "CorrelationData", None) == b"\x00\x01"
    assert replies(listener) == []


def test_what_is_set_is_retained_and_told_again_whoever_changed_it(
    listen: Listen, serve: Serve, mosquitto: Mosquitto
) -> None:
    one, listener = serve(), listen()
    wait_until(lambda: bool(listener.payloads("/controls")), "what is configured is told")
    one.controls.change({"gain": 7, "mode": "dynamic"})
    wait_until(lambda: len(listener.payloads("/controls")) > 1, "what was changed is told")
    late = listen()
    wait_until(lambda: bool(late.payloads("/controls")), "it is retained")
    told = json.loads(late.payloads("/controls")[0])
    assert (told["gain"], told["mode"], told["area"], told["enabled"]) == (7, "dynamic", None, True)
    mosquitto.kill()
    one.controls.change({"gain": 8})
    mosquitto.start()
    wait_until(lambda: json.loads(late.payloads("/controls")[-1])["gain"] == 8, "told again", 20)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_retained_command_is_never_carried_out_at_a_new_connection(
    listen: Listen, serve: Serve, protocol: str
) -> None:
    listener = listen()
    listener.send(SET, b'{"gain": 50}', retain=True)
    wait_until(lambda: len(listener.payloads("/magnification")) == 1, "the broker has it")
    one = serve(protocol=protocol)
    listener.send(SET, b'{"low_hz": 0.25}')
    wait_until(lambda: len(replies(listener)) == 1, "the next command is answered")
    assert (one.controls.settings.gain, one.controls.settings.low_hz) == (20, 0.25)


def test_a_command_that_was_sent_while_nobody_was_connected_is_not_carried_out_late(
    listen: Listen, serve: Serve
) -> None:
    first, listener = serve(), listen()
    first.publisher.close(timeout_s=1.0)
    listener.send(SET, b'{"gain": 50}')
    wait_until(lambda: len(listener.payloads("/magnification")) == 1, "the broker has it")
    second = serve()
    listener.send(SET, b'{"low_hz": 0.25}')
    wait_until(lambda: len(replies(listener)) == 1, "the next command is answered")
    assert second.controls.settings.gain == 20


def test_a_flood_is_bounded_and_alerts_are_delivered_all_the_same(
    listen: Listen, serve: Serve
) -> None:
    one, listener = serve(), listen()
    release = threading.Event()
    original = one.remote.answer

    def slow(name: str, payload: bytes) -> Reply:
        release.wait(10)
        return original(name, payload)

    one.publisher.serve(slow)
    sent = MOST_WAITING + 20
    for number in range(sent):
        listener.send(SET, json.dumps({"gain": 1 + number}).encode())
    wait_until(lambda: one.publisher.counts().dropped_commands >= 19, "some are dropped")
    one.publisher.publish_alert(alert(1))
    release.set()
    wait_until(lambda: bool(listener.payloads("/alerts")), "the alert arrives")
    dropped = one.publisher.counts().dropped_commands
    wait_until(lambda: len(replies(listener)) == sent - dropped, "the others are answered")


def test_a_defect_in_a_command_ends_neither_commands_nor_alerts(
    listen: Listen, serve: Serve
) -> None:
    one, listener = serve(), listen()
    original, defects = one.remote.answer, [RuntimeError("a defect")]

    def answer(name: str, payload: bytes) -> Reply:
        if defects:
            raise defects.pop()
        return original(name, payload)

    one.publisher.serve(answer)
    listener.send(SET, b'{"gain": 30}')
    listener.send(SET, b'{"gain": 40}')
    one.publisher.publish_alert(alert(1))
    wait_until(lambda: bool(listener.payloads("/alerts")), "the alert arrives")
    wait_until(lambda: len(replies(listener)) == 1, "the second command is answered")
    assert one.controls.settings.gain == 40
    assert one.publisher.counts().errors == 1


@pytest.mark.parametrize(
    "topic", ["a/+/b", "a/#", "x" * 300, "tremorscope/cam/alerts", "tremorscope"]
)
def test_a_reply_that_cannot_go_where_it_should_goes_where_all_do(
    listen: Listen, serve: Serve, topic: str
) -> None:
    """A broker passes any response topic on; a wildcard in it would be an error to publish to, and what
    alerts and states are read from is no place for a sender's choice."""
    one, listener = serve(), listen()
    listener.send(SET, b'{"gain": 3}', reply_to=topic)
    wait_until(lambda: len(replies(listener)) == 1, "it is answered")
    assert one.publisher.counts().errors == 0
