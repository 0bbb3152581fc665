"""Publishes state, telemetry and alerts over MQTT 5, without ever making a camera wait.

Promised for alerts: at least once, until the broker has accepted them *for somebody*. They go into
the outbox first and leave it only when the broker acknowledges them with success:

- "No matching subscribers" is no delivery. The alert stays, and the oldest one is tried again every
  ``unheard_retry_s`` and with every new alert; once somebody has subscribed all follow in order.
  The outbox's bound on rows is the only end to that.
- A refusal (reason code 0x80 and above, such as "Not authorized") parks the alert with the reason.
  "Quota exceeded" and "Packet identifier in use" pass by themselves and are tried again instead.
- After a lost connection, everything that was sent and not acknowledged is sent again before
  anything newer. A consumer may therefore see an alert twice, and tells it by ``event_id``, ``type``
  and ``sequence``.

Three threads meet here. Callers put alerts into the outbox and an event into a queue. paho's network
thread only turns its callbacks into events. One sender thread owns everything else.
"""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, ParamSpec

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from failure import Failure
from runtime.config import Mqtt
from runtime.messages import AlertMessage, State, Telemetry
from runtime.outbox import Outbox

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")

_NOBODY_LISTENS = 0x10
_REFUSED = 0x80
_PASSING = (0x91, 0x97)  # packet identifier in use, quota exceeded
_TICK_S = 1.0
_TELEMETRY_EXPIRES_S = 60


@dataclass(frozen=True, slots=True)
class Delivery:
    """How delivery goes. It is healthy while ``queued`` is 0 or ``last_ack_age_s`` stays small."""

    connected: bool
    queued: int
    """Alerts in the outbox that are to be delivered."""
    parked: int
    """Alerts in the outbox that the broker refused."""
    acknowledged: int
    """Alerts that the broker accepted for somebody."""
    dropped_alerts: int
    """Alerts lost because the outbox was full or could not be written."""
    dropped_telemetry: int
    reconnects: int
    errors: int
    """Exceptions that were caught so that delivery goes on: each is a defect, and logged."""
    last_ack_age_s: float | None
    """Time since the broker's newest acknowledgement of anything; None before the first."""
    problem: str | None
    """Why the broker does not accept this client or its messages, when it does not."""


@dataclass(frozen=True, slots=True)
class _Connected:
    receive_maximum: int


@dataclass(frozen=True, slots=True)
class _Disconnected:
    pass


@dataclass(frozen=True, slots=True)
class _Acknowledged:
    mid: int
    reason: int
    text: str


@dataclass(frozen=True, slots=True)
class _NewAlert:
    pass


@dataclass(frozen=True, slots=True)
class _NewState:
    state: State


@dataclass(frozen=True, slots=True)
class _StartOver:
    """Something unforeseen happened: trust the outbox only, and send again what is in it."""


@dataclass(frozen=True, slots=True)
class _Close:
    deadline: float


