"""Pictures through a real broker: one after the other, and kept where they are to be kept."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from broker import Listener, Mosquitto, wait_until
from paho.mqtt.client import MQTTMessage

from runtime.config import Mqtt
from runtime.delivery.outbox import Outbox
from runtime.messages import State
from runtime.mqtt.client import client_for
from runtime.mqtt.publisher import Publisher
from runtime.mqtt.retained import MqttRetained

STATE = State(state="online", version="1", source="test")
LARGE = b"\xff\xd8" + bytes(60_000_000)

Listen = Callable[..., Listener]
Publish = Callable[..., Publisher]


@pytest.fixture
def publisher(mosquitto: Mosquitto, outbox: Outbox) -> Iterator[Publish]:
    made: list[Publisher] = []

    def make(**settings: Any) -> Publisher:
        mqtt = Mqtt(**{"host": mosquitto.host, "port": mosquitto.port, **settings})
        made.append(Publisher(mqtt, name="cam", outbox=outbox, state=STATE))
        made[-1].start()
        wait_until(lambda: made[-1].counts().connected, "it connects")
        return made[-1]

    yield make
    for one in made:
        one.close(timeout_s=1.0)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_retained_picture_is_kept_and_replaced(
    listen: Listen, publisher: Publish, protocol: str
) -> None:
    one, listener = publisher(protocol=protocol), listen()
    for picture in (b"first", b"second"):
        one.publish_picture("event-picture", picture, retain=True)
    one.publish_picture("picture", b"third", retain=False)
    wait_until(lambda: listener.payloads("cam/picture") == [b"third"], "the third has come")
    # Another thread sends those that are kept: the third may have overtaken them.
    wait_until(lambda: listener.payloads("event-picture")[-1:] == [b"second"], "the others, too")
    late = listen()
    wait_until(lambda: late.payloads("event-picture") == [b"second"], "the second is kept")
    assert late.payloads("cam/picture") == []
    if protocol == "5":
        [message] = [m for m in late.messages if m.topic.endswith("event-picture")]
        properties: Any = message.properties
        assert properties.ContentType == "image/jpeg"
        assert json.loads(dict(properties.UserProperty)["stamp"])["number"] == 2


def test_a_picture_that_was_taken_without_a_broker_is_told_when_it_is_there(
    listen: Listen, publisher: Publish, mosquitto: Mosquitto
) -> None:
    one = publisher()
    mosquitto.kill()
    wait_until(lambda: not one.counts().connected, "the loss is noticed")
    one.publish_picture("event-picture", b"meanwhile", retain=True)
    mosquitto.start()
    late = listen()
    wait_until(lambda: late.payloads("event-picture")[-1:] == [b"meanwhile"], "it comes", 20)


class StuckProxy:
    """Between daemon and broker; while it is stuck, it reads nothing from the daemon."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for pair in self._pairs:
            for one in pair:
                one.close()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            broker = socket.create_connection((self._broker.host, self._broker.port))
            self._pairs.append((client, broker))
            for source, target, stuck in ((client, broker, True), (broker, client, False)):
                threading.Thread(
                    target=self._copy, args=(source, target, stuck), daemon=True
                ).start()

    def _copy(self, source: socket.socket, target: socket.socket, stuck: bool) -> None:
        try:
            while data := source.recv(65536):
                if stuck:
                    self.goes_on.wait()
                target.sendall(data)
        except OSError:
            pass


def test_pictures_do_not_pile_up_on_a_slow_line_and_come_again_after_it_broke(
    listen: Listen, publisher: Publish, mosquitto: Mosquitto
) -> None:
    proxy = StuckProxy(mosquitto)
    try:
        one, listener = publisher(host="127.0.0.1", port=proxy.port), listen()
        proxy.goes_on.clear()
        assert one.publish_picture("picture", LARGE, retain=False)
        assert not one.publish_picture("picture", b"second", retain=False)
        proxy.cut()
        proxy.goes_on.set()
        wait_until(lambda: one.counts().reconnects == 1, "it connects again", 30)
        wait_until(lambda: one.publish_picture("picture", b"third", retain=False), "it is taken")
        wait_until(lambda: listener.payloads("cam/picture") == [b"third"], "it arrives")
        assert one.counts().errors == 0
    finally:
        proxy.goes_on.set()
        proxy.close()


def test_who_says_online_without_end_is_heard_once_at_a_time() -> None:
    work: list[Callable[[], None]] = []
    mqtt = Mqtt()
    retained = MqttRetained(client_for(mqtt, "tremorscope/cam"), mqtt, work.append)
    retained.keep("discovery", b"{}", again_on="birth")
    birth = MQTTMessage(topic=b"birth")
    birth.payload = b"online"
    for _ in range(1000):
        assert retained.arrived(birth)
    assert len(work) == 1
    work.pop()()
    assert retained.arrived(birth)
    assert len(work) == 1
    assert not retained.arrived(MQTTMessage(topic=b"tremorscope/cam/command/magnification"))
