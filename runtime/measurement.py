"""The measuring half of the daemon in one object: frames in; displacement, telemetry, alerts out."""

import time
from dataclasses import asdict, dataclass, replace

from calibration.scale import Axis, Scale
from runtime.alerts import AlertRules, AlertStep
from runtime.config import Config
from runtime.displacement import Displacement, DisplacementMeter
from runtime.frame import Frame
from runtime.messages import AlertMessage, Telemetry, utc_text
from runtime.region_scale import scale_of
from runtime.vibration import Tone, VibrationWindow

JUDGE_EVERY_NS = 100_000_000
"""Alert rules look at the levels ten times a second, whatever the frame rate."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one frame gave. Most frames give no messages."""

    displacements: tuple[Displacement, ...]
    telemetry: tuple[Telemetry, ...]
    alerts: tuple[AlertMessage, ...]


class Measurement:
    """Displacement of every region on every frame, its vibration, and the alert rules on it.

    Feed frames in order, from one thread. Raises Failure when a region lies outside the picture, its
    scale is for pictures of another size or cannot be read, or the picture's size changes.
    """

    def __init__(self, config: Config) -> None:
        self.scales: dict[str, Scale | None] = {}
        """Millimetres per pixel of each region, once the first frame has told the picture's size."""
        self._regions = config.regions
        names = [region.name for region in config.regions]
        self._meter = DisplacementMeter(config.regions)
        self._windows = {
            name: VibrationWindow(config.vibration.window_s, config.vibration.level_s)
            for name in names
        }
        self._rules = AlertRules(config.alerts, names)
        self._tones: dict[str, Tone | None] = dict.fromkeys(names)
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
            self._tones = {name: window.dominant() for name, window in self._windows.items()}
        if _is_due(self._judged_ns, now_ns, JUDGE_EVERY_NS):
            self._judged_ns = now_ns
            alerts = self._judge(now_ns / 1e9)
        if reports:
            telemetry = tuple(self._telemetry(displacement) for displacement in displacements)
        return Measured(displacements, telemetry, alerts)

    def open_alerts(self) -> tuple[AlertStep, ...]:
        """The latest step of every alert that has not ended."""
        return self._rules.open_alerts()

    def _judge(self, t_s: float) -> tuple[AlertMessage, ...]:
        steps: list[AlertStep] = []
        for name, window in self._windows.items():
            tone = self._tones[name]
            frequency_hz = None if tone is None else tone.frequency_hz
            levels = window.levels(self.scales[name])
            for step in self._rules.update(name, t_s, levels, frequency_hz):
                # The tone of the last report may be too old to know what has just begun.
                fresh = window.dominant() if step.type == "new" else tone
                steps.append(
                    replace(step, dominant_hz=None if fresh is None else fresh.frequency_hz)
                )
        time_utc = utc_text(time.time())
        return tuple(AlertMessage(time_utc=time_utc, **asdict(step)) for step in steps)

    def _telemetry(self, displacement: Displacement) -> Telemetry:
        window = self._windows[displacement.region]
        tone = self._tones[displacement.region]
        scale = self.scales[displacement.region]
        x_mm, x_se_mm = _in_mm(scale, "x", displacement.x_px, displacement.x_se_px)
        y_mm, y_se_mm = _in_mm(scale, "y", displacement.y_px, displacement.y_se_px)
        amplitude_mm, amplitude_se_mm = (
            (None, None)
            if tone is None
            else _in_mm(scale, tone.axis, tone.amplitude_px, tone.amplitude_se_px)
        )
        return Telemetry(
            region=displacement.region,
            time_utc=utc_text(time.time()),
            t_s=displacement.t_capture_ns / 1e9,
            rate_hz=window.rate_hz,
            x_px=displacement.x_px,
            y_px=displacement.y_px,
            x_se_px=displacement.x_se_px,
            y_se_px=displacement.y_se_px,
            x_mm=x_mm,
            y_mm=y_mm,
            x_se_mm=x_se_mm,
            y_se_mm=y_se_mm,
            **asdict(window.levels(scale)),
            dominant_hz=None if tone is None else tone.frequency_hz,
            dominant_amplitude_px=None if tone is None else tone.amplitude_px,
            dominant_amplitude_mm=amplitude_mm,
            dominant_amplitude_se_mm=amplitude_se_mm,
            valid=displacement.valid,
            reason=displacement.reason,
            alert=bool(self._rules.open_alerts(displacement.region)),
        )


def _in_mm(
    scale: Scale | None, axis: Axis | None, value_px: float | None, se_px: float | None
) -> tuple[float | None, float | None]:
    """A value in millimetres and its uncertainty, both missing when anything that they need is."""
    if scale is None or axis is None or value_px is None or se_px is None:
        return None, None
    return scale.mm(axis, value_px, se_px)


def _is_due(last_ns: int | None, now_ns: int, every_ns: int) -> bool:
    """Whether it is time again; at once after a clock that went back."""
    return last_ns is None or not last_ns <= now_ns < last_ns + every_ns
