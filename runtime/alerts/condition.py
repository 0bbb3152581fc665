"""One condition with its identity: what its life changes becomes a step to be told, or a record.

Three kinds share this: a rule's threshold on a region (``vibration``), its missing reading
(``missing``), and what is wrong with the camera (``health``).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from runtime.alerts.life import ACKNOWLEDGED, Change, Life, Timing, Verdict

AlertKind = Literal["vibration", "missing", "health"]

UPDATE_GROWTH = 1.25
"""An open alert is told again when its peak is this many times the peak told last."""
UPDATE_EVERY_S = 5.0
"""... and not before this time has passed since any step was told last."""
NO_LONGER_CONFIGURED = "no longer configured"
BEYOND_RANGE = math.inf
"""A reading that is too large to be measured: above every threshold, and published as missing."""

_BESIDE = (
    "displacement_rms_mm",
    "displacement_rms_se_mm",
    "displacement_peak_mm",
    "displacement_peak_se_mm",
    "dominant_hz",
)


@dataclass(frozen=True, slots=True)
class AlertStep:
    """One step of one alert; ``runtime.messages.AlertMessage`` without the time of day.

    ``sequence`` counts the steps of one ``event_id`` from 0. ``value`` is the reading at this step,
    ``peak_value`` the highest since ``started_t_s``, when the quantity first went beyond the
    ``threshold``; None for a missing one, and for one beyond what can be measured. Millimetres are
    those at this step, whatever the quantity.
    """

    event_id: str
    type: Literal["new", "update", "end"]
    sequence: int
    kind: AlertKind
    rule: str
    region: str | None
    regions: tuple[str, ...]
    quantity: str
    value: float | None
    threshold: float
    peak_value: float | None
    reason: str | None
    acknowledged: bool
    displacement_rms_mm: float | None
    displacement_rms_se_mm: float | None
    displacement_peak_mm: float | None
    displacement_peak_se_mm: float | None
    dominant_hz: float | None
    t_s: float
    started_t_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class SuppressedStep:
    """An alert that would have been raised, and why it was not; told once for each excursion."""

    kind: AlertKind
    rule: str
    region: str | None
    quantity: str
    value: float | None
    threshold: float
    reason: str
    t_s: float
    started_t_s: float


@dataclass(frozen=True, slots=True)
class Identity:
    """Which condition this is. What is open under one identity goes on under the same one only."""

    kind: AlertKind
    rule: str
    region: str | None
    quantity: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What was judged: the reading, the regions that show it, values told beside it, the reason."""

    value: float | None
    regions: tuple[str, ...] = ()
    beside: Mapping[str, float | None] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A condition in which something is going on, as it is written down for the next process."""

    identity: Identity
    life: Life
    peak: float | None
    """None: nothing known, or beyond the range."""
    told: AlertStep | None


class Condition:
    """One condition; ``told`` is the step told last of its open alert."""

    def __init__(
        self, identity: Identity, threshold: float, timing: Timing, *, grows: bool = True
    ) -> None:
        """``grows``: higher is worse, so a peak is kept, and an open alert is told when it grows."""
        self.identity = identity
        self.told: AlertStep | None = None
        self._threshold = threshold
        self._timing = timing
        self._grows = grows
        self._life = Life()
        self._peak: float | None = None

    def update(
        self, t_s: float, verdict: Verdict, seen: Seen, blocked: str | None = None
    ) -> AlertStep | SuppressedStep | None:
        """Judge at capture time ``t_s`` (s); ``blocked`` says why nothing may be raised now."""
        change = self._life.update(t_s, verdict, self._timing, blocked)
        if self._life.started_s is None and change is None:
            self._peak = None
        elif self._grows and seen.value is not None:
            self._peak = seen.value if self._peak is None else max(self._peak, seen.value)
        if change is not None:
            return self._tell(change, t_s, seen)
        if self.told is not None and self._has_grown(self.told, t_s, seen):
            return self._tell(Change("update", self._life.started_s or t_s), t_s, seen)
        return None

    def acknowledge(self) -> AlertStep | None:
        """A person has seen the open alert. None where nothing is open, or it was seen before."""
        if self.told is None or self.told.acknowledged:
            return None
        last = self.told
        beside = {name: getattr(last, name) for name in _BESIDE}
        change = self._life.acknowledge()
        t_s = last.t_s if self._life.last_s is None else self._life.last_s
        step = self._tell(change, t_s, Seen(last.value, last.regions, beside))
        assert isinstance(step, AlertStep), "an acknowledgement suppresses nothing"
        return step

    def kept(self) -> Kept | None:
        """What the next process needs; None where nothing is going on."""
        life = replace(self._life, counting=False, last_s=None)
        if life == Life():
            return None
        peak = None if self._peak is None or math.isinf(self._peak) else self._peak
        return Kept(self.identity, life, peak, self.told)

    def restore(self, kept: Kept, shift_s: float) -> None:
        """Go on with what an earlier process kept, whose clock was behind by ``shift_s``."""
        self._life = replace(kept.life)
        self._life.shift(shift_s)
        self.told = kept.told
        started = kept.life.started_s is not None
        self._peak = BEYOND_RANGE if kept.peak is None and started else kept.peak

    def _has_grown(self, told: AlertStep, t_s: float, seen: Seen) -> bool:
        if seen.value is None or self._peak is None or told.peak_value is None:
            return False
        waited_s = t_s - told.t_s
        # A time before the last step is a source that started over: it has waited long enough.
        due = waited_s < 0 or waited_s >= UPDATE_EVERY_S
        return due and self._peak >= UPDATE_GROWTH * told.peak_value

    def _tell(self, change: Change, t_s: float, seen: Seen) -> AlertStep | SuppressedStep:
        value = _finite(seen.value)
        if change.kind == "suppressed":
            return SuppressedStep(
                **asdict(self.identity),
                value=value,
                threshold=self._threshold,
                reason=change.reason or "",
                t_s=t_s,
                started_t_s=change.started_s,
            )
        last = self.told
        event_id = self._life.event_id if last is None else last.event_id
        assert event_id is not None, "what is told has begun"
        reasons = [reason for reason in (change.reason, seen.reason) if reason is not None]
        step = AlertStep(
            event_id=event_id,
            type=change.kind,
            sequence=0 if last is None else last.sequence + 1,
            kind=self.identity.kind,
            rule=self.identity.rule,
            region=self.identity.region,
            quantity=self.identity.quantity,
            regions=seen.regions,
            value=value,
            threshold=self._threshold,
            peak_value=_finite(self._peak),
            reason="; ".join(reasons) or None,
            acknowledged=self._life.acknowledged
            or change.reason == ACKNOWLEDGED
            or (last is not None and last.acknowledged),
            displacement_rms_mm=seen.beside.get("displacement_rms_mm"),
            displacement_rms_se_mm=seen.beside.get("displacement_rms_se_mm"),
            displacement_peak_mm=seen.beside.get("displacement_peak_mm"),
            displacement_peak_se_mm=seen.beside.get("displacement_peak_se_mm"),
            dominant_hz=seen.beside.get("dominant_hz"),
            t_s=t_s,
            started_t_s=change.started_s,
            duration_s=max(t_s - change.started_s, 0.0),
        )
        self.told = None if step.type == "end" else step
        if step.type == "end":
            self._peak = None
        return step


def ended_for_good(kept: Kept, t_s: float, shift_s: float) -> AlertStep | None:
    """The end of an alert whose rule or region is gone; None where none was open."""
    if kept.told is None:
        return None
    started_s = kept.told.started_t_s + shift_s
    return replace(
        kept.told,
        type="end",
        sequence=kept.told.sequence + 1,
        value=None,
        reason=NO_LONGER_CONFIGURED,
        t_s=t_s,
        started_t_s=started_s,
        duration_s=max(t_s - started_s, 0.0),
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value
