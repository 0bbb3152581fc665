"""What one look gave goes out: alerts to memory, outbox and log; telemetry; the record; the state.

An alert is remembered before it is told and forgotten after, so that a process killed between the two
neither loses it nor raises it twice (``memory.py``).
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from runtime.alerts.condition import Kept
from runtime.alerts.memory import AlertMemory
from runtime.alerts.suppressed_record import SuppressedRecord
from runtime.alerts.told import Told
from runtime.config.alerts import Alert
from runtime.evidence import EvidenceRecorder
from runtime.measurement import Measured, Measurement
from runtime.messages import AlertMessage
from runtime.mqtt.publisher import Publisher

log = logging.getLogger(__name__)

ANNOUNCE_EVERY_S = 10.0
"""The retained state is not told more often for suppressed alerts; for health it is told at once."""

_News = tuple[dict[str, Any], int]
_WELL: dict[str, Any] = {
    "health": (),
    "outbox_problem": None,
    "evidence_problem": None,
    "unlocked": (),
}
"""What a state says before anything was announced."""
Raised = Callable[[AlertMessage], None]


class Telling:
    """Tells what the measurement found. Each part may be absent. For one thread."""

    def __init__(
        self,
        rules: Sequence[Alert],
        *,
        publisher: Publisher | None = None,
        memory: AlertMemory | None = None,
        record: SuppressedRecord | None = None,
        evidence: EvidenceRecorder | None = None,
        raised: Raised | None = None,
        unlocked: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """``unlocked`` says what the camera may still change by itself."""
        self.suppressed = 0
        """Alerts that were not raised since the start."""
        self.told = Told()
        """What those who ask are told."""
        self._publisher, self._memory, self._record = publisher, memory, record
        self._evidence, self._raised = evidence, raised
        self._unlocked = unlocked
        self._rate_told = {rule.name: False for rule in rules if rule.limit is not None}
        self._rules = rules
        self._announced: _News = (_WELL, 0)
        self._announced_s = -ANNOUNCE_EVERY_S

    def tell_again(self, messages: Sequence[AlertMessage]) -> None:
        """Messages that an earlier process may not have told; whoever has them knows them."""
        for message in messages:
            self._tell_alert(message)

    def tell(self, measured: Measured, measurement: Measurement) -> None:
        """Tell one frame's results; nearly all frames have none."""
        if self._evidence is not None:
            self._evidence.measured(measured.displacements)
            where = [self._evidence.folder_of(alert) for alert in measured.alerts]
            alerts = tuple(
                alert.model_copy(update={"evidence": folder})
                for alert, folder in zip(measured.alerts, where, strict=True)
            )
            measured = replace(measured, alerts=alerts)
        going_on = measurement.kept() if measured.judged and self._memory is not None else None
        baselines = {} if going_on is None else measurement.baselines()
        self._remember(going_on, baselines, measured.alerts)
        for alert in measured.alerts:
            self._tell_alert(alert)
        if measured.alerts:
            self._remember(going_on, baselines)
        for suppressed in measured.suppressed:
            self.suppressed += 1
            log.warning(
                "alert not raised: %s on %s, %s = %s (threshold %g): %s",
                *(suppressed.rule, suppressed.region or "the camera", suppressed.quantity),
                *(_rounded(suppressed.value), suppressed.threshold, suppressed.reason),
            )
            if self._record is not None:
                self._record.add(suppressed)
        for telemetry in measured.telemetry:
            self._tell_rate(telemetry.rate_hz)
            self.told.telemetry(telemetry)
            if self._publisher is not None:
                self._publisher.publish_telemetry(telemetry)
        for shape in measured.shapes:
            if self._publisher is not None:
                self._publisher.publish_telemetry(shape)
        if measured.judged:
            problems = measurement.health.problems()
            self.told.judged(problems, measurement.open_alerts())
            self._announce(problems)

    def finish(self, measurement: Measurement) -> None:
        """The daemon ends: the next one goes on from here, hold times included."""
        going_on = measurement.kept()
        if self._memory is not None and going_on is not None:
            self._memory.keep(*going_on, baselines=measurement.baselines(), at_once=True)
        for step in measurement.open_alerts():
            log.warning("alert %s on %s is still open", step.rule, step.region or "the camera")

    def _remember(
        self,
        going_on: tuple[float, list[Kept]] | None,
        baselines: dict[str, dict[str, Any]],
        untold: Sequence[AlertMessage] = (),
    ) -> None:
        if self._memory is not None and going_on is not None:
            self._memory.keep(*going_on, untold, baselines=baselines)

    def _tell_alert(self, alert: AlertMessage) -> None:
        log.warning(
            "alert %s: %s on %s, %s = %s (threshold %g)%s",
            *(alert.type, alert.rule, alert.region or ", ".join(alert.regions) or "the camera"),
            *(alert.quantity, _rounded(alert.value), alert.threshold),
            "" if alert.reason is None else f": {alert.reason}",
        )
        self.told.alert(alert)
        if self._publisher is not None:
            self._publisher.publish_alert(alert)
        if self._evidence is not None:
            self._evidence.alert(alert)
        if self._raised is not None:
            self._raised(alert)

    def _tell_rate(self, rate_hz: float | None) -> None:
        """Once for each profile: what of its standard's band this camera cannot see."""
        if rate_hz is None:
            return
        for rule in self._rules:
            if rule.limit is not None and not self._rate_told[rule.name]:
                self._rate_told[rule.name] = True
                shortfall = rule.limit.shortfall(rate_hz)
                if shortfall is not None:
                    log.warning('alert "%s": %s', rule.name, shortfall)

    def _announce(self, problems: tuple[str, ...]) -> None:
        if self._publisher is None:
            return
        now_s = time.monotonic()
        state = {
            "health": problems,
            "outbox_problem": self._publisher.outbox_problem,
            "evidence_problem": None if self._evidence is None else self._evidence.problem,
            "unlocked": self._unlocked(),
        }
        news = (state, self.suppressed)
        if news == self._announced:
            return
        if state != self._announced[0] or now_s - self._announced_s >= ANNOUNCE_EVERY_S:
            self._announced, self._announced_s = news, now_s
            self._publisher.announce(**state, suppressed=self.suppressed)


def _rounded(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3g}"
