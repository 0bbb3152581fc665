"""What systemd is told: ready, reloading, stopping, alive, and a line about how it goes.

Where nobody listens ($NOTIFY_SOCKET is not set), nothing happens. See sd_notify(3).
"""

import logging
import math
import os
import time

from sdnotify import SystemdNotifier

from runtime.service.rounds import Rounds

log = logging.getLogger(__name__)


class ServiceManager:
    """One process's line to systemd. For one thread."""

    def __init__(self) -> None:
        self._notifier = SystemdNotifier()
        self.is_there = "NOTIFY_SOCKET" in os.environ
        self.watchdog_s = _watchdog_s()
        """How long systemd waits for ``alive`` before it ends this process; None: for ever."""
        self._fed_s = -math.inf
        self._away: str | None = None

    def ready(self) -> None:
        """The daemon's threads run."""
        self._notifier.notify("READY=1")

    def reloading(self) -> None:
        """A new configuration is being taken up; ``ready`` ends that."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        self._notifier.notify("STOPPING=1")

    def status(self, line: str) -> None:
        """What ``systemctl status`` shows."""
        self._notifier.notify(f"STATUS={line}")

    def alive(self, rounds: Rounds) -> None:
        """Feed the watchdog, unless a thread stays away; cheap enough for every round of a loop.

        A camera that is frozen is for the health to tell; a thread that hangs is for the watchdog.
        """
        if self.watchdog_s is None:
            return
        thread, away_s = rounds.longest()
        if away_s >= self.watchdog_s / 2:
            if self._away != thread:
                self._away = thread
                log.error(
                    "%s has not come round for %.0f s; if it stays away, systemd restarts this process",
                    *(thread, away_s),
                )
            return
        self._away = None
        now_s = time.monotonic()
        if now_s - self._fed_s >= self.watchdog_s / 8:
            self._fed_s = now_s
            self._notifier.notify("WATCHDOG=1")


def _watchdog_s() -> float | None:
    """systemd's own protocol: WATCHDOG_USEC, for the process that WATCHDOG_PID names."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return None
    return int(microseconds) / 1e6 or None
