"""``/metrics`` as Prometheus reads it."""

import re
from pathlib import Path

import pytest
from pages import Served, configured, served
from prometheus_client.parser import text_string_to_metric_families

DOCUMENT = Path(__file__).parents[3] / "docs" / "page.md"


def metrics(one: Served) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name and labels' values."""
    text = one.client().get("/metrics").text
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_they_say_what_the_snapshot_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(configured(tmp_path), monkeypatch) as one:
        found, now = metrics(one), one.daemon.snapshot()
    assert found["tremorscope_frames_captured_total"][()] == now.frames.captured
    assert found["tremorscope_frames_measured_total"][()] == now.frames.measured
    assert found["tremorscope_open_alerts"] == {("vibration",): 1, ("missing",): 0, ("health",): 0}
    [report] = now.telemetry
    assert found["tremorscope_displacement_rms_pixels"] == {
        ("girder",): pytest.approx(report.displacement_rms_px)
    }
    assert found["tremorscope_camera_problem"][("frozen",)] == 0
    assert found["tremorscope_magnification_gain_ratio"][()] == 20
    assert found["tremorscope_page_watchers"][()] == 0
    assert found["process_resident_memory_bytes"][()] > 1e6


def test_a_missing_value_is_left_out_and_never_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(configured(tmp_path), monkeypatch, magnifies=False) as one:
        found = metrics(one)
    # Without a scale there is no length, without an engine no gain.
    assert "tremorscope_displacement_rms_meters" not in found
    assert "tremorscope_magnification_gain_ratio" not in found


def test_the_document_lists_every_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(configured(tmp_path), monkeypatch, keeps=True) as one:
        text = one.client().get("/metrics").text
    told = set(re.findall(r"^# TYPE (tremorscope\w*)", text, re.MULTILINE))
    listed = set(re.findall(r"`(tremorscope_\w+)`", DOCUMENT.read_text()))
    assert told <= listed
