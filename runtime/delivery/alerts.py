"""Which alerts are on their way to the broker, and what its answers mean. No threads, no network.

Promised is: at least once, until the broker has accepted an alert *for somebody*, in order.

- "No matching subscribers" is no delivery. The alert stays, and the oldest one is tried again every
  ``retry_s`` and with every new alert; once somebody has subscribed, all follow in order. The
  outbox's bound on rows is the only end to that.
- A refusal (reason code 0x80 and above, such as "Not authorized") parks the alert with the reason.
  "Quota exceeded" and "Packet identifier in use" pass by themselves and are tried again instead.
- After a lost connection, paho sends again what it was not answered for, before anything newer. A
  consumer may therefore see an alert twice, and tells it by ``event_id``, ``type``, ``sequence``.
- A broker acknowledges before its disk has the message, and may be killed in between. So an accepted alert
  stays in the outbox for another ``keep_s``, and is sent again if the connection is lost within that time.
  What the broker had lost then arrives after what was on its way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import takewhile
from time import monotonic

from runtime.delivery.outbox import Outbox

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
        keep_s: float = 0.0,
    ) -> None:
        """Nothing is sent before ``feed``.

        Args:
            outbox: where the alerts wait.
            send: hands topic and payload to the network with QoS 1, and whether the alert had to wait
                for a connection; returns the packet id, or None when it takes no more.
            window: how many alerts may be unacknowledged.
            retry_s: when to try again what nobody listened to.
            keep_s: how long the broker may take to write what it accepted to its disk.
        """
        self.window = window
        self.held = False
        """Whether alerts wait because nobody listens or the broker asked for patience."""
        self.replayed_up_to = 0
        """Alerts up to this row waited for the connection."""
        self._outbox = outbox
        self._send = send
        self._retry_s = retry_s
        self._keep_s = keep_s
        self._progress_s = 0.0
        self._in_flight: dict[int, int] = {}  # packet id -> row
        self._accepted: dict[int, float] = {}  # row -> since when, oldest first
        self._refused: dict[int, str] = {}  # row -> why
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
        while (room := (1 if self.held else self.window) - len(self._in_flight)) > 0:
            rows = self._outbox.pending(room, after=self._sent_up_to)
            for row in rows:
                if row.id not in self._accepted and row.id not in self._refused:
                    packet = self._send(row.topic, row.payload, row.id <= self.replayed_up_to)
                    if packet is None:
                        return
                    if not self._in_flight:
                        self._progress_s = monotonic()
                    self._in_flight[packet] = row.id
                self._sent_up_to = row.id
            if not rows:
                return

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
            self._refused[row] = text
            return Answer.REFUSED
        self._accepted[row] = monotonic()
        self.held = False
        self._hold_until = 0.0
        return Answer.DELIVERED

    @property
    def accepted(self) -> int:
        """How many alerts are in the outbox only in case that the broker loses them."""
        return len(self._accepted)

    def settle(self, *, at_once: bool = False) -> None:
        """Write the answers to the outbox: those of ``keep_s`` ago, or all.

        What cannot be written is kept for the next call: without that memory, a full disk would
        have the same alert sent again and again.
        """
        # While the disk takes nothing, there is little room for alerts, and none for delivered ones.
        keep_s = 0.0 if at_once or self._outbox.problem is not None else self._keep_s
        latest = monotonic() - keep_s
        due = list(takewhile(lambda row: self._accepted[row] <= latest, self._accepted))
        if due and self._outbox.done(due):
            for row in due:
                del self._accepted[row]
        for row, reason in list(self._refused.items()):
            if self._outbox.park(row, reason):
                del self._refused[row]

    def try_now(self) -> None:
        """There is a new alert or a new connection: do not wait for ``retry_s``."""
        self._hold_until = 0.0

    def connection_lost(self) -> None:
        """paho will send again what is in flight, and this what the broker may have lost."""
        latest = monotonic() - self._keep_s
        self._accepted = {row: since for row, since in self._accepted.items() if since <= latest}
        self.go_back()

    def connected(self) -> None:
        """What is in the outbox by now had to wait for this connection."""
        self.replayed_up_to = self._outbox.newest_id()
        self._progress_s = monotonic()
        self.connection_lost()  # nobody may have noticed
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
        return self.held or not (
            self._in_flight or self._refused or self._outbox.counts().pending > self.accepted
        )
