"""Which way telemetry goes: at once while the broker answers, else over the disk, later, at a measured pace.

What happens now is never held up by what happened before: new telemetry does not queue behind old, and old
telemetry takes only its share of what may be unanswered. Promised is less than for alerts: what was not
answered when the process ends, and what the disk has no room for, is lost; the latter is counted.
"""

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from runtime.delivery.alerts import PASSING, REFUSED
from runtime.delivery.outbox import Kind, Outbox

MOST_SOON = 256
"""Messages that wait for the broker's answers to those before them: a burst of reports, some seconds of a slow
line."""
MOST_IN_MEMORY = 4096
"""Messages that wait for the disk, which takes them once a second; more are dropped, and counted."""
_WRITE_EVERY_S = 0.5
"""Each write waits for the disk to have it."""


class TelemetryDelivery:
    """``publish`` is for any thread, all else for the sender's. Knows no network."""

    def __init__(
        self,
        outbox: Outbox,
        send: Callable[[str, bytes, bool], int | None],
        *,
        is_connected: Callable[[], bool],
        replay_hz: float,
        retry_s: float,
    ) -> None:
        """Nothing is sent yet.

        Args:
            outbox: where it waits.
            send: hands topic and payload to the network with QoS 1, and whether it had to wait; returns the
                packet id, or None when the network takes no more.
            is_connected: whether there is a connection now; without one everything goes to the disk.
            replay_hz: most messages a second from the disk.
            retry_s: how long to wait for a broker that asked for patience.
        """
        self.most_live, self.most_replayed = 1, 1
        """How many of either may be unanswered."""
        self.dropped = 0
        """Messages that came faster than the disk takes them."""
        self.refused = 0
        """Messages that the broker refused; they are not kept."""
        self.backlog = True
        """Whether something may wait on the disk."""
        self._outbox, self._send = outbox, send
        self._is_connected = is_connected
        self._replay_hz, self._retry_s = replay_hz, retry_s
        self._lock = threading.Lock()
        self._soon: deque[tuple[str, bytes, str]] = deque()  # topic, payload, topic for later
        self._to_keep: deque[tuple[str, bytes]] = deque()
        self._live: set[int] = set()  # packet ids
        self._replayed: dict[int, int] = {}  # packet id -> row
        self._answered: list[int] = []
        self._sent_up_to = 0
        self._allowed, self._allowed_s = 0.0, 0.0
        self._write_s = 0.0
        self._hold_until_s = 0.0

    def publish(self, topic: str, payload: bytes, *, later: str) -> None:
        """Send now, or keep and send to the topic ``later``. Never waits for disk or network."""
        with self._lock:
            if self._is_connected() and len(self._soon) < MOST_SOON:
                self._soon.append((topic, payload, later))
                self._send_soon()
            elif len(self._to_keep) < MOST_IN_MEMORY:
                self._to_keep.append((later, payload))
            else:
                self.dropped += 1

    def write(self, *, at_once: bool = False) -> None:
        """Now and then: put on the disk what has to wait, and take off it what was answered.

        ``at_once``: all of it, since this is the end.
        """
        if not (at_once or monotonic() >= self._write_s):
            return
        self._write_s = monotonic() + _WRITE_EVERY_S
        with self._lock:
            messages = list(self._to_keep)
            if at_once or not self._is_connected():
                messages = [(later, payload) for _, payload, later in self._soon] + messages
                self._soon.clear()
            self._to_keep.clear()
        if messages:
            self._outbox.put_telemetry(messages)
            self.backlog = True
        if self._answered and self._outbox.done(self._answered):
            self._answered.clear()

    def replay(self) -> None:
        """Send what waits on the disk, oldest first, as far as pace and window allow."""
        now_s = monotonic()
        passed_s, self._allowed_s = now_s - self._allowed_s, now_s
        self._allowed = min(
            max(1.0, self._replay_hz / 10), self._allowed + passed_s * self._replay_hz
        )
        room = min(self.most_replayed - len(self._replayed), int(self._allowed))
        if room <= 0 or now_s < self._hold_until_s:
            return
        rows = self._outbox.pending(room, after=self._sent_up_to, kind=Kind.TELEMETRY)
        if not rows and not self._replayed and not self._answered:
            self.backlog = False
        known = {*self._replayed.values(), *self._answered}
        for row in rows:
            if row.id in known:
                self._sent_up_to = row.id
                continue
            packet = self._send(row.topic, row.payload, True)
            if packet is None:
                return
            self._replayed[packet] = row.id
            self._sent_up_to = row.id
            self._allowed -= 1

    def acknowledged(self, packet: int, reason: int) -> bool:
        """Take in the broker's answer; whether it is about telemetry."""
        with self._lock:
            is_live = packet in self._live
            self._live.discard(packet)
            if is_live:
                self._send_soon()
        row = self._replayed.pop(packet, None)
        if row is not None:
            if reason in PASSING:
                self._hold_until_s = monotonic() + self._retry_s
                self._sent_up_to = min(self._sent_up_to, row - 1)
            else:
                self._answered.append(row)
        self.refused += reason >= REFUSED and reason not in PASSING
        return is_live or row is not None

    def start_over(self) -> None:
        """Something unforeseen happened: trust the outbox only, and send again what is in it."""
        with self._lock:
            self._live.clear()
        self._replayed.clear()
        self._sent_up_to = 0

    def is_idle(self) -> bool:
        """Whether nothing is unanswered, and nothing has to be written."""
        return not (self._soon or self._live or self._replayed or self._to_keep)

    def _send_soon(self) -> None:
        """With the lock: as many as the window has room for."""
        while self._soon and len(self._live) < self.most_live:
            topic, payload, _ = self._soon[0]
            packet = self._send(topic, payload, False)
            if packet is None:
                return
            self._soon.popleft()
            self._live.add(packet)
