"""The measuring half of the daemon in one object: frames in; displacement, telemetry, alerts out."""

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from calibration.scale import Scale
from failure import Failure
from runtime.alerts.condition import AlertStep, Condition, Kept, SuppressedStep
from runtime.alerts.memory import Remembered
from runtime.alerts.readings import Readings, RegionReadings
from runtime.alerts.rules import AlertRules, restore
from runtime.config import Config
from runtime.displacement import Displacement, DisplacementMeter
from runtime.frame import Frame
from runtime.health import CameraHealth
from runtime.messages import AlertMessage, ModeShape, SuppressedAlert, Telemetry, utc_text
from runtime.region_scale import scale_of
from runtime.shape_reports import ShapeReports
from runtime.telemetry import telemetry_of
from runtime.vibration import Levels, VibrationWindow
from runtime.vibration.sampling import RateWatch
from runtime.vibration.tracking import BaselineState, FrequencyTracker, Shift
from runtime.vibration.window import Record, Report

log = logging.getLogger(__name__)

JUDGE_EVERY_NS = 100_000_000
"""Alert rules look at the levels ten times a second, whatever the frame rate. Those on the distance from zero,
which one frame decides, have all judged at once when a region has gone beyond their threshold."""

REPEATED = "repeated: the camera sent the picture before once more"
ROUND_SHARE = 0.25
"""Of the time between two reports: within it, all regions have been reported on, a few with each frame."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one frame gave. Most frames give no messages."""

    displacements: tuple[Displacement, ...]
    telemetry: tuple[Telemetry, ...] = ()
    alerts: tuple[AlertMessage, ...] = ()
    suppressed: tuple[SuppressedAlert, ...] = ()
    """Alerts that would have been raised, each with the reason why it was not."""
    judged: bool = False
    """Whether the alert rules have looked at it."""
    shapes: tuple[ModeShape, ...] = ()


