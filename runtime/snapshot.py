"""What the daemon knows of itself at one moment: the same numbers for the page, the metrics and the log."""

from dataclasses import asdict

from pydantic import BaseModel, ConfigDict

from runtime.camera.watch import CameraCounters
from runtime.config import Magnification
from runtime.delivery.alerts import DeliveryCounts
from runtime.evidence.keeper import EvidenceCounters
from runtime.latency import Spread
from runtime.messages import AlertMessage, Telemetry


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Frames(_Part):
    """What became of the frames since the start."""

    captured: int
    measured: int
    not_measured: int
    """Dropped because the measurement was behind: its results have gaps there."""
    magnified: int
    not_magnified: int
    """Overtaken by a newer one while the magnification was busy, as it may."""


class Waiting(_Part):
    """What waits now, and how much may."""

    frames_to_measure: int
    most_frames_to_measure: int
    pictures_to_keep: int
    lost_pictures: int
    """Pictures that evidence had no room for."""
    lost_samples: int
    """Displacements of a frame that evidence had no room for."""


class Latencies(_Part):
    """From the capture of a frame until a station was done with it. None: none was, or the source is a
    file that is played as fast as possible, whose times are not the clock's."""

    arrived: Spread | None
    """The camera's thread has it."""
    measured: Spread | None
    """Every region's displacement is there."""
    judged: Spread | None
    """The alert rules have looked at it, as they do ten times a second, and at a sudden large motion."""
    published: Spread | None
    """Its alerts are in the outbox and its telemetry with the network; of frames that have such."""
    magnified: Spread | None
    shown: Spread | None
    """Whoever shows it has it."""


class Snapshot(_Part):
    """One moment. Counters are since the start of the process."""

    name: str
    time_utc: str
    running_s: float
    source: str
    engine: str | None
    """What magnifies; None where nothing does."""
    picture_px: tuple[int, int] | None
    """(width, height) of the camera's pictures; None before the first."""
    frame_age_s: float | None
    """Since the newest frame came."""
    frame_step_s: float | None
    """The usual time between two frames, whatever silence is now."""
    camera_hz: float | None
    magnified_hz: float | None
    camera_problem: str | None
    """Why there is no picture now, as the camera's station says it."""
    health: tuple[str, ...]
    """The names of what is wrong with the camera, as in the ``state`` message."""
    frames: Frames
    camera: CameraCounters
    waiting: Waiting
    latencies: Latencies
    magnification: Magnification
    """What holds now; see ``controls.py``."""
    open_alerts: tuple[AlertMessage, ...]
    suppressed: int
    telemetry: tuple[Telemetry, ...]
    """The newest of each region."""
    delivery: DeliveryCounts | None
    """None where nothing is published."""
    evidence: EvidenceCounters | None
    evidence_problem: str | None

    def line(self) -> str:
        """The log's line of each minute."""
        frames, waiting = self.frames, self.waiting
        parts = [
            f"{frames.captured} frames at {_number(self.camera_hz)} Hz, {frames.measured} measured, "
            f"{frames.not_measured} dropped, {waiting.frames_to_measure} of "
            f"{waiting.most_frames_to_measure} wait",
        ]
        if self.engine is not None:
            parts.append(f"{frames.magnified} magnified at {_number(self.magnified_hz)} Hz")
        spreads = {
            name: spread
            for name in Latencies.model_fields
            if (spread := getattr(self.latencies, name)) is not None
        }
        if spreads:
            told = (f"{name} {one.p50_ms:.1f}/{one.p99_ms:.1f}" for name, one in spreads.items())
            parts.append(f"ms since capture (p50/p99): {', '.join(told)}")
        parts.append(f"{len(self.open_alerts)} alerts open, {self.suppressed} suppressed")
        if self.delivery is not None:
            parts.append(
                f"{self.delivery.acknowledged} delivered, {self.delivery.queued} wait, "
                f"{self.delivery.waiting_telemetry} telemetry waits, {self.delivery.dropped_telemetry} dropped"
            )
        if self.evidence is not None:
            parts.append(
                f"evidence of {self.evidence.events} events, {self.evidence.incomplete} incomplete, "
                f"{waiting.lost_pictures} pictures lost"
            )
        happened = {name: count for name, count in asdict(self.camera).items() if count}
        if happened:
            counts = (f"{count} {name.replace('_', ' ')}" for name, count in happened.items())
            parts.append(f"camera: {', '.join(counts)}")
        return "; ".join(parts)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"
