"""Alert rules: readings go in, the steps in the lives of alerts come out.

An alert is raised when its reading has stayed above ``raise_above`` for ``raise_after_s``, and
ended when it has stayed below the clear threshold for ``clear_after_s``; between the two thresholds
nothing changes. A reading exactly at a threshold is on neither side of it. What a missing reading
and a clock that goes back do to the hold times is told in ``life.py``.

A reading that is missing for ``missing_after_s`` is an alert of its own, of kind ``missing``: it
ends when there are readings again. A region that still learns its zero is not missing. The rule's
open alert, if there is one, stays open meanwhile.

A rule on at least n regions together judges the n-th largest of their readings, each the largest of
the last ``coincidence_s``: it is above the threshold exactly when n regions were, within that time.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runtime.alerts.condition import (
    AlertStep,
    Condition,
    Identity,
    Kept,
    Seen,
    SuppressedStep,
    ended_for_good,
)
from runtime.alerts.life import Timing, Verdict
from runtime.alerts.readings import Readings
from runtime.config.alerts import Alert

NOT_CONFIRMED = "the profile is not confirmed by name and date"

Spoiled = Mapping[str, str]
"""Quantities that the camera's health spoils now, with what is wrong."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one look at the readings gave; nearly always nothing."""

    steps: tuple[AlertStep, ...] = ()
    suppressed: tuple[SuppressedStep, ...] = ()


class AlertRules:
    """All rules on all regions of one camera.

    A rule whose ``regions`` are empty watches every region. Memory does not grow with time.
    """

    def __init__(self, rules: Sequence[Alert], regions: Sequence[str]) -> None:
        self._watches = [
            _Watch(rule, group) for rule in rules for group in _groups(rule, list(regions))
        ]

    def update(
        self, t_s: float, readings: Mapping[str, Readings], spoiled: Spoiled | None = None
    ) -> Judged:
        """Judge the newest readings of every region, taken at capture time t_s (s).

        A region without readings is missing. Steps come in the order of the rules.
        """
        told = [
            step
            for watch in self._watches
            for step in watch.update(t_s, readings, spoiled or {})
            if step is not None
        ]
        return Judged(
            tuple(step for step in told if isinstance(step, AlertStep)),
            tuple(step for step in told if isinstance(step, SuppressedStep)),
        )

    def open_alerts(self, region: str | None = None) -> tuple[AlertStep, ...]:
        """The step told last of every alert that is open, on one region or on all."""
        return tuple(
            condition.told
            for watch in self._watches
            if region is None or region in watch.regions
            for condition in watch.conditions
            if condition.told is not None
        )

    def conditions(self) -> Iterator[Condition]:
        """Every condition that the rules watch."""
        for watch in self._watches:
            yield from watch.conditions


def restore(
    conditions: Sequence[Condition], kept: Sequence[Kept], t_s: float, shift_s: float
) -> tuple[AlertStep, ...]:
    """Go on with what an earlier process kept, whose clock was behind by ``shift_s`` (s).

    Returns the ends of alerts whose rule, region or quantity is configured no longer.
    """
    known = {condition.identity: condition for condition in conditions}
    ends = []
    for one in kept:
        if one.identity in known:
            known[one.identity].restore(one, shift_s)
        else:
            ends.append(ended_for_good(one, t_s, shift_s))
    return tuple(end for end in ends if end is not None)


def _groups(rule: Alert, regions: list[str]) -> list[tuple[str, ...]]:
    """The regions that are judged together: each alone, or all for a rule on several at once."""
    watched = tuple(rule.regions) or tuple(regions)
    return [watched] if rule.at_least_regions > 1 else [(name,) for name in watched]


class _Watch:
    """One rule on one region, or on several regions together."""

    def __init__(self, rule: Alert, regions: tuple[str, ...]) -> None:
        self.regions = regions
        self._rule = rule
        region = None if rule.at_least_regions > 1 else regions[0]
        timing = Timing(
            rule.raise_after_s, rule.clear_after_s, rule.hold_off_s, rule.longest_s, rule.latch
        )
        self._level = Condition(
            Identity("vibration", rule.name, region, rule.quantity), rule.raise_above, timing
        )
        self._missing = Condition(
            Identity("missing", rule.name, region, rule.quantity),
            rule.raise_above,
            Timing(rule.missing_after_s, rule.clear_after_s),
            grows=False,
        )
        self._recent = {name: _Recent(rule.coincidence_s) for name in regions}

    @property
    def conditions(self) -> tuple[Condition, Condition]:
        return self._level, self._missing

    def update(
        self, t_s: float, readings: Mapping[str, Readings], spoiled: Spoiled
    ) -> tuple[AlertStep | SuppressedStep | None, ...]:
        rule, name = self._rule, self._rule.reading
        values = {region: self._value(t_s, region, readings) for region in self.regions}
        known = sorted(((v, r) for r, v in values.items() if v is not None), reverse=True)
        together = max(rule.at_least_regions, 1)
        value = known[together - 1][0] if len(known) >= together else None
        shown = known[0][1] if known else self.regions[0]
        above = tuple(region for v, region in known if v > rule.raise_above)
        beside = readings[shown].values if shown in readings else {}
        blocked = spoiled.get(rule.quantity) if not rule.despite_health else None
        if not rule.is_confirmed:
            blocked = NOT_CONFIRMED
        seen = Seen(value, above or self.regions, beside, _why_beyond(readings.get(shown), value))
        told = self._level.update(t_s, self._verdict(value), seen, blocked)
        if rule.missing_after_s == 0:
            return (told,)
        reason = None
        if value is None:
            absent = [region for region in self.regions if values[region] is None]
            reasons = (_why_missing(readings.get(region), name) for region in absent)
            reason = next((why for why in reasons if why is not None), None)
            verdict = Verdict.UNKNOWN if reason is None else Verdict.ABOVE
        else:
            verdict = Verdict.BELOW
        lost = Seen(None, self.regions, {}, reason)
        return told, self._missing.update(t_s, verdict, lost, spoiled.get(rule.quantity))

    def _value(self, t_s: float, region: str, readings: Mapping[str, Readings]) -> float | None:
        value = readings[region].value(self._rule.reading) if region in readings else None
        if self._rule.at_least_regions == 1:
            return value
        return self._recent[region].largest(t_s, value)

    def _verdict(self, value: float | None) -> Verdict:
        if value is None:
            return Verdict.UNKNOWN
        if value > self._rule.raise_above:
            return Verdict.ABOVE
        return Verdict.BELOW if value < self._rule.clear_threshold else Verdict.BETWEEN


def _why_beyond(readings: Readings | None, value: float | None) -> str | None:
    """A reading beyond the range is told with its reason, in the place of a number."""
    return readings.reason if readings is not None and value is not None else None


def _why_missing(readings: Readings | None, name: str) -> str | None:
    return "no frame was measured" if readings is None else readings.why_missing(name)


class _Recent:
    """The largest of the newest readings of one region; holds only those that can still be it."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._falling: deque[tuple[float, float]] = deque()

    def largest(self, t_s: float, value: float | None) -> float | None:
        """The largest reading of the last seconds; None when the newest is missing."""
        kept = self._falling
        if kept and t_s <= kept[-1][0]:
            kept.clear()
        if value is None:
            return None
        while kept and kept[-1][1] <= value:
            kept.pop()
        kept.append((t_s, value))
        while t_s - kept[0][0] > self._length_s:
            kept.popleft()
        return kept[0][1]
