"""``/metrics`` for Prometheus, out of the daemon's snapshot: base units, nothing where a value is missing."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from runtime.config.health import Health
from runtime.latency import Spread
from runtime.messages import Telemetry
from runtime.page.pictures import Pictures
from runtime.snapshot import Latencies, Snapshot

_M, _HZ = "meters", "hertz"
_OF_CAMERA = {
    "reopened": "Times that the camera was opened again",
    "repeated": "Frames with exactly the picture before, not measured",
    "lost": "Frames missing between two that came, by their times",
    "not_advancing": "Frames left out, whose time was not later than the one before",
    "other_size": "Frames of another size, left out",
    "argus_restarts": "Requested restarts of NVIDIA's camera service",
}
_OF_REGION: tuple[tuple[str, str, Callable[[Telemetry], float | None]], ...] = (
    ("displacement_x_pixels", "Displacement from zero", lambda one: one.x_px),
    ("displacement_y_pixels", "Displacement from zero", lambda one: one.y_px),
    ("displacement_rms_pixels", "RMS displacement", lambda one: one.displacement_rms_px),
    ("displacement_peak_pixels", "Peak displacement", lambda one: one.displacement_peak_px),
    (f"displacement_rms_{_M}", "RMS displacement", lambda one: _si(one.displacement_rms_mm)),
    (f"displacement_peak_{_M}", "Peak displacement", lambda one: _si(one.displacement_peak_mm)),
    (f"velocity_rms_{_M}_per_second", "RMS velocity", lambda one: _si(one.velocity_rms_mm_s)),
    (
        f"peak_particle_velocity_{_M}_per_second",
        "Peak particle velocity",
        lambda one: _si(one.ppv_mm_s),
    ),
    (
        f"acceleration_rms_{_M}_per_second_squared",
        "RMS acceleration",
        lambda one: _si(one.acceleration_rms_mm_s2),
    ),
    (f"dominant_frequency_{_HZ}", "Strongest frequency", lambda one: one.dominant_hz),
    ("signal_to_noise_ratio", "RMS over the noise of a value", lambda one: one.signal_to_noise),
    ("measurement_valid", "1: the newest value can be trusted", lambda one: float(one.valid)),
)
"""Gauges of each region: name, meaning, value."""


def registry_of(
    snapshot: Callable[[], Snapshot], pictures: Pictures, folder: Path
) -> CollectorRegistry:
    """What ``/metrics`` shows of one daemon; ``folder`` is on the disk that evidence goes to."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Daemon(snapshot, pictures, folder))
    return registry


class _Daemon(Collector):
    def __init__(self, snapshot: Callable[[], Snapshot], pictures: Pictures, folder: Path) -> None:
        self._snapshot, self._pictures, self._folder = snapshot, pictures, folder

    def describe(self) -> list[Metric]:
        """Nothing: it would need a snapshot before there is one."""
        return []

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot()
        yield InfoMetricFamily(
            "tremorscope",
            "What runs here",
            value={
                "version": version("tremorscope"),
                "camera": now.name,
                "engine": now.engine or "none",
            },
        )
        yield from _frames(now)
        yield from _latencies(now.latencies)
        yield from _health(now)
        yield from _regions(now.telemetry)
        yield from _alerts(now)
        yield from _page(self._pictures)
        yield from disk_metrics(self._folder)


def _frames(now: Snapshot) -> Iterator[Metric]:
    frames, waiting = now.frames, now.waiting
    yield _counter("frames_captured", "Frames that the camera delivered", frames.captured)
    yield _counter("frames_measured", "Frames that were measured", frames.measured)
    yield _counter("frames_not_measured", "Frames dropped before measurement", frames.not_measured)
    yield _counter("frames_magnified", "Frames that were magnified", frames.magnified)
    yield _counter(
        "frames_not_magnified", "Frames that magnification skipped", frames.not_magnified
    )
    for name, meaning in _OF_CAMERA.items():
        yield _counter(f"camera_{name}", meaning, getattr(now.camera, name))
    yield from _gauge(f"camera_rate_{_HZ}", "Real rate of frames", now.camera_hz)
    yield from _gauge(f"magnification_rate_{_HZ}", "Real rate of magnification", now.magnified_hz)
    yield from _gauge("frame_age_seconds", "Time since the newest frame", now.frame_age_s)
    yield from _gauge("running_seconds", "Time since the start", now.running_s)
    yield from _gauge("queue_frames", "Frames that wait to be measured", waiting.frames_to_measure)
    yield from _gauge(
        "queue_limit_frames", "Frames that may wait to be measured", waiting.most_frames_to_measure
    )
    if now.engine is not None:
        yield from _gauge("magnification_gain_ratio", "Gain now", now.magnification.gain)


