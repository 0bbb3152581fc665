"""The measuring half of the daemon in one object: frames in; displacement, telemetry, alerts out."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from calibration.scale import Scale
from runtime.alerts import AlertRules, AlertStep
from runtime.config import Config
from runtime.displacement import Displacement, DisplacementMeter
from runtime.frame import Frame
from runtime.messages import AlertMessage, ModeShape, Telemetry, utc_text
from runtime.region_scale import scale_of
from runtime.shape_reports import ShapeReports
from runtime.telemetry import telemetry_of
from runtime.vibration import Levels, VibrationWindow
from runtime.vibration.tracking import BaselineState, FrequencyTracker, Shift
from runtime.vibration.window import Report

JUDGE_EVERY_NS = 100_000_000
"""Alert rules look at the levels ten times a second, whatever the frame rate."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one frame gave. Most frames give no messages."""

    displacements: tuple[Displacement, ...]
    telemetry: tuple[Telemetry, ...]
    alerts: tuple[AlertMessage, ...]
    shapes: tuple[ModeShape, ...] = ()


class Measurement:
    """Displacement of every region on every frame, its vibration, and the alert rules on it.

    ``baselines`` are the natural frequencies that an earlier process learned, as ``trackers`` have them.

    Feed frames in order, from one thread. Raises Failure when a region lies outside the picture, its
    scale is for pictures of another size or cannot be read, or the picture's size changes.
    """

    def __init__(
        self, config: Config, baselines: Mapping[str, BaselineState] | None = None
    ) -> None:
        self.scales: dict[str, Scale | None] = {}
        """Millimetres per pixel of each region, once the first frame has told the picture's size."""
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
        self.trackers = {
            region.name: FrequencyTracker(
                window_s=vibration.window_s,
                learn_s=vibration.learn_baseline_s,
                baseline_hz=region.baseline_hz,
                state=(baselines or {}).get(region.name),
            )
            for region in config.regions
        }
        """The natural frequency of each region against its baseline."""
        self._rules = AlertRules(config.alerts, names)
        self._reports: dict[str, Report] = {}
        self._shifts: dict[str, Shift | None] = {}
        self._shapes = ShapeReports()
        self._report_every_ns = round(config.vibration.report_every_s * 1e9)
        self._judged_ns: int | None = None
        self._reported_ns: int | None = None

    def process(self, frame: Frame) -> Measured:
        """Measure one frame."""
        displacements = self._meter.measure(frame)
        if not self.scales:
            height_px, width_px = frame.image.shape[:2]
            self.scales = {one.name: scale_of(one, (width_px, height_px)) for one in self._regions}
        for displacement in displacements:
            self._windows[displacement.region].add(displacement)
        now_ns = frame.t_capture_ns
        telemetry: tuple[Telemetry, ...] = ()
        alerts: tuple[AlertMessage, ...] = ()
        reports = _is_due(self._reported_ns, now_ns, self._report_every_ns)
        if reports:
            self._reported_ns = now_ns
            self._report(now_ns)
        judges = _is_due(self._judged_ns, now_ns, JUDGE_EVERY_NS)
        levels = self._levels() if judges or reports else {}
        if judges:
            self._judged_ns = now_ns
            alerts = self._judge(now_ns / 1e9, levels)
        shapes: tuple[ModeShape, ...] = ()
        if reports:
            telemetry = tuple(self._telemetry(one, levels[one.region]) for one in displacements)
            shapes = self._shapes.at(now_ns / 1e9, self._windows, self._reports, self.scales)
        return Measured(displacements, telemetry, alerts, shapes)

    def open_alerts(self) -> tuple[AlertStep, ...]:
        """The latest step of every alert that has not ended."""
        return self._rules.open_alerts()

    def _judge(self, t_s: float, levels: Mapping[str, Levels]) -> tuple[AlertMessage, ...]:
        steps: list[AlertStep] = []
        for name, window in self._windows.items():
            tone = self._reports[name].dominant
            frequency_hz = None if tone is None else tone.frequency_hz
            for step in self._rules.update(name, t_s, levels[name], frequency_hz):
                # The tone of the last report may be too old to know what has just begun.
                fresh = window.dominant() if step.type == "new" else tone
                steps.append(
                    replace(step, dominant_hz=None if fresh is None else fresh.frequency_hz)
                )
        time_utc = utc_text(time.time())
        return tuple(AlertMessage(time_utc=time_utc, **asdict(step)) for step in steps)

    def _levels(self) -> dict[str, Levels]:
        scales = [self.scales[name] for name in self._windows]
        levels = VibrationWindow.levels_together(list(self._windows.values()), scales)
        return dict(zip(self._windows, levels, strict=True))

    def _report(self, now_ns: int) -> None:
        self._reports = {name: window.report() for name, window in self._windows.items()}
        self._shifts = {
            name: tracker.update(now_ns / 1e9, self._reports[name].tones)
            for name, tracker in self.trackers.items()
        }

    def _telemetry(self, displacement: Displacement, levels: Levels) -> Telemetry:
        name = displacement.region
        return telemetry_of(
            displacement,
            levels,
            self._reports[name],
            self._shifts[name],
            self.scales[name],
            alert=bool(self._rules.open_alerts(name)),
        )


def _is_due(last_ns: int | None, now_ns: int, every_ns: int) -> bool:
    """Whether it is time again; at once after a clock that went back."""
    return last_ns is None or not last_ns <= now_ns < last_ns + every_ns
