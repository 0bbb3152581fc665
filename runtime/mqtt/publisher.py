"""Publishes state, telemetry and alerts over MQTT, without ever making a camera wait.

Three threads meet here. Callers put alerts into the outbox. paho's network thread only passes on what
happens (``connection.py``). Both leave work in a queue for the one sender thread, which owns
everything else. What is promised for alerts is in ``runtime/delivery/alerts.py``, and for telemetry in
``telemetry.py`` beside it.
"""

import logging
import queue
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from runtime.config import Magnification, Mqtt
from runtime.delivery.alerts import REFUSED, AlertDelivery, Answer, DeliveryCounts
from runtime.delivery.outbox import Outbox
from runtime.delivery.telemetry import TelemetryDelivery
from runtime.messages import AlertMessage, ModeShape, State, Telemetry
from runtime.mqtt.client import properties_for
from runtime.mqtt.commands import Answer as Answers
from runtime.mqtt.commands import MqttCommands
from runtime.mqtt.connection import MqttConnection
from runtime.mqtt.retained import MqttRetained
from runtime.mqtt.stamps import Stamps
from runtime.mqtt.state import RetainedState
from runtime.service.rounds import Rounds

_log = logging.getLogger(__name__)

_TICK_S = 1.0
_REPLAY_TICK_S = 0.05
_BROKER_SAVES_S = 10.0
TELEMETRY_EXPIRES_S = 86_400
_SHARES = {"alerts": 8, "live": 7, "replayed": 4}
"""Of what may be unacknowledged: 20 messages with that of the state, which is paho's own limit."""


