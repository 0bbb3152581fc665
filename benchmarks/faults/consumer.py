"""Somebody who wants every alert: a client with a session that the broker keeps while it is away."""

import json
import os
import time
from itertools import count
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.faults.broker import Broker, wait_until
from failure import Failure

_number = count()
_REPETITIONS_S = 0.3


class Consumer:
    """Subscribes with QoS 1 and remembers what came, and when."""

    def __init__(
        self,
        broker: Broker,
        topic: str = "tremorscope/+/alerts",
        *,
        host: str | None = None,
        login: tuple[str, str] | None = None,
        slow_s: float = 0.0,
    ) -> None:
        """``slow_s`` is how long it takes over each message. Raises Failure when it cannot subscribe."""
        self.messages: list[tuple[float, MQTTMessage]] = []
        self._event_ids: list[str] = []
        self.connected_again = False
        """Whether something came only after it had connected once more."""
        self.slow_s = slow_s
        self._topic = topic
        self.subscriptions = 0
        """Which the broker has confirmed, one at each connection."""
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"consumer-{os.getpid()}-{next(_number)}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        if login is not None:
            self._client.username_pw_set(*login)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._where = (host or broker.host, broker.port)
        self.come_back()

    def come_back(self) -> None:
        """Connect, with the session of before."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.SessionExpiryInterval = 36_000
        self._client.connect_async(*self._where, 5, clean_start=False, properties=properties)
        before = self.subscriptions
        self._client.loop_start()
        if not wait_until(lambda: self.subscriptions > before):
            self.go_away()
            raise Failure("the consumer cannot subscribe")

    def go_away(self) -> None:
        """Disconnect; the broker keeps what comes meanwhile."""
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()

    def event_ids(self) -> list[str]:
        """Of every alert that came, in order, repetitions too."""
        messages = self.messages[len(self._event_ids) :]
        self._event_ids += [str(json.loads(message.payload)["event_id"]) for _, message in messages]
        return list(self._event_ids)

    def wait_for(self, wanted: set[str], *, quiet_s: float = 4.0) -> None:
        """Until all are here and no repetition follows, or nothing has come for ``quiet_s``, of which none
        counts before the consumer is connected: it may still be on its way back to a broker that was killed.

        Where something is missing then, it connects once more before that counts as lost.
        """
        if not self._have_come(wanted, quiet_s):
            self.connected_again = True
            self.go_away()
            self.come_back()
            self._have_come(wanted, quiet_s)

    def _have_come(self, wanted: set[str], quiet_s: float) -> bool:
        wait_until(self._client.is_connected)
        seen, since = -1, time.monotonic()
        while time.monotonic() < since + (
            _REPETITIONS_S if wanted <= set(self.event_ids()) else quiet_s
        ):
            if len(self.messages) > seen:
                seen, since = len(self.messages), time.monotonic()
            time.sleep(0.02)
        return wanted <= set(self.event_ids())

    def publish(self, topic: str, payload: bytes, **options: Any) -> int:
        """Publish as this client; the packet's id."""
        return self._client.publish(topic, payload, **options).mid

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        self.subscriptions += 1

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self.slow_s:
            time.sleep(self.slow_s)
        self.messages.append((time.monotonic(), message))
