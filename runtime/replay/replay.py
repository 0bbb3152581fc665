"""A whole video as fast as possible: every frame measured and magnified, then a report."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.scale import Scale
from runtime.camera.video_file import VideoFacts, VideoFile
from runtime.clips import clip_writer, magnified_label, side_by_side
from runtime.config import Camera, Config
from runtime.magnification import Magnifier
from runtime.measurement import Measurement
from runtime.messages import AlertMessage, Telemetry
from runtime.priority import stay_in_thread
from runtime.replay.region_proposal import propose_regions
from runtime.vibration import Tone, dominant_tone

FASTEST_CLIP_HZ = 240.0


@dataclass(slots=True)
class RegionHistory:
    """One region over all frames; None where there is no valid value."""

    name: str
    t_s: list[float] = field(default_factory=list)
    x_px: list[float | None] = field(default_factory=list)
    y_px: list[float | None] = field(default_factory=list)
    x_se_px: list[float | None] = field(default_factory=list)
    y_se_px: list[float | None] = field(default_factory=list)
    x_noise_px: list[float | None] = field(default_factory=list)
    y_noise_px: list[float | None] = field(default_factory=list)
    telemetry: list[Telemetry] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)
    scale: Scale | None = None

    def tone(self) -> Tone | None:
        """The dominant sinusoid of the longest stretch without a long gap."""
        x, y = (np.array(values, dtype=np.float64) for values in (self.x_px, self.y_px))
        return dominant_tone(np.array(self.t_s), x, y, stretch="longest")

    def amplitude_mm(self, tone: Tone) -> tuple[float, float] | None:
        """A tone's amplitude in millimetres and its uncertainty; None without a scale."""
        if self.scale is None or tone.axis is None:
            return None
        return self.scale.mm(tone.axis, tone.amplitude_px, tone.amplitude_se_px)


@dataclass(slots=True)
class Replay:
    """What a video gave."""

    video: str
    size_px: tuple[int, int]
    regions: list[RegionHistory]
    alerts: list[AlertMessage]
    damage: str | None
    facts: VideoFacts
    picture: NDArray[np.uint8]
    """The first frame."""
    engine: str | None = None
    """What magnified, None: nothing did."""
    magnified: int = 0
    """Frames of the clip, which begins with the video."""

    @property
    def frames(self) -> int:
        return len(self.regions[0].t_s)

    def as_json(self) -> dict[str, Any]:
        """The documented JSON: arrays over frames, null where there is no valid value."""
        regions = []
        for history in self.regions:
            tone = history.tone()
            scale = history.scale
            amplitude = None if tone is None else history.amplitude_mm(tone)
            amplitude_mm, amplitude_se_mm = amplitude or (None, None)
            regions.append(
                {
                    "name": history.name,
                    "t_s": history.t_s,
                    "x_px": history.x_px,
                    "y_px": history.y_px,
                    "x_se_px": history.x_se_px,
                    "y_se_px": history.y_se_px,
                    "dominant_hz": None if tone is None else tone.frequency_hz,
                    "dominant_amplitude_px": None if tone is None else tone.amplitude_px,
                    "dominant_amplitude_mm": amplitude_mm,
                    "dominant_amplitude_se_mm": amplitude_se_mm,
                    "scale": None if scale is None else scale.model_dump(),
                    "missing": sorted(history.reasons),
                }
            )
        return {
            "video": self.video,
            "width": self.size_px[0],
            "height": self.size_px[1],
            "frames": self.frames,
            "damage": self.damage,
            "regions": regions,
            "alerts": [alert.model_dump() for alert in self.alerts],
        }


def config_for(video: Path, config: Config | None) -> Config:
    """The configuration with the video as its source; without one, proposed regions, defaults."""
    camera = Camera(source=str(video), real_time=False)
    if config is not None:
        masked = camera.model_copy(update={"mask": config.camera.mask})
        return config.model_copy(update={"camera": masked})
    with VideoFile(video, real_time=False) as source:
        return Config(camera=camera, regions=propose_regions(source.frames()).regions)


def replay(
    config: Config,
    magnifier: Magnifier | None,
    clip: Path | None,
    tell: Callable[[float | None], None],
    magnify_for_s: float = math.inf,
) -> Replay:
    """Measure every frame of ``config.camera.source``; with both, write the side-by-side ``clip``.

    The clip ends with the frame with which magnifying has taken more than ``magnify_for_s``. ``tell`` gets
    the share of the file that is done, where the file tells its length. Raises Failure for a file that
    cannot be read, or a region or area outside the picture.
    """
    video, mask = Path(config.camera.source), config.camera.mask
    stay_in_thread()
    measurement = Measurement(config)
    histories = [RegionHistory(region.name) for region in config.regions]
    alerts: list[AlertMessage] = []
    label = magnified_label(config.magnification.gain)
    with VideoFile(video, real_time=False, mask=mask) as first_pictures:
        measurement.learn(first_pictures.frames())
    with ExitStack() as stack:
        source = stack.enter_context(VideoFile(video, real_time=False, mask=mask))
        write = first = None
        magnified, magnified_s = 0, 0.0
        for frame in source.frames():
            measured = measurement.process(frame)
            alerts += measured.alerts
            t_s = frame.t_capture_ns / 1e9
            for history, displacement in zip(histories, measured.displacements, strict=True):
                history.t_s.append(t_s)
                history.x_px.append(displacement.x_px)
                history.y_px.append(displacement.y_px)
                history.x_se_px.append(displacement.x_se_px)
                history.y_se_px.append(displacement.y_se_px)
                history.x_noise_px.append(displacement.x_noise_px)
                history.y_noise_px.append(displacement.y_noise_px)
                if displacement.reason is not None:
                    history.reasons.add(displacement.reason)
            for history, telemetry in zip(histories, measured.telemetry, strict=False):
                history.telemetry.append(telemetry)
            first = frame.image if first is None else first
            if magnifier is not None and clip is not None and magnified_s <= magnify_for_s:
                begun_s = time.monotonic()
                picture = magnifier.process(frame).picture
                magnified, magnified_s = magnified + 1, magnified_s + time.monotonic() - begun_s
                if write is None:
                    rate_hz = min(source.nominal_rate_hz or 30.0, FASTEST_CLIP_HZ)
                    write = stack.enter_context(clip_writer(clip, rate_hz))
                alerted = {name for step in measurement.open_alerts() for name in step.regions}
                write(side_by_side(frame.image, picture, config.regions, label, alerted), t_s)
            tell(t_s / source.announced_s if source.announced_s else None)
        facts = source.facts()
    for history in histories:
        history.scale = measurement.scales[history.name]
    assert source.size is not None
    assert first is not None
    return Replay(
        str(video),
        source.size,
        histories,
        alerts,
        source.damage,
        facts,
        first,
        None if magnifier is None else magnifier.description,
        magnified,
    )