class Publisher:
    """One camera's connection to the broker. ``start`` it once, and ``close`` it at the end."""

    def __init__(
        self,
        mqtt: Mqtt,
        *,
        name: str,
        outbox: Outbox,
        state: State,
        unheard_retry_s: float = 30.0,
        keep_accepted_s: float | None = None,
        most_silent_s: float = 30.0,
        refused_retry_s: float = 300.0,
    ) -> None:
        """Prepare the connection; nothing is sent before ``start``.

        Args:
            mqtt: the broker.
            name: the camera's name, which follows ``mqtt.topic`` in every topic.
            outbox: where alerts wait; it stays the caller's to close, after this publisher.
            state: what ``<topic>/<name>/state`` tells while this publisher is connected.
            unheard_retry_s: when to try again an alert that nobody has subscribed to.
            keep_accepted_s: an alert is sent again if the connection is lost so soon after the broker
                accepted it. None: 10 s for the broker to write it to its disk, and twice the keep-alive,
                after which the loss of a broker is noticed.
            most_silent_s: a broker that is there and does not acknowledge alerts for so long gets a new
                connection.
            refused_retry_s: when to try again what the broker refused: its rules may have changed.

        Raises:
            Failure: the password file or a certificate cannot be read, or the host is no host name.
        """
        self._mqtt = mqtt
        self._prefix = f"{mqtt.topic}/{name}"
        self._alerts = f"{self._prefix}/alerts"
        self._outbox = outbox
        self._stamps = Stamps()
        self._most_silent_s = most_silent_s
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.rounds = Rounds()
        """When the sender's thread, and those of whoever adds to it, last came round."""
        self._last_ack: float | None = None
        self._deadline: float | None = None
        self._refuses_alerts = False
        self._refused_retry_s, self._refused_s = refused_retry_s, 0.0
        if keep_accepted_s is None:
            keep_accepted_s = _BROKER_SAVES_S + 2 * mqtt.keepalive_s
        self._connection = MqttConnection(mqtt, self._prefix, self)
        client = self._client = self._connection.client
        # From here on the sender thread's own:
        self._delivery = AlertDelivery(
            outbox,
            self._send_alert,
            window=_SHARES["alerts"],
            retry_s=unheard_retry_s,
            keep_s=keep_accepted_s,
        )
        self._telemetry = TelemetryDelivery(
            outbox,
            self._send_telemetry,
            is_connected=lambda: self._connection.is_up,
            replay_hz=mqtt.replay_hz,
            retry_s=unheard_retry_s,
        )
        self._commands = MqttCommands(client, mqtt, self._prefix, self._work.put, self._stamps)
        self._retained = MqttRetained(client, mqtt, self._work.put)
        self._state = RetainedState(client, mqtt, self._prefix, state, self._stamps)
        self._online = False
        self._leaving = False
        self._sender = threading.Thread(target=self._run, name="mqtt-sender", daemon=True)

    def start(self) -> None:
        """Begin to connect, and go on trying for as long as it takes. Returns at once."""
        self._connection.start()
        self._sender.start()

    def publish_alert(self, message: AlertMessage) -> None:
        """Keep an alert, on disk where that can be written; it goes as soon as the broker accepts it."""
        self._outbox.put(self._alerts, self._stamps.payload("alerts", message))
        self._work.put(self._delivery.try_now)

    def publish_telemetry(self, message: Telemetry | ModeShape) -> None:
        """Send telemetry; without a connection keep it on disk, and send it to ``history/`` later.

        A topic of its own, since whoever shows what is now must not show what was then. Returns at once.
        """
        topic = "shapes" if isinstance(message, ModeShape) else f"telemetry/{message.region}"
        self._telemetry.publish(
            f"{self._prefix}/{topic}",
            self._stamps.payload(topic, message),
            later=f"{self._prefix}/history/{topic}",
        )

    def serve(self, answer: Answers) -> None:
        """Take commands, and have each answered in the sender's thread; see ``commands.py``."""
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
        self._work.put(lambda: self._replace_state(news))

    @property
    def outbox_problem(self) -> str | None:
        """Why alerts are only in memory now, if they are."""
        return self._outbox.problem

    def counts(self) -> DeliveryCounts:
        """The counters now."""
        connection, kept, last_ack = self._connection, self._outbox.counts(), self._last_ack
        counts = connection.counts
        return DeliveryCounts(
            connected=connection.is_up,
            queued=max(0, kept.pending - self._delivery.accepted),
            unsaved=kept.unsaved,
            parked=kept.parked,
            waiting_telemetry=kept.telemetry,
            acknowledged=counts["acknowledged"],
            dropped_alerts=kept.dropped_alerts,
            dropped_telemetry=kept.dropped_telemetry + self._telemetry.dropped,
            refused_telemetry=self._telemetry.refused,
            dropped_commands=self._commands.dropped,
            reconnects=max(0, counts["connections"] - 1),
            errors=counts["errors"],
            last_ack_age_s=None if last_ack is None else monotonic() - last_ack,
            problem=connection.problem,
            outbox_problem=self._outbox.problem,
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

    # In paho's network thread: what a ``Listener`` is told is passed on.

    def came_online(self, receive_maximum: int) -> None:
        self._work.put(lambda: self._come_online(receive_maximum))

    def went_offline(self) -> None:
        self._work.put(self._go_offline)

    def acknowledged(self, packet: int, reason: int, text: str) -> None:
        self._work.put(lambda: self._take_acknowledgement(packet, reason, text))

    def subscription_refused(self, reason: ReasonCode) -> None:
        topics = " or ".join([self._commands.topic, *self._retained.listens_to])
        _log.warning(
            "%s: refuses to tell of %s: %s; check its access rules",
            *(self._connection.where, topics, reason),
        )

    def arrived(self, message: MQTTMessage) -> None:
        if not self._retained.arrived(message):
            self._commands.arrived(message)

    def start_over(self) -> None:
        self._work.put(self._start_over)

    # In the sender thread.

    def _run(self) -> None:
        next_tick = monotonic() + _TICK_S
        while True:
            self.rounds.came("mqtt-sender")
            wait_s = max(0.0, next_tick - monotonic())
            if self._online and self._telemetry.backlog:
                wait_s = min(wait_s, _REPLAY_TICK_S)
            try:
                work: Callable[[], None] | None = self._work.get(timeout=wait_s)
            except queue.Empty:
                work = None
            finished = False
            try:
                if monotonic() >= next_tick:
                    next_tick = monotonic() + _TICK_S
                    self._tick()
                if work is not None:
                    work()
                self._deliver()
                finished = self._deadline is not None and self._is_finished()
            except Exception:
                _log.exception(
                    "%s: delivery failed; alerts may be sent again", self._connection.where
                )
                self._connection.count("errors")
                self._start_over()
            if finished or (self._deadline is not None and monotonic() >= self._deadline):
                self._leave()
                self.rounds.left("mqtt-sender")
                return

    def _deliver(self) -> None:
        self._delivery.settle()
        self._telemetry.write()
        if self._online:
            self._delivery.feed()
            if self._telemetry.backlog:
                self._telemetry.replay()

    def _tick(self) -> None:
        """Once a second, also where there is no end of work."""
        self._outbox.save()
        self._connection.revive()
        if self._refuses_alerts and monotonic() - self._refused_s > self._refused_retry_s:
            self._refused_s = monotonic()
            self._try_refused()
        if self._online and self._delivery.silent_s() > self._most_silent_s:
            self._connection.tell("acknowledges no alerts, though it is there; connecting again")
            self._delivery.connected()  # the next one has its time
            self._connection.cut()

    def _come_online(self, receive_maximum: int) -> None:
        self._online = True
        # A broker cuts off a client that exceeds its maximum.
        share = {name: max(1, most * receive_maximum // 20) for name, most in _SHARES.items()}
        if receive_maximum >= 20:
            share = _SHARES
        self._delivery.window = share["alerts"]
        self._telemetry.most_live, self._telemetry.most_replayed = share["live"], share["replayed"]
        self._outbox.unpark()  # what was refused may be allowed by now
        self._delivery.connected()
        self._telemetry.backlog = True
        self._send_state()
        self._commands.subscribe()
        self._retained.tell_all()

    def _start_over(self) -> None:
        self._delivery.start_over()
        self._telemetry.start_over()

    def _serve(self, answer: Answers) -> None:
        self._commands.serve(answer)
        if self._online:
            self._commands.subscribe()

    def _go_offline(self) -> None:
        self._online = False
        self._delivery.connection_lost()

    def _replace_state(self, news: dict[str, Any]) -> None:
        self._state.replace(news)
        if self._online:
            self._send_state()

    def _send_state(self) -> None:
        if self._leaving:  # whatever is still in the queue, nothing says online any more
            self._state.send_offline()
        else:
            self._state.send()

    def _begin_to_close(self, deadline: float) -> None:
        self._deadline, self._connection.is_closing = deadline, True

    def _take_acknowledgement(self, packet: int, reason: int, text: str) -> None:
        refused = f"{text}; check its access rules" if reason >= REFUSED else None
        if self._telemetry.acknowledged(packet, reason):
            answer, topic = None, f"{self._prefix}/telemetry"
        elif self._state.acknowledged(packet):
            answer, topic = None, self._state.topic
        else:
            answer, topic = self._delivery.acknowledged(packet, reason, text), self._alerts
        if answer is Answer.STRANGE:
            return
        self._last_ack = monotonic()
        if answer is Answer.NOBODY_LISTENS:
            self._connection.tell(f"nobody has subscribed to {topic}; alerts are kept")
        elif answer is Answer.LATER:
            self._connection.tell(f"asks for patience: {text}; alerts are kept")
        elif refused is not None:
            if answer is Answer.REFUSED and not self._refuses_alerts:
                self._refuses_alerts, self._refused_s = True, monotonic()
            self._connection.tell(f"refuses {topic}: {refused}")
        elif answer is Answer.DELIVERED:
            self._connection.count("acknowledged")
            self._connection.problem = None
            if self._refuses_alerts:  # no longer: its rules have changed
                self._refuses_alerts = False
                self._try_refused()

    def _try_refused(self) -> None:
        self._outbox.unpark()
        self._delivery.go_back()

    def _send_telemetry(self, topic: str, payload: bytes, replayed: bool) -> int | None:
        return self._send(topic, payload, replayed, TELEMETRY_EXPIRES_S)

    def _send_alert(self, topic: str, payload: bytes, replayed: bool) -> int | None:
        return self._send(topic, payload, replayed, None)

    def _send(
        self, topic: str, payload: bytes, replayed: bool, expires_s: int | None
    ) -> int | None:
        properties = properties_for(self._mqtt, expires_s=expires_s, replayed=replayed)
        info = self._client.publish(topic, payload, qos=1, properties=properties)
        # Without a connection, too, paho has the message now, and sends it once there is one.
        return None if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE else info.mid

    def _is_finished(self) -> bool:
        """While closing: whether waiting longer would deliver nothing more."""
        unreachable = self._connection.attempt_failed and not self._online
        return unreachable or (self._delivery.is_idle() and self._telemetry.is_idle())

    def _leave(self) -> None:
        self._leaving = True
        enough = monotonic() + 1.0
        try:
            if self._online:
                self._send_state()
            while self._online and self._state.unanswered is not None:
                self._work.get(timeout=max(0.0, enough - monotonic()))()
        except queue.Empty:
            _log.warning("%s: did not acknowledge the farewell", self._connection.where)
        self._delivery.settle(at_once=True)
        self._telemetry.write(at_once=True)
        self._connection.end()
