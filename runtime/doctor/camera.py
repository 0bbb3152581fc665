"""The camera, opened as the daemon opens it: pipeline, missing elements, real rate, what is held."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from failure import Failure
from runtime.camera import is_file, open_source
from runtime.camera.pipelines import elements_of, how_to_get, shown
from runtime.camera.recovery import LOCK_AFTER_NS
from runtime.camera.watch import CameraCounters, FrameWatch
from runtime.config import Config
from runtime.doctor.finding import Finding
from runtime.vibration.sampling import rate_of

LEAST_SHARE = 0.8
"""Of the wanted rate."""


@dataclass(slots=True)
class CameraFindings:
    """What was found out about the camera; ``problems`` is empty where it can be used."""

    source: str
    pipeline: str | None = None
    """None: no GStreamer pipeline."""
    missing: dict[str, str] = field(default_factory=dict)
    """Elements that are not installed, and how to get each."""
    width_px: int | None = None
    height_px: int | None = None
    frames: int = 0
    seconds: float = 0.0
    rate_hz: float | None = None
    jitter_ms: float | None = None
    """Standard deviation of the time between frames, where none is lost between them."""
    longest_step_ms: float | None = None
    lost: int = 0
    repeated: int = 0
    not_advancing: int = 0
    held: tuple[str, ...] = ()
    unlocked: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def camera_findings(config: Config, *, seconds: float = 5.0) -> Iterator[Finding]:
    """Watch the camera for ``seconds``, and say what was found."""
    found = examine_camera(config, seconds=seconds)
    if found.pipeline is not None:
        yield Finding("pipeline", "good", found.pipeline)
    for name, mend in found.missing.items():
        yield Finding("element", "failed", f"{name} is not installed", mend)
    if found.rate_hz is not None and found.jitter_ms is not None:
        yield Finding("picture", "good", f"{found.width_px}x{found.height_px} px")
        yield Finding(
            "rate",
            "good",
            f"{found.rate_hz:.4g} Hz, jitter {found.jitter_ms:.2f} ms, longest step "
            f"{found.longest_step_ms:.3g} ms",
        )
        worse = found.lost or found.repeated or found.not_advancing
        yield Finding(
            "frames",
            "warning" if worse else "good",
            f"{found.frames} in {found.seconds:.1f} s; {found.lost} lost, {found.repeated} repeated, "
            f"{found.not_advancing} not later than the one before",
        )
    if found.held:
        yield Finding("held", "good", ", ".join(found.held))
    for sentence in found.unlocked:
        yield Finding("not held", "warning", sentence)
    for sentence in found.problems:
        yield Finding("camera", "failed", sentence)
    if not found.problems:
        yield Finding("camera", "good", found.source)


def examine_camera(config: Config, *, seconds: float = 5.0) -> CameraFindings:
    """Build the camera's pipeline, open it, and watch its frames for ``seconds``."""
    camera = config.camera
    found = CameraFindings(shown(camera.source))
    try:
        if not is_file(camera.source):
            _examine_pipeline(config, found)
        if not found.missing:
            _watch(config, found, seconds)
    except Failure as failure:
        found.problems += (str(failure),)
    if found.missing:
        found.problems += (f"{found.source}: without these elements it cannot be opened",)
    wanted_hz = camera.rate_hz
    if found.rate_hz and wanted_hz and found.rate_hz < LEAST_SHARE * wanted_hz:
        found.problems += (
            f"{found.rate_hz:.4g} frames a second come, and camera.rate_hz = {wanted_hz:g} are wanted; "
            "lower it or the picture's size, or expose shorter",
        )
    if found.frames and found.repeated > found.frames / 2:
        found.problems += ("most frames show the picture before once more: it is frozen",)
    return found


def _examine_pipeline(config: Config, found: CameraFindings) -> None:
    from runtime.camera.gstreamer import import_gstreamer, pipeline_for

    gst = import_gstreamer().gst
    text = pipeline_for(config.camera, gst)
    found.pipeline = shown(text)
    found.missing = {
        name: how_to_get(name)
        for name in elements_of(text)
        if gst.ElementFactory.find(name) is None
    }


def _watch(config: Config, found: CameraFindings, seconds: float) -> None:
    counters = CameraCounters()
    watch = FrameWatch(found.source, counters, frozen_s=math.inf, size=config.camera.size)
    times_ns: list[int] = []
    limits = config.recovery
    with open_source(
        config.camera, timeout_s=limits.silent_s, first_timeout_s=limits.first_frame_s
    ) as source:
        locked = False
        for frame in source.frames():
            watch.see(frame)
            times_ns.append(frame.t_capture_ns)
            passed_ns = frame.t_capture_ns - times_ns[0]
            if not locked and passed_ns >= min(LOCK_AFTER_NS, seconds * 0.5e9):
                found.held, found.unlocked = source.lock()
                locked = True
            if passed_ns >= seconds * 1e9:
                break
        if source.size is not None:
            found.width_px, found.height_px = source.size
        found.not_advancing = source.dropped
    watch.settle()
    found.frames, found.lost, found.repeated = len(times_ns), counters.lost, counters.repeated
    if len(times_ns) < 3:
        raise Failure(f"{found.source}: only {len(times_ns)} frames came; look for longer")
    t_s = (np.array(times_ns) - times_ns[0]) / 1e9
    steps_ms = 1e3 * np.diff(t_s)
    whole = steps_ms < 1.5 * np.median(steps_ms)
    found.seconds = float(t_s[-1])
    found.rate_hz = rate_of(t_s)
    found.jitter_ms = float(steps_ms[whole].std())
    found.longest_step_ms = float(steps_ms.max())
