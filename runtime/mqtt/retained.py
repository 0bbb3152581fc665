"""What the broker keeps beside state and controls: pictures, and what others discover a camera by.

With QoS 0, so that none of it takes the place of an alert; it is told again after each connection instead.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode

from runtime.config import Mqtt
from runtime.mqtt.client import properties_for


@dataclass(frozen=True, slots=True)
class _Kept:
    payload: bytes
    stamp: str | None
    """Of a picture; None for JSON and for nothing at all."""


class MqttRetained:
    """Of one client. ``arrived`` is for the network thread, ``send_picture`` for any, the rest for the
    sender's."""

    def __init__(
        self, client: Client, mqtt: Mqtt, work: Callable[[Callable[[], None]], None]
    ) -> None:
        """``work`` hands something to do to the sender's thread."""
        self._client, self._mqtt, self._work = client, mqtt, work
        self._kept: dict[str, _Kept] = {}
        self._again: dict[str, str] = {}  # topic that says online -> topic that is told again
        self._asked: set[str] = set()
        self._sending = threading.Lock()
        self._on_its_way: dict[str, MQTTMessageInfo] = {}

    @property
    def listens_to(self) -> tuple[str, ...]:
        """Topics whose ``online`` has something told again."""
        return tuple(self._again)

    def keep(self, topic: str, payload: bytes, *, again_on: str | None = None) -> None:
        """Tell now, and from now on at each connection; an empty payload has the broker forget."""
        self._kept[topic] = _Kept(payload, None)
        if again_on is not None:
            self._again[again_on] = topic
            if self._client.is_connected():
                self._client.subscribe(again_on, qos=1)
        self._tell(topic)

    def send_picture(self, topic: str, jpeg: bytes, stamp: str | None, *, retain: bool) -> bool:
        """Send a picture unless the one before is still on its way: on a slow line they would pile up.

        A retained one is kept for the next connection whatever becomes of it now.
        """
        if retain:
            self._work(lambda: self._replace_picture(topic, _Kept(jpeg, stamp)))
            return True
        with self._sending:
            before = self._on_its_way.get(topic)
            if before is not None and not before.is_published():
                return False
            sent = self._publish(topic, _Kept(jpeg, stamp), retain=False)
            if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:  # of another, nothing more is heard
                self._on_its_way[topic] = sent
            return True

    def tell_all(self) -> None:
        """There is a new connection, and what was on its way over the one before is lost."""
        with self._sending:
            self._on_its_way.clear()
        for topic in self._again:
            self._client.subscribe(topic, qos=1)
        for topic in self._kept:
            self._tell(topic)

    def arrived(self, message: MQTTMessage) -> bool:
        """Whether a message is one that this waits for, and not a command."""
        if message.topic not in self._again:
            return False
        if bytes(message.payload) == b"online":
            topic = self._again[message.topic]
            if topic not in self._asked:  # who says it without end fills nobody's memory
                self._asked.add(topic)
                self._work(lambda: self._tell_asked(topic))
        return True

    def _tell_asked(self, topic: str) -> None:
        self._asked.discard(topic)
        self._tell(topic)

    def _replace_picture(self, topic: str, picture: _Kept) -> None:
        self._kept[topic] = picture
        self._tell(topic)

    def _tell(self, topic: str) -> None:
        if self._client.is_connected():
            self._publish(topic, self._kept[topic], retain=True)

    def _publish(self, topic: str, kept: _Kept, *, retain: bool) -> MQTTMessageInfo:
        return self._client.publish(
            topic,
            kept.payload,
            qos=0,
            retain=retain,
            properties=properties_for(self._mqtt, picture_stamp=kept.stamp),
        )