_Event = _Connected | _Disconnected | _Acknowledged | _NewAlert | _NewState | _StartOver | _Close


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
            name: the camera's name, the second part of every topic.
            outbox: where alerts wait; it stays the caller's to close, after this publisher.
            state: what ``state`` tells while this publisher is connected.
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
        self._window = self._full_window = window
        self._unheard_retry_s = unheard_retry_s
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._count_lock = threading.Lock()
        self._acknowledged = self._dropped_alerts = self._dropped_telemetry = 0
        self._connections = self._errors = 0
        self._last_ack: float | None = None
        self._connected = False
        self._unreachable = False
        self._problem: str | None = None
        # The sender thread's own:
        self._in_flight: dict[int, int | None] = {}  # packet id -> row, None for the state
        self._settled: dict[int, str | None] = {}  # row -> why to park it, None when delivered
        self._sent_up_to = 0
        self._draining = False
        self._unheard = False
        self._hold_until = 0.0
        self._deadline: float | None = None
        self._client = self._make_client()
        self._sender = threading.Thread(target=self._run, name="mqtt-sender", daemon=True)

    def start(self) -> None:
        """Begin to connect, and go on trying for as long as it takes. Returns at once."""
        self._client.connect_async(self._mqtt.host, self._mqtt.port, self._mqtt.keepalive_s)
        self._client.loop_start()
        self._sender.start()

    def publish_alert(self, message: AlertMessage) -> None:
        """Keep an alert on disk, to be delivered as soon as the broker accepts it.

        Where the disk cannot take it, it is sent at once without that safety, and counted as
        dropped when that is impossible too.
        """
        topic, payload = f"{self._prefix}/alerts", message.model_dump_json().encode()
        try:
            self._outbox.put(topic, payload)
        except Failure as failure:
            _log.error("an alert cannot be kept on disk and is sent without safety: %s", failure)
            if not self._connected:
                self._count(dropped_alerts=1)
                return
            self._client.publish(topic, payload, qos=1, properties=_properties())
        else:
            self._events.put(_NewAlert())

    def publish_telemetry(self, message: Telemetry) -> None:
        """Send telemetry if there is a connection; else drop and count it."""
        if self._connected:
            info = self._client.publish(
                f"{self._prefix}/telemetry/{message.region}",
                message.model_dump_json().encode(),
                qos=0,
                properties=_properties(expires_s=_TELEMETRY_EXPIRES_S),
            )
            if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
        self._count(dropped_telemetry=1)

    def announce(self, state: State) -> None:
        """Replace the retained state, for example once the engine is known."""
        self._events.put(_NewState(state))

    def delivery(self) -> Delivery:
        """The counters now.

        Raises:
            Failure: the outbox cannot be read.
        """
        kept = self._outbox.counts()
        last_ack = self._last_ack
        return Delivery(
            connected=self._connected,
            queued=kept.pending,
            parked=kept.parked,
            acknowledged=self._acknowledged,
            dropped_alerts=self._dropped_alerts + kept.dropped_parked + kept.dropped_pending,
            dropped_telemetry=self._dropped_telemetry,
            reconnects=max(0, self._connections - 1),
            errors=self._errors,
            last_ack_age_s=None if last_ack is None else monotonic() - last_ack,
            problem=self._problem,
        )

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what can be delivered, say ``offline``, disconnect; what is left stays on disk.

        It takes ``timeout_s`` at most and a second for the farewell, and does not wait for a broker
        that cannot be reached or for alerts that nobody listens to.
        """
        if not self._sender.is_alive():
            return
        self._events.put(_Close(monotonic() + timeout_s))
        self._sender.join(timeout_s + 2.0)

    # paho's network thread. An exception here would end that thread, and with it all delivery,
    # while paho goes on telling that it is connected.

    def _guarded(self, callback: Callable[_P, None]) -> Callable[_P, None]:
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
            try:
                callback(*args, **kwargs)
            except Exception:
                _log.exception("%s: an MQTT callback failed; unacknowledged alerts are sent again")
                self._count(errors=1)
                self._events.put(_StartOver())

        return guarded

    def _on_connect(
        self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Properties
    ) -> None:
        if reason.is_failure:
            self._tell(f"refuses this client: {reason}; check mqtt.username and mqtt.password_file")
            return
        self._problem = None
        self._unreachable = False
        self._connected = True
        self._count(connections=1)
        _log.info("%s: connected", self._where)
        self._events.put(_Connected(getattr(properties, "ReceiveMaximum", 65_535)))

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._unreachable = True
        self._tell("cannot be reached; alerts wait on disk, and it is tried again all the time")

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties
    ) -> None:
        if self._connected:
            self._connected = False
            if self._deadline is None:
                self._tell(f"connection lost: {reason}; connecting again")
            self._events.put(_Disconnected())

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        self._events.put(_Acknowledged(mid, reason.value, str(reason)))

    # The sender thread.

    def _run(self) -> None:
        tick = monotonic()
        while True:
            try:
                event = self._events.get(timeout=max(0.0, tick + _TICK_S - monotonic()))
            except queue.Empty:
                event = None
            try:
                if event is not None:
                    self._handle(event)
                if monotonic() >= tick + _TICK_S:
                    tick = monotonic()
                    self._revive()
                self._settle()
                self._feed()
                if self._deadline is not None and self._may_leave(self._deadline):
                    self._leave()
                    return
            except Failure as failure:  # the outbox; it may have room again in a while
                self._tell_outbox(failure)
            except Exception:
                _log.exception("MQTT delivery failed; unacknowledged alerts are sent again")
                self._count(errors=1)
                self._start_over()

    def _handle(self, event: _Event) -> None:
        match event:
            case _Connected(receive_maximum):
                # One place is for the state; a broker cuts off a client that exceeds its maximum.
                self._window = max(1, min(self._full_window, receive_maximum - 1))
                self._hold_until = 0.0
                self._send_state(self._state)
            case _Disconnected():
                # paho sends what was in flight again; nothing newer may overtake that.
                self._draining = bool(self._in_flight)
            case _Acknowledged(mid, reason, text):
                self._take_acknowledgement(mid, reason, text)
            case _NewAlert():
                if self._unheard:
                    self._hold_until = 0.0
            case _NewState(state):
                self._state = state
                self._set_will()
                if self._connected:
                    self._send_state(state)
            case _StartOver():
                self._start_over()
            case _Close(deadline):
                self._deadline = deadline

    def _take_acknowledgement(self, mid: int, reason: int, text: str) -> None:
        if mid not in self._in_flight:  # telemetry, or sent before a start-over
            return
        row = self._in_flight.pop(mid)
        self._last_ack = monotonic()
        if row is None:
            if reason >= _REFUSED:
                self._tell(f"refuses the state: {text}; check its access rules for {self._prefix}")
        elif reason in _PASSING or reason == _NOBODY_LISTENS:
            if reason == _NOBODY_LISTENS and not self._unheard:
                self._tell(f"nobody has subscribed to {self._prefix}/alerts; alerts are kept")
            self._unheard = True
            self._draining = True  # go back to the oldest, once all answers are in
            self._hold_until = monotonic() + self._unheard_retry_s
        elif reason >= _REFUSED:
            self._settled[row] = text
            self._tell(f"refuses alerts: {text}; check its access rules for {self._prefix}")
        else:
            self._settled[row] = None
            self._count(acknowledged=1)
            self._problem = None
            if self._unheard:
                self._unheard = False
                self._hold_until = 0.0

    def _settle(self) -> None:
        """Write to the outbox what the broker has answered; what fails is kept for the next try.

        Without that memory, a full disk would have the same alert sent every second.
        """
        for row, refusal in list(self._settled.items()):
            if refusal is None:
                self._outbox.done(row)
            else:
                self._outbox.park(row, refusal)
            del self._settled[row]

    def _feed(self) -> None:
        """Send the next alerts, oldest first, as far as the window has room."""
        if self._draining and not self._in_flight:
            self._draining = False
            self._sent_up_to = 0
        if self._draining or not self._connected or monotonic() < self._hold_until:
            return
        room = (1 if self._unheard else self._window) - len(self._in_flight)
        if room <= 0:
            return
        for row in self._outbox.pending(room, after=self._sent_up_to):
            info = self._client.publish(row.topic, row.payload, qos=1, properties=_properties())
            if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                return
            # Without a connection, too, paho has it now and sends it once there is one.
            self._in_flight[info.mid] = row.id
            self._sent_up_to = row.id

    def _start_over(self) -> None:
        self._in_flight.clear()
        self._sent_up_to = 0
        self._draining = False

    def _revive(self) -> None:
        """Start paho's network thread again if it has died; this does nothing while it lives."""
        if self._client.loop_start() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            _log.error("%s: the network thread had died and was started again", self._where)
            self._count(errors=1)

    def _send_state(self, state: State) -> int:
        info = self._client.publish(
            f"{self._prefix}/state",
            state.model_dump_json().encode(),
            qos=1,
            retain=True,
            properties=_properties(),
        )
        self._in_flight[info.mid] = None
        return info.mid

    def _may_leave(self, deadline: float) -> bool:
        if monotonic() >= deadline or self._unreachable or self._unheard:
            return True
        return not self._in_flight and self._outbox.counts().pending == 0 and self._connected

    def _leave(self) -> None:
        if self._connected:
            mid = self._send_state(_offline(self._state))
            enough = monotonic() + 1.0
            while mid in self._in_flight and (left := enough - monotonic()) > 0:
                try:
                    self._handle(self._events.get(timeout=left))
                except queue.Empty:
                    break
            self._settle()
        self._client.disconnect()
        self._client.loop_stop()

    # Shared.

    def _make_client(self) -> Client:
        mqtt = self._mqtt
        try:
            mqtt.host.encode("idna")  # what paho's thread would die of
        except UnicodeError:
            raise Failure(f'mqtt.host = "{mqtt.host}": is not a host name; correct it') from None
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"tremorscope-{self._prefix.replace('/', '-')}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        if mqtt.username is not None:
            client.username_pw_set(mqtt.username, _password(mqtt.password_file))
        elif mqtt.password_file is not None:
            raise Failure("mqtt.password_file is given without mqtt.username; add the user's name")
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.on_connect = self._guarded(self._on_connect)
        client.on_connect_fail = self._guarded(self._on_connect_fail)
        client.on_disconnect = self._guarded(self._on_disconnect)
        client.on_publish = self._guarded(self._on_publish)
        self._client = client
        self._set_will()
        return client

    def _set_will(self) -> None:
        self._client.will_set(
            f"{self._prefix}/state",
            _offline(self._state).model_dump_json().encode(),
            qos=1,
            retain=True,
        )

    def _tell(self, problem: str) -> None:
        """Log a problem with the broker when it is a new one: a dead broker is told once."""
        if problem != self._problem:
            self._problem = problem
            _log.warning("%s: %s", self._where, problem)

    def _tell_outbox(self, failure: Failure) -> None:
        if str(failure) != self._problem:
            self._problem = str(failure)
            _log.error("%s", failure)

    def _count(self, **more: int) -> None:
        with self._count_lock:
            for name, number in more.items():
                attribute = f"_{name}"
                setattr(self, attribute, getattr(self, attribute) + number)


def _properties(expires_s: int | None = None) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "application/json"
    if expires_s is not None:
        properties.MessageExpiryInterval = expires_s
    return properties


def _offline(state: State) -> State:
    return state.model_copy(update={"state": "offline"})


def _password(path: Path | None) -> str | None:
    """The first line of the password file, which is all that it should hold."""
    if path is None:
        return None
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except FileNotFoundError:
        raise Failure(
            f"mqtt.password_file: there is no file {path}; write the password into it"
        ) from None
    except OSError as error:
        raise Failure(
            f"mqtt.password_file: {path} cannot be read ({error.strerror}); let the daemon's user "
            "read it"
        ) from None
    except UnicodeDecodeError:
        raise Failure(f"mqtt.password_file: {path} is not UTF-8; save it as UTF-8") from None
    if not password:
        raise Failure(f"mqtt.password_file: {path} is empty; write the password into it")
    return password
