"""Which alerts are on their way to the broker, and what its answers mean. No threads, no network.

Promised is: at least once, until the broker has accepted an alert *for somebody*, in order.

- "No matching subscribers" is no delivery. The alert stays, and the oldest one is tried again every
  ``retry_s`` and with every new alert; once somebody has subscribed, all follow in order. The
  outbox's bound on rows is the only end to that.
- A refusal (reason code 0x80 and above, such as "Not authorized") parks the alert with the reason.
  "Quota exceeded" and "Packet identifier in use" pass by themselves and are tried again instead.
- After a lost connection, paho sends again what it was not answered for, before anything newer. A
  consumer may therefore see an alert twice, and tells it by ``event_id``, ``type``, ``sequence``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from time import monotonic

from runtime.outbox import Outbox

REFUSED = 0x80
"""The first MQTT 5 reason code that is a failure."""
_NOBODY_LISTENS = 0x10
PASSING = (0x91, 0x97)
"""Packet identifier in use, quota exceeded: to be tried again."""


class Answer(Enum):
    """What an acknowledgement said about an alert."""

    DELIVERED = auto()
    NOBODY_LISTENS = auto()
    LATER = auto()
    REFUSED = auto()
    STRANGE = auto()
    """Not of an alert that is on its way."""


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """How delivery goes. It is healthy while ``queued`` is 0 or ``last_ack_age_s`` stays small."""

    connected: bool
    queued: int
    """Alerts that are to be delivered."""
    unsaved: int
    """Those of them that are only in memory, because the disk cannot take them."""
    parked: int
    """Messages that the broker refused, or that the disk damaged."""
    waiting_telemetry: int
    """Telemetry on the disk that waits for its turn."""
    acknowledged: int
    """Alerts that the broker accepted for somebody."""
    dropped_alerts: int
    """Alerts lost because there was no room for them, parked ones too."""
    dropped_telemetry: int
    refused_telemetry: int
    """Telemetry that the broker refused."""
    dropped_commands: int
    """Commands that came faster than they could be carried out."""
    reconnects: int
    errors: int
    """Exceptions that were caught so that delivery goes on: each is a defect, and logged."""
    last_ack_age_s: float | None
    """Time since the broker's newest acknowledgement of anything; None before the first."""
    problem: str | None
    """Why the broker does not take this client or its messages, when it does not."""
    outbox_problem: str | None
    """Why the disk takes no messages, when it does not; alerts are in memory then."""


class AlertDelivery:
    """A window of unacknowledged alerts that moves along the outbox. For one thread only."""

    def __init__(
        self,
        outbox: Outbox,
        send: Callable[[str, bytes, bool], int | None],
        *,
        window: int,
        retry_s: float,
    ) -> None:
        """Nothing is sent before ``feed``.

        Args:
            outbox: where the alerts wait.
            send: hands topic and payload to the network with QoS 1, and whether the alert had to wait
                for a connection; returns the packet id, or None when it takes no more.
            window: how many alerts may be unacknowledged.
            retry_s: when to try again what nobody listened to.
        """
        self.window = window
        self.held = False
        """Whether alerts wait because nobody listens or the broker asked for patience."""
        self.replayed_up_to = 0
        """Alerts up to this row waited for the connection."""
        self._outbox = outbox
        self._send = send
        self._retry_s = retry_s
        self._progress_s = 0.0
        self._in_flight: dict[int, int] = {}  # packet id -> row
        self._settled: dict[int, str | None] = {}  # row -> why to park it; None when delivered
        self._sent_up_to = 0
        self._draining = False
        self._hold_until = 0.0

    def feed(self) -> None:
        """Send the next alerts, oldest first, as far as the window has room."""
        if self._draining and not self._in_flight:
            self._draining = False
            self._sent_up_to = 0
        if self._draining or monotonic() < self._hold_until:
            return
        room = (1 if self.held else self.window) - len(self._in_flight)
        if room <= 0:
            return
        for row in self._outbox.pending(room, after=self._sent_up_to):
            if row.id not in self._settled:
                packet = self._send(row.topic, row.payload, row.id <= self.replayed_up_to)
                if packet is None:
                    return
                if not self._in_flight:
                    self._progress_s = monotonic()
                self._in_flight[packet] = row.id
            self._sent_up_to = row.id

    def acknowledged(self, packet: int, reason: int, text: str) -> Answer:
        """Take in the broker's answer; ``settle`` writes it to the outbox."""
        if packet not in self._in_flight:
            return Answer.STRANGE
        row = self._in_flight.pop(packet)
        self._progress_s = monotonic()
        if reason in PASSING or reason == _NOBODY_LISTENS:
            self.held = True
            self._draining = True  # back to the oldest, once all answers are in
            self._hold_until = monotonic() + self._retry_s
            return Answer.NOBODY_LISTENS if reason == _NOBODY_LISTENS else Answer.LATER
        if reason >= REFUSED:
            self._settled[row] = text
            return Answer.REFUSED
        self._settled[row] = None
        self.held = False
        self._hold_until = 0.0
        return Answer.DELIVERED

    def settle(self) -> None:
        """Write the answers to the outbox.

        What cannot be written is kept for the next call: without that memory, a full disk would
        have the same alert sent again and again.
        """
        delivered = [row for row, refusal in self._settled.items() if refusal is None]
        if delivered and self._outbox.done(delivered):
            for row in delivered:
                del self._settled[row]
        for row, refusal in list(self._settled.items()):
            if refusal is not None and self._outbox.park(row, refusal):
                del self._settled[row]

    def try_now(self) -> None:
        """There is a new alert or a new connection: do not wait for ``retry_s``."""
        self._hold_until = 0.0

    def connection_lost(self) -> None:
        """paho will send again what is in flight; nothing newer may overtake that."""
        self._draining = bool(self._in_flight)

    def connected(self) -> None:
        """What is in the outbox by now had to wait for this connection."""
        self.replayed_up_to = self._outbox.newest_id()
        self._progress_s = monotonic()
        self.go_back()
        self.try_now()

    def go_back(self) -> None:
        """There may be older alerts to deliver than those on their way: begin at the oldest again."""
        self._draining = True

    def start_over(self) -> None:
        """Something unforeseen happened: trust the outbox only, and send again what is in it."""
        self._in_flight.clear()
        self._sent_up_to = 0
        self._draining = False

    def silent_s(self) -> float:
        """How long an answer has been waited for."""
        return monotonic() - self._progress_s if self._in_flight else 0.0

    def is_idle(self) -> bool:
        """Whether every alert has its answer, or waits for somebody to listen."""
        return self.held or not (self._in_flight or self._settled or self._outbox.pending(1))