class Measurement:
    """Displacement of every region on every frame, its vibration, and the alert rules on it.

    Feed frames in order, from one thread; ``remembered`` is what an earlier process kept. Raises
    Failure when a region lies outside the picture, its scale is for pictures of another size or
    cannot be read, or the picture's size changes.
    """

    def __init__(self, config: Config, remembered: Remembered | None = None) -> None:
        self.scales: dict[str, Scale | None] = {}
        """Millimetres per pixel of each region, once the first frame has told the picture's size."""
        self.t_measured_ns = 0
        """When the newest frame's displacements were there, on CLOCK_MONOTONIC."""
        self._regions = config.regions
        names = [region.name for region in config.regions]
        vibration = config.vibration
        self._meter = DisplacementMeter(config.regions)
        self._windows = {
            name: VibrationWindow(
                vibration.window_s,
                vibration.level_s,
                low_hz=vibration.low_hz,
                high_hz=vibration.high_hz,
                exposure_s=config.camera.exposure_s,
            )
            for name in names
        }
        self._structure = {
            region.name: self._windows[region.name]
            for region in config.regions
            if not region.reference
        }
        """The windows of what is measured, without references."""
        baselines = {} if remembered is None else remembered.baselines
        self._trackers = {
            region.name: FrequencyTracker(
                window_s=vibration.window_s,
                learn_s=vibration.learn_baseline_s,
                baseline_hz=region.baseline_hz,
                state=BaselineState.from_dict(baselines[region.name])
                if region.name in baselines
                else None,
            )
            for region in config.regions
        }
        self._watched = {rule.name: config.watched(rule) for rule in config.alerts}
        self._references = {region.name for region in config.regions if region.reference}
        self._rules = AlertRules(
            config.alerts, [one for one in names if one not in self._references]
        )
        self._judges_motion = any(rule.needs_motion for rule in config.alerts)
        self._sudden_rules = [rule for rule in config.alerts if rule.is_sudden]
        self._beyond: set[tuple[str, str]] = set()
        """Which of them was exceeded by which region at the last judgement."""
        self._profiles = [rule for rule in config.alerts if rule.profile is not None]
        self._collected = {
            name: RegionReadings(
                [rule for rule in config.alerts if name in self._watched[rule.name]],
                vibration.level_s,
            )
            for name in names
        }
        self._readings: dict[str, Readings] = {}
        self.health = CameraHealth(
            config.health, wanted_hz=config.camera.rate_hz, references=self._references
        )
        self._remembered = remembered
        self._reports: dict[str, Report] = {}
        self._unreported: list[str] = []
        self._shifts: dict[str, Shift | None] = {}
        self._shapes = ShapeReports()
        self._rate = RateWatch()
        self._report_every_ns = round(vibration.report_every_s * 1e9)
        self._newest_ns: int | None = None
        self._judged_ns: int | None = None
        self._reported_ns: int | None = None

    def learn(self, frames: Iterable[Frame]) -> None:
        """Take templates and zeros from a file's first frames, which come again after that."""
        self._meter.learn(frames)

    def process(self, frame: Frame) -> Measured:
        """Measure one frame."""
        displacements = self._displacements(frame)
        self.t_measured_ns = time.monotonic_ns()
        if not self.scales:
            height_px, width_px = frame.image.shape[:2]
            self.scales = {one.name: scale_of(one, (width_px, height_px)) for one in self._regions}
        if self._rate.has_changed(frame.t_capture_ns):
            log.warning("the frame rate has changed: spectra and levels begin anew")
            for window in self._windows.values():
                window.clear()
        for displacement in displacements:
            self._windows[displacement.region].add(displacement)
            self._collected[displacement.region].add(displacement)
        self.health.look(frame)
        now_ns = frame.t_capture_ns
        step_ns = now_ns - (self._newest_ns or 0)
        self._newest_ns = now_ns
        reports = self._report(now_ns, step_ns)
        beyond = self._exceeded()
        judges = _is_due(self._judged_ns, now_ns, JUDGE_EVERY_NS) or not beyond <= self._beyond
        if not (reports or judges):
            return Measured(displacements)
        levels = self._levels(motion=reports or self._judges_motion)
        judged = Measured(displacements)
        if judges:
            self._judged_ns, self._beyond = now_ns, beyond
            judged = self._judge(now_ns / 1e9, displacements, levels)
        if not reports:
            return judged
        return replace(
            judged,
            telemetry=tuple(self._telemetry(one, levels[one.region]) for one in displacements),
            shapes=self._shapes.at(now_ns / 1e9, self._structure, self._reports, self.scales),
        )

    def _displacements(self, frame: Frame) -> tuple[Displacement, ...]:
        if not frame.repeated:
            return self._meter.measure(frame)
        return tuple(
            Displacement(one.name, frame.t_capture_ns, None, None, None, None, False, REPEATED)
            for one in self._regions
        )

    def _exceeded(self) -> set[tuple[str, str]]:
        """By this frame alone: rules on the distance from zero, each with a region that is beyond it."""
        readings = (
            (rule, name, self._collected[name].distance(self.scales[name]).get(rule.quantity))
            for rule in self._sudden_rules
            for name in self._watched[rule.name]
        )
        return {
            (rule.name, name)
            for rule, name, value in readings
            if value is not None and value > rule.raise_above
        }

    def wait(self, waited_s: float, problem: Failure | None = None) -> Measured:
        """No frame has come for ``waited_s`` (s) from a live camera, which says ``problem`` of that.

        Nothing is measured, and the rules are told that. A shorter wait than frames may take is none.
        Before the first frame, the time is CLOCK_MONOTONIC's, as a live camera's frames have it.
        """
        if not self.health.is_late(waited_s):
            return Measured(())
        if self._newest_ns is None:
            self._newest_ns = time.monotonic_ns() - round(waited_s * 1e9)
        self._judged_ns = self._newest_ns + round(waited_s * 1e9)
        self._readings = {}
        return self._judge(self._judged_ns / 1e9, (), {}, problem)

    def record(self, region: str) -> Record:
        """A copy of a region's newest seconds. Raises KeyError for one that is not configured."""
        return self._windows[region].copy()

    def open_alerts(self) -> tuple[AlertStep, ...]:
        """The latest step of every alert that has not ended."""
        return tuple(one.told for one in self._conditions() if one.told is not None)

    def acknowledge(self, event_id: str) -> tuple[AlertMessage, ...]:
        """A person has seen an open alert: a latched one ends, or may end from now on.

        Returns what is to be told; nothing when it was acknowledged before. Raises Failure when no
        open alert has this ``event_id``.
        """
        for condition in self._conditions():
            if condition.told is not None and condition.told.event_id == event_id:
                step = condition.acknowledge()
                return () if step is None else (message_of(step),)
        known = ", ".join(step.event_id for step in self.open_alerts()) or "none"
        raise Failure(f"no open alert has the event_id {event_id}; open are: {known}")

    def kept(self) -> tuple[float, list[Kept]] | None:
        """Capture time (s) and what the next process needs; None before the first judgement."""
        if self._judged_ns is None or self._remembered is not None:
            return None
        kept = (condition.kept() for condition in self._conditions())
        return self._judged_ns / 1e9, [one for one in kept if one is not None]

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Of each region's natural frequency, what the next process needs to go on with it."""
        return {name: tracker.state.as_dict() for name, tracker in self._trackers.items()}

    def _conditions(self) -> list[Condition]:
        return [*self._rules.conditions(), *self.health.conditions()]

    def _judge(
        self,
        t_s: float,
        displacements: Sequence[Displacement],
        levels: Mapping[str, Levels],
        problem: Failure | None = None,
    ) -> Measured:
        steps: list[AlertStep] = []
        if self._remembered is not None:
            shift_s = self._remembered.shift_s(t_s, time.time())
            steps += restore(self._conditions(), self._remembered.kept, t_s, shift_s)
            self._remembered = None
        if displacements:
            self._readings = {name: self._reading(name, levels[name]) for name in self._windows}
        health, suppressed = self.health.judge(t_s, displacements, problem)
        judged = self._rules.update(t_s, self._readings, self.health.spoiled())
        steps += health
        for step in judged.steps:
            if step.type == "new" and step.region is not None:
                # The tone of the last report may be too old to know what has just begun.
                fresh = self._windows[step.region].dominant()
                step = replace(step, dominant_hz=None if fresh is None else fresh.frequency_hz)
            steps.append(step)
        recorded = [_record(one) for one in (*suppressed, *judged.suppressed)]
        alerts = tuple(message_of(step) for step in steps)
        return Measured(tuple(displacements), (), alerts, tuple(recorded), judged=True)

    def _reading(self, name: str, levels: Levels) -> Readings:
        report, shift = self._reports.get(name), self._shifts.get(name)
        tone = None if report is None else report.dominant
        others = {
            "dominant_hz": None if tone is None else tone.frequency_hz,
            "frequency_shift_percent": None if shift is None else shift.percent,
        }
        return self._collected[name].now(levels, self.scales[name], others)

    def _levels(self, *, motion: bool) -> dict[str, Levels]:
        scales = [self.scales[name] for name in self._windows]
        windows = list(self._windows.values())
        levels = VibrationWindow.levels_together(windows, scales, motion=motion)
        return dict(zip(self._windows, levels, strict=True))

    def _report(self, now_ns: int, step_ns: int) -> bool:
        """Report on some regions, when it is time; whether all have been now.

        A report takes as long as several frames, so many regions at once would let frames wait.
        """
        if _is_due(self._reported_ns, now_ns, self._report_every_ns):
            self._reported_ns, self._unreported = now_ns, list(self._windows)
        if not self._unreported:
            return False
        frames = ROUND_SHARE * self._report_every_ns / step_ns if step_ns > 0 else 1.0
        some = math.ceil(len(self._windows) / max(frames, 1.0))
        for name in self._unreported[:some]:
            report = self._reports[name] = self._windows[name].report()
            self._shifts[name] = self._trackers[name].update(now_ns / 1e9, report.tones)
        del self._unreported[:some]
        return not self._unreported

    def _telemetry(self, displacement: Displacement, levels: Levels) -> Telemetry:
        name = displacement.region
        return telemetry_of(
            displacement,
            levels,
            self._reports[name],
            self._shifts[name],
            self.scales[name],
            alert=bool(self._rules.open_alerts(name)),
            limit_ratios=self._limit_ratios(name),
        )

    def _limit_ratios(self, region: str) -> dict[str, float | None]:
        readings = self._readings.get(region)
        return {
            rule.name: None if readings is None else readings.value(rule.reading)
            for rule in self._profiles
            if region in self._watched[rule.name]
        }


def message_of(step: AlertStep) -> AlertMessage:
    """What is told of a step now."""
    return AlertMessage(time_utc=utc_text(time.time()), **asdict(step))


def _record(step: SuppressedStep) -> SuppressedAlert:
    return SuppressedAlert(time_utc=utc_text(time.time()), **asdict(step))


def _is_due(last_ns: int | None, now_ns: int, every_ns: int) -> bool:
    """Whether it is time again; at once after a clock that went back."""
    return last_ns is None or not last_ns <= now_ns < last_ns + every_ns
