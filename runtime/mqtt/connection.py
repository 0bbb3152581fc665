"""One client's connection to the broker: made again for as long as it takes, and what is wrong with it.

paho calls back in its network thread. An exception there would end that thread, and with it all delivery,
while paho goes on telling that it is connected. So every callback is guarded, and only passes on what happened.
"""

import logging
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from runtime.config import Mqtt
from runtime.mqtt.client import client_for, connect_properties

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")


class Listener(Protocol):
    """Who is told what happens, in the network thread; nothing here may wait."""

    def came_online(self, receive_maximum: int) -> None:
        """There is a connection, with room for so many unacknowledged messages at the broker."""

    def went_offline(self) -> None:
        """It is lost, or was ended."""

    def acknowledged(self, packet: int, reason: int, text: str) -> None:
        """The broker's answer to a message."""

    def subscription_refused(self, reason: ReasonCode) -> None:
        """The broker will not pass on what was asked for."""

    def arrived(self, message: MQTTMessage) -> None:
        """Somebody sent this."""

    def start_over(self) -> None:
        """Something unforeseen happened: what was on its way may be lost."""


class MqttConnection:
    """Of one client. ``tell`` and ``count`` are for any thread, ``revive`` and ``cut`` for one."""

    def __init__(self, mqtt: Mqtt, prefix: str, listener: Listener) -> None:
        """Prepare it; ``prefix`` is what all topics of the client begin with.

        Raises Failure when the password file or a certificate cannot be read, or the host is no host name.
        """
        self.is_up = False
        self.attempt_failed = False
        """Whether the newest attempt to connect did."""
        self.problem: str | None = None
        """Why the broker does not take this client or its messages, when it does not."""
        self.is_closing = False
        """Whether an end of the connection is wanted."""
        self.counts: Counter[str] = Counter()
        self.where = f"MQTT broker {mqtt.host}:{mqtt.port}"
        self._counting = threading.Lock()
        self._mqtt, self._listener = mqtt, listener
        client = self.client = client_for(mqtt, prefix)
        client.on_connect = self._guarded(self._on_connect)
        client.on_connect_fail = self._guarded(self._on_connect_fail)
        client.on_disconnect = self._guarded(self._on_disconnect)
        client.on_publish = self._guarded(self._on_publish)
        client.on_subscribe = self._guarded(self._on_subscribe)
        client.on_message = self._guarded(self._on_message)

    def start(self) -> None:
        """Begin to connect, and go on trying for as long as it takes. Returns at once."""
        mqtt = self._mqtt
        self.client.connect_async(
            mqtt.host, mqtt.port, mqtt.keepalive_s, properties=connect_properties(mqtt)
        )
        self.client.loop_start()

    def end(self) -> None:
        """Disconnect, and try no more."""
        self.client.disconnect()
        self.client.loop_stop()

    def revive(self) -> None:
        """Start paho's network thread again if it has died; this does nothing while it lives."""
        if self.client.loop_start() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            _log.error("%s: the network thread had died and was started again", self.where)
            self.count("errors")
            self.cut()  # it may have died with half a packet handled

    def cut(self) -> None:
        """End the connection; paho makes a new one, which has a known state."""
        if (connection := self.client.socket()) is not None:
            connection.close()

    def tell(self, problem: str) -> None:
        """Log a problem when it is a new one: a broker that is down for a week is told once."""
        if problem != self.problem:
            self.problem = problem
            _log.warning("%s: %s", self.where, problem)

    def count(self, name: str) -> None:
        with self._counting:
            self.counts[name] += 1

    def _guarded(self, callback: Callable[_P, None]) -> Callable[_P, None]:
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
            try:
                callback(*args, **kwargs)
            except Exception:
                _log.exception("%s: a callback failed; alerts may be sent again", self.where)
                self.count("errors")
                self._listener.start_over()

        return guarded

    def _on_connect(
        self,
        _client: Client,
        _data: Any,
        _flags: Any,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self.attempt_failed = True
            self.tell(f"refuses this client: {reason}; check mqtt.username and mqtt.password_file")
            return
        self.problem = None
        self.attempt_failed = False
        self.is_up = True
        self.count("connections")
        _log.info("%s: connected", self.where)
        self._listener.came_online(getattr(properties, "ReceiveMaximum", 65_535))

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self.attempt_failed = True
        error = sys.exc_info()[1]  # paho calls this where it handles it
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is refused: {error.verify_message}; check mqtt.ca_file and mqtt.host"
        elif isinstance(error, ssl.SSLError):
            why = f"does not speak TLS ({error.reason}); check mqtt.port and mqtt.tls"
        else:
            # A broker that expects no TLS hangs up at the first words of it.
            settings = "mqtt.host, mqtt.port, mqtt.tls" if self._mqtt.tls else "mqtt.host"
            why = f"cannot be reached; check {settings}"
        self.tell(f"{why}; alerts wait on disk while it is tried again")

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        _flags: Any,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self.is_up:
            self.is_up = False
            if not self.is_closing:
                self.tell(f"connection lost: {reason}; connecting again")
            self._listener.went_offline()

    def _on_publish(
        self,
        _client: Client,
        _data: Any,
        packet: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._listener.acknowledged(packet, reason.value, str(reason))

    def _on_subscribe(
        self,
        _client: Client,
        _data: Any,
        _packet: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._listener.subscription_refused(reason)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._listener.arrived(message)