def _latencies(latencies: Latencies) -> Iterator[Metric]:
    metric = GaugeMetricFamily(
        "tremorscope_latency_seconds",
        "From capture until a station was done, of the newest frames",
        labels=["station", "quantile"],
    )
    for station in Latencies.model_fields:
        spread: Spread | None = getattr(latencies, station)
        if spread is not None:
            metric.add_metric([station, "0.5"], spread.p50_ms / 1e3)
            metric.add_metric([station, "0.99"], spread.p99_ms / 1e3)
    yield metric


def _health(now: Snapshot) -> Iterator[Metric]:
    metric = GaugeMetricFamily(
        "tremorscope_camera_problem", "1 while the camera has this problem", labels=["problem"]
    )
    for name in Health.model_fields:
        metric.add_metric([name], float(name in now.health))
    yield metric


def _regions(telemetry: tuple[Telemetry, ...]) -> Iterator[Metric]:
    for name, meaning, value_of in _OF_REGION:
        metric = GaugeMetricFamily(f"tremorscope_{name}", meaning, labels=["region"])
        for one in telemetry:
            value = value_of(one)
            if value is not None:
                metric.add_metric([one.region], value)
        yield metric


def _alerts(now: Snapshot) -> Iterator[Metric]:
    metric = GaugeMetricFamily("tremorscope_open_alerts", "Alerts that are open", labels=["kind"])
    for kind in ("vibration", "missing", "health"):
        metric.add_metric([kind], sum(one.kind == kind for one in now.open_alerts))
    yield metric
    yield _counter("alerts_suppressed", "Alerts that were not raised", now.suppressed)
    delivery = now.delivery
    if delivery is not None:
        yield from _gauge("mqtt_connected", "1: the broker is there", float(delivery.connected))
        yield from _gauge("mqtt_alerts_waiting", "Alerts that wait for the broker", delivery.queued)
        yield from _gauge("mqtt_alerts_parked", "Alerts that the broker refused", delivery.parked)
        yield _counter("mqtt_alerts_delivered", "Alerts that were taken", delivery.acknowledged)
        yield _counter("mqtt_alerts_lost", "Alerts that were lost", delivery.dropped_alerts)
        yield from _gauge("mqtt_alerts_unsaved", "Alerts that are only in memory", delivery.unsaved)
        yield from _gauge(
            "mqtt_telemetry_waiting", "Telemetry that waits on the disk", delivery.waiting_telemetry
        )
        yield _counter("mqtt_telemetry_refused", "Telemetry refused", delivery.refused_telemetry)
        yield _counter(
            "mqtt_telemetry_dropped", "Telemetry without room", delivery.dropped_telemetry
        )
        yield _counter("mqtt_reconnects", "Times that the connection was lost", delivery.reconnects)
    evidence = now.evidence
    if evidence is not None:
        yield _counter("evidence_events", "Events whose evidence was begun", evidence.events)
        yield _counter("evidence_incomplete", "Events that lack evidence", evidence.incomplete)
        yield _counter("evidence_deleted", "Events that were deleted for room", evidence.deleted)
        yield _counter("evidence_pictures_lost", "Pictures lost", now.waiting.lost_pictures)
        yield _counter("evidence_samples_lost", "Frames' samples lost", now.waiting.lost_samples)
        problem = float(now.evidence_problem is not None)
        yield from _gauge("evidence_problem", "1: no evidence can be kept", problem)


def _page(pictures: Pictures) -> Iterator[Metric]:
    yield from _gauge("page_watchers", "Who watches the picture now", pictures.watchers)
    yield from _gauge("page_watchers_limit", "How many may", pictures.most_watchers)
    yield _counter("page_watchers_refused", "Who was refused for that", pictures.refused)
    yield _counter("page_pictures_encoded", "Pictures encoded", pictures.encoded_pictures)
    yield _counter("page_pictures_sent", "Pictures sent", pictures.sent)


def disk_of(folder: Path) -> Mapping[str, int]:
    """Bytes of the disk that a folder is on, or will be; nothing where it does not say."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return {}
    return {"free": usage.free, "size": usage.total}


def disk_metrics(folder: Path) -> Iterator[Metric]:
    for name, value in disk_of(folder).items():
        yield from _gauge(f"disk_{name}_bytes", "Of the disk that evidence goes to", value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"tremorscope_{name}", meaning, value=value)


def _gauge(name: str, meaning: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield GaugeMetricFamily(f"tremorscope_{name}", meaning, value=value)


def _si(value_mm: float | None) -> float | None:
    return None if value_mm is None else value_mm / 1e3
