"""Alert rules: levels go in, the steps in the lives of alerts come out.

An alert is raised when its quantity has stayed above ``raise_above`` for ``raise_after_s``, and
ended when it has stayed below the clear threshold for ``clear_after_s``; between the two thresholds
nothing changes. A reading exactly at a threshold is on neither side of it.

A missing reading (None) is its own condition: it neither raises nor ends an alert. It pauses the
hold timers, and the time up to the next reading is not counted either. A time that is not later
than the one before (a file that starts over) restarts the hold timers; open alerts stay open.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from runtime.config import Alert, Quantity
from runtime.vibration import Levels

UPDATE_GROWTH = 1.25
"""An open alert is told again when its peak is this many times the peak told last."""
UPDATE_EVERY_S = 5.0
"""... and not before this time has passed since any step was told last."""


@dataclass(frozen=True, slots=True)
class AlertStep:
    """One step of one alert; ``runtime.messages.AlertMessage`` without the time of day.

    ``sequence`` counts the steps of one ``event_id`` from 0. ``threshold`` is ``raise_above``, for
    all steps. ``value`` is the reading at this step, ``peak_value`` the highest since
    ``started_t_s``, when the quantity first went above the threshold. Millimetres are those at this
    step, whatever the quantity.
    """

    event_id: str
    type: Literal["new", "update", "end"]
    sequence: int
    rule: str
    region: str
    quantity: Quantity
    value: float | None
    threshold: float
    peak_value: float
    displacement_rms_mm: float | None
    displacement_rms_se_mm: float | None
    displacement_peak_mm: float | None
    displacement_peak_se_mm: float | None
    dominant_hz: float | None
    t_s: float
    started_t_s: float
    duration_s: float


class AlertRules:
    """All rules on all regions of one camera.

    A rule whose ``regions`` are empty watches every region. Memory does not grow with time.
    """

    def __init__(self, rules: Sequence[Alert], regions: Sequence[str]) -> None:
        self._watches = {
            region: [_Watch(rule, region) for rule in rules if region in (rule.regions or regions)]
            for region in regions
        }

    def update(
        self, region: str, t_s: float, levels: Levels, dominant_hz: float | None = None
    ) -> list[AlertStep]:
        """Judge one region's newest levels, taken at capture time t_s (s).

        Returns the steps to be told, in the order of the rules; nearly always none. Raises KeyError
        for a region that was not configured.
        """
        steps = (watch.update(t_s, levels, dominant_hz) for watch in self._watches[region])
        return [step for step in steps if step is not None]

    def open_alerts(self, region: str | None = None) -> tuple[AlertStep, ...]:
        """The step told last of every alert that is open, on one region or on all."""
        found: Iterator[_Watch] = (
            watch
            for name, watches in self._watches.items()
            if region is None or name == region
            for watch in watches
        )
        return tuple(watch.told for watch in found if watch.told is not None)

    def finish(self, t_s: float) -> tuple[AlertStep, ...]:
        """The source has ended at t_s (s): timers restart, and the alerts that stay open come back.

        The end of a video says nothing about the structure, so no alert is ended by it: whoever
        asked for the video is told what was still open. Nothing is counted across the break.
        """
        for watches in self._watches.values():
            for watch in watches:
                watch.restart(t_s)
        return self.open_alerts()


class _Watch:
    """One rule on one region."""

    def __init__(self, rule: Alert, region: str) -> None:
        self._rule = rule
        self._region = region
        self.told: AlertStep | None = None  # the last step of the open alert
        self._started_s: float | None = None  # when a candidate or the open alert began
        self._peak = 0.0
        self._held_s = 0.0  # on the side that would change the state
        self._counting = False  # whether the reading before was on that side
        self._last_s = -math.inf

    def restart(self, t_s: float) -> None:
        self._held_s, self._counting, self._last_s = 0.0, False, t_s
        if self.told is None:
            self._started_s = None

    def update(self, t_s: float, levels: Levels, dominant_hz: float | None) -> AlertStep | None:
        if t_s <= self._last_s:
            self.restart(t_s)
        passed_s, self._last_s = t_s - self._last_s, t_s
        value = _reading(levels, self._rule.quantity)
        if value is None:
            self._counting = False
            return None
        if self.told is None:
            return self._candidate(t_s, passed_s, value, levels, dominant_hz)
        return self._open(self.told, t_s, passed_s, value, levels, dominant_hz)

    def _held(self, on_this_side: bool, passed_s: float, needed_s: float) -> bool:
        """Count the time on the deciding side; whether it is enough."""
        if not on_this_side:
            self._held_s, self._counting = 0.0, False
            return False
        if self._counting:
            self._held_s += passed_s
        self._counting = True
        # Sums of time steps must not miss a round number by rounding.
        return self._held_s >= needed_s - 1e-9

    def _candidate(
        self, t_s: float, passed_s: float, value: float, levels: Levels, dominant_hz: float | None
    ) -> AlertStep | None:
        above = value > self._rule.raise_above
        if not above:
            self._started_s = None
        elif self._started_s is None:
            self._started_s, self._peak = t_s, value
        self._peak = max(self._peak, value)
        if not self._held(above, passed_s, self._rule.raise_after_s):
            return None
        self._held_s, self._counting = 0.0, False
        self.told = self._step("new", t_s, value, levels, dominant_hz)
        return self.told

    def _open(
        self,
        told: AlertStep,
        t_s: float,
        passed_s: float,
        value: float,
        levels: Levels,
        dominant_hz: float | None,
    ) -> AlertStep | None:
        self._peak = max(self._peak, value)
        below = value < self._rule.clear_threshold
        if self._held(below, passed_s, self._rule.clear_after_s):
            step = self._step("end", t_s, value, levels, dominant_hz)
            self.told, self._started_s = None, None
            self._held_s, self._counting = 0.0, False
            return step
        waited_s = t_s - told.t_s
        # A time before the last step is a source that started over: it has waited long enough.
        due = waited_s < 0 or waited_s >= UPDATE_EVERY_S
        if due and self._peak >= UPDATE_GROWTH * told.peak_value:
            self.told = self._step("update", t_s, value, levels, dominant_hz)
            return self.told
        return None

    def _step(
        self,
        kind: Literal["new", "update", "end"],
        t_s: float,
        value: float,
        levels: Levels,
        dominant_hz: float | None,
    ) -> AlertStep:
        started_s = t_s if self._started_s is None else self._started_s
        return AlertStep(
            event_id=uuid4().hex if self.told is None else self.told.event_id,
            type=kind,
            sequence=0 if self.told is None else self.told.sequence + 1,
            rule=self._rule.name,
            region=self._region,
            quantity=self._rule.quantity,
            value=value,
            threshold=self._rule.raise_above,
            peak_value=self._peak,
            displacement_rms_mm=levels.displacement_rms_mm,
            displacement_rms_se_mm=levels.displacement_rms_se_mm,
            displacement_peak_mm=levels.displacement_peak_mm,
            displacement_peak_se_mm=levels.displacement_peak_se_mm,
            dominant_hz=dominant_hz,
            t_s=t_s,
            started_t_s=started_s,
            duration_s=max(t_s - started_s, 0.0),
        )


def _reading(levels: Levels, quantity: Quantity) -> float | None:
    value: float | None = getattr(levels, quantity)
    return value if value is not None and math.isfinite(value) else None
