"""The life of one condition: candidate, open, ended; with hold times, latch, hold-off, longest time.

Verdicts go in, changes come out; what was judged is none of its business. All times are capture
times in seconds. A missing reading is its own verdict: it neither raises nor ends. It pauses the
hold timers, and the time up to the next reading is not counted either. A time that is not later
than the one before (a file that starts over, another process) restarts the hold timers and moves the
life along with the clock: how long an alert has been open does not change.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal
from uuid import uuid4

Kind = Literal["new", "update", "end", "suppressed"]

CLEARED = "below the clear threshold"
TOO_LONG = "too long"
ACKNOWLEDGED = "acknowledged"
WAITS = "below the clear threshold, waits for acknowledgement"
ABOVE_AGAIN = "above the threshold again"
HOLD_OFF = "hold-off after the alert before"
STILL_TOO_LONG = "too long: has not been below the clear threshold since"

_ROUNDING_S = 1e-9  # sums of time steps must not miss a round number


class Verdict(Enum):
    """Where a reading is: beyond the raise threshold, back below the clear threshold, between."""

    ABOVE = auto()
    BETWEEN = auto()
    BELOW = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Timing:
    """How long what must hold; ``longest_s`` None is without end. A latch waits for a person."""

    raise_after_s: float
    clear_after_s: float
    hold_off_s: float = 0.0
    longest_s: float | None = None
    latch: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be told; ``suppressed`` is an alert that would have been raised."""

    kind: Kind
    started_s: float
    reason: str | None = None


@dataclass(slots=True)
class Life:
    """One condition's life. Its fields are all that a later process needs to go on with it."""

    event_id: str | None = None
    """Of the open alert; None while none is open."""
    started_s: float | None = None
    """When the candidate or the open alert began."""
    raised_s: float | None = None
    ended_s: float | None = None
    """When the last alert ended; None once its hold-off is over."""
    held_s: float = 0.0
    """Time on the side that would change something."""
    acknowledged: bool = False
    cleared: bool = False
    """Open, but only because nobody has acknowledged it."""
    too_long: bool = False
    """Ended for its length, and not below the clear threshold since."""
    refused: str | None = None
    """Why the present candidate is not raised, as it was recorded."""
    counting: bool = False
    last_s: float | None = None

    def update(
        self, t_s: float, verdict: Verdict, timing: Timing, blocked: str | None = None
    ) -> Change | None:
        """Judge at ``t_s``; ``blocked`` says why no alert may be raised now, when none may."""
        if self.last_s is not None and t_s <= self.last_s:
            self.shift(t_s - self.last_s)
            self._restart_timer()
        passed_s = 0.0 if self.last_s is None else t_s - self.last_s
        self.last_s = t_s
        if self.event_id is not None:
            return self._open(t_s, passed_s, verdict, timing)
        if self.too_long:
            return self._spent(passed_s, verdict, timing)
        return self._candidate(t_s, passed_s, verdict, timing, blocked)

    def acknowledge(self) -> Change:
        """A person has seen the open alert: it ends now, or as soon as it is below."""
        assert self.event_id is not None, "only an open alert can be acknowledged"
        self.acknowledged = True
        if self.cleared:
            return self._end(self.last_s, ACKNOWLEDGED)
        return self._change("update", ACKNOWLEDGED)

    def shift(self, by_s: float) -> None:
        """The clock has jumped by ``by_s``; nothing is younger or older for it."""
        for name in ("started_s", "raised_s", "ended_s", "last_s"):
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, value + by_s)

    def _candidate(
        self, t_s: float, passed_s: float, verdict: Verdict, timing: Timing, blocked: str | None
    ) -> Change | None:
        if self.ended_s is not None and t_s - self.ended_s >= timing.hold_off_s - _ROUNDING_S:
            self.ended_s = None
        if verdict is Verdict.UNKNOWN:
            self.counting = False
            return None
        if verdict is not Verdict.ABOVE:
            self.started_s, self.refused = None, None
            self._restart_timer()
            return None
        if self.started_s is None:
            self.started_s = t_s
        if not self._held(True, passed_s, timing.raise_after_s):
            return None
        if self.ended_s is not None:
            blocked = HOLD_OFF
        if blocked is not None:
            return self._refuse(blocked)
        self.event_id, self.raised_s, self.refused = uuid4().hex, t_s, None
        self._restart_timer()
        return self._change("new")

    def _open(self, t_s: float, passed_s: float, verdict: Verdict, timing: Timing) -> Change | None:
        longest_s = math.inf if timing.longest_s is None else timing.longest_s
        if self.raised_s is not None and t_s - self.raised_s >= longest_s - _ROUNDING_S:
            self.too_long = True
            return self._end(t_s, TOO_LONG)
        if verdict is Verdict.UNKNOWN:
            self.counting = False
            return None
        if self.cleared:
            if self._held(verdict is Verdict.ABOVE, passed_s, timing.raise_after_s):
                self.cleared = False
                self._restart_timer()
                return self._change("update", ABOVE_AGAIN)
            return None
        if not self._held(verdict is Verdict.BELOW, passed_s, timing.clear_after_s):
            return None
        if timing.latch and not self.acknowledged:
            self.cleared = True
            self._restart_timer()
            return self._change("update", WAITS)
        return self._end(t_s, CLEARED)

    def _spent(self, passed_s: float, verdict: Verdict, timing: Timing) -> Change | None:
        """Ended for its length: nothing new before it has been below for the time that ends it."""
        if verdict is Verdict.UNKNOWN:
            self.counting = False
            return None
        if self._held(verdict is Verdict.BELOW, passed_s, timing.clear_after_s):
            self.too_long, self.refused = False, None
            self._restart_timer()
            return None
        return self._refuse(STILL_TOO_LONG) if verdict is Verdict.ABOVE else None

    def _refuse(self, reason: str) -> Change | None:
        """Each reason is told once for each candidate."""
        if reason == self.refused:
            return None
        self.refused = reason
        return self._change("suppressed", reason)

    def _end(self, t_s: float | None, reason: str) -> Change:
        change = self._change("end", reason)
        self.event_id, self.raised_s, self.started_s = None, None, None
        self.acknowledged, self.cleared, self.ended_s = False, False, t_s
        self._restart_timer()
        return change

    def _change(self, kind: Kind, reason: str | None = None) -> Change:
        started_s = self.last_s if self.started_s is None else self.started_s
        assert started_s is not None, "nothing changes before the first judgement"
        return Change(kind, started_s, reason)

    def _held(self, on_this_side: bool, passed_s: float, needed_s: float) -> bool:
        """Count the time on the deciding side; whether it is enough."""
        if not on_this_side:
            self._restart_timer()
            return False
        if self.counting:
            self.held_s += passed_s
        self.counting = True
        return self.held_s >= needed_s - _ROUNDING_S

    def _restart_timer(self) -> None:
        self.held_s, self.counting = 0.0, False
