"""What was told last, kept for those who ask: the newest telemetry, the open alerts, the camera's health."""

import threading
from collections import deque
from collections.abc import Sequence

from runtime.alerts.condition import AlertStep
from runtime.measurement import message_of
from runtime.messages import AlertMessage, Telemetry

KEPT_ENDED = 50
"""Ended alerts that are kept."""


class Told:
    """One thread tells, any thread asks. What is kept is bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, AlertMessage] = {}
        self._ended: deque[AlertMessage] = deque(maxlen=KEPT_ENDED)
        self._problems: tuple[str, ...] = ()
        self._reports: dict[str, Telemetry] = {}

    def alert(self, message: AlertMessage) -> None:
        """A step in the life of an alert."""
        with self._lock:
            if message.type == "end":
                self._open.pop(message.event_id, None)
                self._ended.append(message)
            else:
                self._open[message.event_id] = message

    def telemetry(self, message: Telemetry) -> None:
        with self._lock:
            self._reports[message.region] = message

    def judged(self, problems: tuple[str, ...], steps: Sequence[AlertStep]) -> None:
        """What is wrong with the camera, and the alerts that are open: some since an earlier process."""
        with self._lock:
            self._problems = problems
            for step in steps:
                if step.event_id not in self._open:
                    self._open[step.event_id] = message_of(step)

    @property
    def problems(self) -> tuple[str, ...]:
        """The names of what is wrong with the camera."""
        return self._problems

    def open_alerts(self) -> tuple[AlertMessage, ...]:
        """The newest message of each alert that has not ended, oldest alert first."""
        with self._lock:
            return tuple(self._open.values())

    def ended_alerts(self) -> tuple[AlertMessage, ...]:
        """The last message of the newest KEPT_ENDED alerts that have ended, oldest end first."""
        with self._lock:
            return tuple(self._ended)

    def newest(self) -> tuple[Telemetry, ...]:
        """The newest report of each region."""
        with self._lock:
            return tuple(self._reports.values())
