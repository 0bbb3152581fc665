"""Publishes state, telemetry and alerts over MQTT, without ever making a camera wait.

Three threads meet here. Callers put alerts into the outbox. paho's network thread only passes its
callbacks on. Both leave work in a queue for the one sender thread, which owns everything else. What
is promised for alerts is in ``delivery.py``.
"""

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any, ParamSpec

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from failure import Failure
from runtime.config import Magnification, Mqtt
from runtime.delivery import REFUSED, AlertDelivery, Answer, DeliveryCounts
from runtime.messages import AlertMessage, ModeShape, State, Telemetry
from runtime.mqtt_client import client_for, connect_properties, properties_for
from runtime.mqtt_commands import Answer as Answers
from runtime.mqtt_commands import MqttCommands
from runtime.mqtt_retained import MqttRetained
from runtime.outbox import Outbox
from runtime.stamps import Stamps

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")

_TICK_S = 1.0
TELEMETRY_EXPIRES_S = 60


class Publisher:
    """One camera's connection to the broker. ``start`` it once, and ``close`` it at the end."""

    def __init__(
        self,
        mqtt: Mqtt,
        *,
        name: str,
        outbox: Outbox,
        state: State,
        window: int = 16,
        unheard_retry_s: float = 30.0,
    ) -> None:
        """Prepare the connection; nothing is sent before ``start``.

        Args:
            mqtt: the broker.
            name: the camera's name, which follows ``mqtt.topic`` in every topic.
            outbox: where alerts wait; it stays the caller's to close, after this publisher.
            state: what ``<topic>/<name>/state`` tells while this publisher is connected.
            window: how many alerts may be on their way without acknowledgement.
            unheard_retry_s: when to try again an alert that nobody has subscribed to.

        Raises:
            Failure: the password file cannot be read, or the host is no host name.
        """
        self._mqtt = mqtt
        self._prefix = f"{mqtt.topic}/{name}"
        self._where = f"MQTT broker {mqtt.host}:{mqtt.port}"
        self._outbox = outbox
        self._state = state
        self._stamps = Stamps()
        self._full_window = window
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._counts: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._last_ack: float | None = None
        self._connected = False
        self._attempt_failed = False
        self._deadline: float | None = None
        self._problem: str | None = None
        client = self._client = client_for(mqtt, self._prefix)
        client.on_connect = self._guarded(self._on_connect)
        client.on_connect_fail = self._guarded(self._on_connect_fail)
        client.on_disconnect = self._guarded(self._on_disconnect)
        client.on_publish = self._guarded(self._on_publish)
        client.on_subscribe = self._guarded(self._on_subscribe)
        client.on_message = self._guarded(self._on_message)
        self._set_will(client)
        # From here on the sender thread's own:
        self._delivery = AlertDelivery(
            outbox, self._send_alert, window=window, retry_s=unheard_retry_s
        )
        self._commands = MqttCommands(client, mqtt, self._prefix, self._work.put, self._stamps)
        self._retained = MqttRetained(client, mqtt, self._work.put)
        self._state_packet: int | None = None
        self._online = False
        self._leaving = False
        self._sender = threading.Thread(target=self._run, name="mqtt-sender", daemon=True)

    def start(self) -> None:
        """Begin to connect, and go on trying for as long as it takes. Returns at once."""
        mqtt = self._mqtt
        self._client.connect_async(
            mqtt.host, mqtt.port, mqtt.keepalive_s, properties=connect_properties(mqtt)
        )
        self._client.loop_start()
        self._sender.start()

    def publish_alert(self, message: AlertMessage) -> None:
        """Keep an alert on disk, to be delivered as soon as the broker accepts it.

        Where the disk cannot take it, it is sent at once without that safety, and counted as
        dropped when that is impossible too.
        """
        topic, payload = f"{self._prefix}/alerts", self._stamps.payload("alerts", message)
        try:
            self._outbox.put(topic, payload)
        except Failure as failure:
            _log.error("an alert cannot be kept on disk and is sent without safety: %s", failure)
            if not self._connected or self._send_alert(topic, payload) is None:
                self._count("dropped_alerts")
        else:
            self._work.put(self._delivery.try_now)

    def publish_telemetry(self, message: Telemetry | ModeShape) -> None:
        """Send telemetry if there is a connection; else drop and count it."""
        topic = "shapes" if isinstance(message, ModeShape) else f"telemetry/{message.region}"
        payload = self._stamps.payload(topic, message)  # counted even where it is dropped
        if self._connected:
            info = self._client.publish(
                f"{self._prefix}/{topic}",
                payload,
                qos=0,
                properties=properties_for(self._mqtt, expires_s=TELEMETRY_EXPIRES_S),
            )
            if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
        self._count("dropped_telemetry")

    def serve(self, answer: Answers) -> None:
        """Take commands, and have each answered in the sender's thread; see ``mqtt_commands.py``."""
        self._work.put(lambda: self._serve(answer))

    def tell_controls(self, settings: Magnification) -> None:
        """Publish what is set, retained. Returns at once."""
        self._work.put(lambda: self._commands.tell(settings))

    def keep(self, topic: str, payload: bytes, *, again_on: str | None = None) -> None:
        """Have the broker keep this JSON on any topic, now and after each connection; empty: nothing.

        With ``again_on``, also whenever that topic says ``online``. Returns at once.
        """
        self._work.put(lambda: self._retained.keep(topic, payload, again_on=again_on))

    def publish_picture(self, name: str, jpeg: bytes, *, retain: bool) -> bool:
        """Send a JPEG to a topic of the camera's; a retained one again after each connection.

        Returns at once; False while the picture before is still on its way.
        """
        stamp = self._stamps.for_picture(name) if jpeg else None
        return self._retained.send_picture(f"{self._prefix}/{name}", jpeg, stamp, retain=retain)

    def announce(self, **news: Any) -> None:
        """Replace values of the retained state, for example ``health``."""
        self._work.put(lambda: self._replace_state(self._state.model_copy(update=news)))

    def counts(self) -> DeliveryCounts:
        """The counters now.

        Raises:
            Failure: the outbox cannot be read.
        """
        kept, counts, last_ack = self._outbox.counts(), self._counts, self._last_ack
        return DeliveryCounts(
            connected=self._connected,
            queued=kept.pending,
            parked=kept.parked,
            acknowledged=counts["acknowledged"],
            dropped_alerts=counts["dropped_alerts"] + kept.dropped_parked + kept.dropped_pending,
            dropped_telemetry=counts["dropped_telemetry"],
            dropped_commands=self._commands.dropped,
            reconnects=max(0, counts["connections"] - 1),
            errors=counts["errors"],
            last_ack_age_s=None if last_ack is None else monotonic() - last_ack,
            problem=self._problem,
        )

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what can be delivered, say ``offline``, disconnect; what is left stays on disk.

        It takes ``timeout_s`` at most and a second or two for the farewell, and does not wait for a
        broker that cannot be reached, or for alerts that nobody listens to.
        """
        if self._sender.is_alive():
            deadline = monotonic() + timeout_s
            self._work.put(lambda: self._begin_to_close(deadline))
            self._sender.join(timeout_s + 2.0)

    # In paho's network thread. An exception here would end that thread, and with it all delivery,
    # while paho goes on telling that it is connected.

    def _guarded(self, callback: Callable[_P, None]) -> Callable[_P, None]:
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
            try:
                callback(*args, **kwargs)
            except Exception:
                _log.exception("%s: a callback failed; alerts may be sent again", self._where)
                self._count("errors")
                self._work.put(self._delivery.start_over)

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
            self._attempt_failed = True
            self._tell(f"refuses this client: {reason}; check mqtt.username and mqtt.password_file")
            return
        self._problem = None
        self._attempt_failed = False
        self._connected = True
        self._count("connections")
        _log.info("%s: connected", self._where)
        receive_maximum = getattr(properties, "ReceiveMaximum", 65_535)
        self._work.put(lambda: self._come_online(receive_maximum))

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._attempt_failed = True
        self._tell(
            "cannot be reached; alerts wait on disk while it is tried again; check mqtt.host"
        )

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        _flags: Any,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._connected:
            self._connected = False
            if self._deadline is None:
                self._tell(f"connection lost: {reason}; connecting again")
            self._work.put(self._go_offline)

    def _on_publish(
        self,
        _client: Client,
        _data: Any,
        packet: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        value, text = reason.value, str(reason)
        self._work.put(lambda: self._take_acknowledgement(packet, value, text))

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
                topics = " or ".join([self._commands.topic, *self._retained.listens_to])
                _log.warning(
                    "%s: refuses to tell of %s: %s; check its access rules",
                    *(self._where, topics, reason),
                )

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if not self._retained.arrived(message):
            self._commands.arrived(message)

    # In the sender thread.

    def _run(self) -> None:
        next_tick = monotonic() + _TICK_S
        while True:
            try:
                work = self._work.get(timeout=max(0.0, next_tick - monotonic()))
            except queue.Empty:
                work = self._revive
                next_tick = monotonic() + _TICK_S
            try:
                work()
                self._delivery.settle()
                if self._online:
                    self._delivery.feed()
                finished = self._deadline is not None and self._is_finished()
            except Failure as failure:  # the outbox; it may work again in a while
                finished = False
                self._tell(str(failure))
            except Exception:
                finished = False
                _log.exception("%s: delivery failed; alerts may be sent again", self._where)
                self._count("errors")
                self._delivery.start_over()
            if finished or (self._deadline is not None and monotonic() >= self._deadline):
                self._leave()
                return

    def _come_online(self, receive_maximum: int) -> None:
        self._online = True
        # One place is for the state; a broker cuts off a client that exceeds its maximum.
        self._delivery.window = max(1, min(self._full_window, receive_maximum - 1))
        self._delivery.try_now()
        self._send_state()
        self._commands.subscribe()
        self._retained.tell_all()

    def _serve(self, answer: Answers) -> None:
        self._commands.serve(answer)
        if self._online:
            self._commands.subscribe()

    def _go_offline(self) -> None:
        self._online = False
        self._delivery.connection_lost()

    def _replace_state(self, state: State) -> None:
        self._state = state
        self._set_will(self._client)
        if self._online:
            self._send_state()

    def _begin_to_close(self, deadline: float) -> None:
        self._deadline = deadline

    def _take_acknowledgement(self, packet: int, reason: int, text: str) -> None:
        answer = self._delivery.acknowledged(packet, reason, text)
        if answer is not Answer.STRANGE or packet == self._state_packet:
            self._last_ack = monotonic()
        if packet == self._state_packet:
            self._state_packet = None
            if reason >= REFUSED:
                self._tell(f"refuses {self._prefix}/state: {text}; check its access rules")
        elif answer is Answer.REFUSED:
            self._tell(f"refuses {self._prefix}/alerts: {text}; check its access rules")
        elif answer is Answer.NOBODY_LISTENS:
            self._tell(f"nobody has subscribed to {self._prefix}/alerts; alerts are kept")
        elif answer is Answer.LATER:
            self._tell(f"asks for patience: {text}; alerts are kept")
        elif answer is Answer.DELIVERED:
            self._count("acknowledged")
            self._problem = None

    def _revive(self) -> None:
        """Start paho's network thread again if it has died; this does nothing while it lives."""
        if self._client.loop_start() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            _log.error("%s: the network thread had died and was started again", self._where)
            self._count("errors")
            # It may have died with half a packet handled: a new connection has a known state.
            if (connection := self._client.socket()) is not None:
                connection.close()

    def _send_alert(self, topic: str, payload: bytes) -> int | None:
        info = self._client.publish(topic, payload, qos=1, properties=properties_for(self._mqtt))
        # Without a connection, too, paho has the message now, and sends it once there is one.
        return None if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE else info.mid

    def _send_state(self) -> None:
        state = _offline(self._state) if self._leaving else self._state
        payload = self._stamps.payload("state", state)
        self._state_packet = self._client.publish(
            f"{self._prefix}/state",
            payload,
            qos=1,
            retain=True,
            properties=properties_for(self._mqtt),
        ).mid

    def _is_finished(self) -> bool:
        """While closing: whether waiting longer would deliver nothing more."""
        return (self._attempt_failed and not self._online) or self._delivery.is_idle()

    def _leave(self) -> None:
        self._leaving = True  # whatever is still in the queue, nothing says online after this
        enough = monotonic() + 1.0
        try:
            if self._online:
                self._send_state()
            while self._online and self._state_packet is not None:
                self._work.get(timeout=max(0.0, enough - monotonic()))()
            self._delivery.settle()
        except queue.Empty:
            _log.warning("%s: did not acknowledge the farewell", self._where)
        except Failure as failure:
            _log.error("%s", failure)
        self._client.disconnect()
        self._client.loop_stop()

    # In any thread.

    def _set_will(self, client: Client) -> None:
        payload = self._stamps.will(_offline(self._state))
        client.will_set(f"{self._prefix}/state", payload, qos=1, retain=True)

    def _tell(self, problem: str) -> None:
        """Log a problem when it is a new one: a broker that is down for a week is told once."""
        if problem != self._problem:
            self._problem = problem
            _log.warning("%s: %s", self._where, problem)

    def _count(self, name: str) -> None:
        with self._counting:
            self._counts[name] += 1


def _offline(state: State) -> State:
    return state.model_copy(update={"state": "offline"})
