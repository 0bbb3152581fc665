"""What is told of every region at every report, and when."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from measuring import ALWAYS, GIRDER, at_rate, config, judged_alerts, measured, still, told_at
from videos import BURST_HZ, burst, moving

from calibration import scale_file
from calibration.scale import KnownRectangle
from failure import Failure
from runtime.alerts.memory import Remembered
from runtime.config import Alert, Region, Vibration
from runtime.frame import Frame
from runtime.measurement import Measurement
from runtime.messages import AlertMessage, ModeShape, Telemetry
from runtime.vibration import Levels, VibrationWindow
from runtime.vibration.window import Report


def test_telemetry_comes_as_often_as_configured_for_every_region() -> None:
    pier = Region(name="pier", x=8, y=8, width=24, height=30)
    results = measured(config(GIRDER, pier, report_every_s=0.5), still(2.0))
    # The second of two regions is reported on with the frame after the first's.
    assert told_at(results) == [0, 16, 31, 46]
    assert [t.region for t in results[16].telemetry] == ["girder", "pier"]
    assert results[16].telemetry[1].t_s == pytest.approx(16 / 30)
    assert results[46].telemetry[0].rate_hz == pytest.approx(30)


def test_a_report_interval_between_two_frames_waits_for_the_next_frame() -> None:
    results = measured(config(report_every_s=0.25), at_rate(still(1.0), 10))
    assert told_at(results) == list(range(0, 30, 3))


def test_telemetry_goes_on_after_a_clock_that_went_back() -> None:
    frames = still(1.0)
    again = [*at_rate(frames, 30, start_s=1000.0), *at_rate(frames, 30)]
    assert told_at(measured(config(report_every_s=0.5), again)) == [0, 15, 30, 45]


def test_telemetry_tells_what_was_measured() -> None:
    frames = moving(burst(4.0, 0.0, 4.0))
    results = measured(config(), frames)
    [last] = results[told_at(results)[-1]].telemetry
    moved = results[told_at(results)[-1]].displacements[0]
    assert (last.x_px, last.y_px) == (moved.x_px, moved.y_px)
    assert (last.x_se_px, last.y_se_px) == (moved.x_se_px, moved.y_se_px)
    assert last.dominant_hz == pytest.approx(BURST_HZ, rel=0.005)
    assert last.dominant_amplitude_px == pytest.approx(0.3, rel=0.05)
    assert last.displacement_rms_px == pytest.approx(0.3 / math.sqrt(2), rel=0.05)
    # 30 frames a second see a sine of 5 Hz at multiples of 60 degrees.
    assert last.displacement_peak_px == pytest.approx(0.26, rel=0.1)
    assert last.signal_to_noise is not None
    assert last.signal_to_noise > 10
    assert last.valid
    assert last.reason is None
    assert last.nyquist_hz == pytest.approx(15)
    assert last.velocity_rms_px_s == pytest.approx(2 * math.pi * BURST_HZ * 0.3 / 2**0.5, rel=0.05)
    assert last.ppv_px_s == pytest.approx(2 * math.pi * BURST_HZ * 0.3, rel=0.07)
    assert last.ppv_hz == pytest.approx(BURST_HZ, rel=0.05)
    assert last.acceleration_peak_px_s2 == pytest.approx(
        (2 * math.pi * BURST_HZ) ** 2 * 0.3, rel=0.1
    )
    assert last.displacement_peak_to_peak_px == pytest.approx(0.6, rel=0.07)
    [peak, *_] = last.peaks
    assert (peak.hz, peak.amplitude_px, peak.axis) == (
        last.dominant_hz,
        last.dominant_amplitude_px,
        "x",
    )
    assert 0 < peak.hz_se < 0.05
    assert last.damping is None
    assert last.damping_missing
    assert last.noise_floor_px_per_root_hz is not None
    assert 0 < last.noise_floor_px_per_root_hz < 0.02
    assert last.frequency_shift_percent is None  # not learned yet


def scaled(tmp_path: Path, size_px: tuple[int, int] = (64, 64)) -> Region:
    """The girder, with 2 mm a pixel in x and 5 in y, each known to some per cent."""
    square = KnownRectangle(
        corners_px=((16, 16), (48, 16), (48, 48), (16, 48)),
        click_se_px=0.5,
        width_mm=64,
        width_se_mm=0,
        height_mm=160,
        height_se_mm=0,
    )
    scale_file.write(tmp_path / "scale.json", scale_file.made(square, size_px))
    return GIRDER.model_copy(update={"scale": tmp_path / "scale.json"})


def test_with_a_scale_messages_hold_millimetres_and_their_error(tmp_path: Path) -> None:
    rule = Alert(name="sway", quantity="displacement_rms_mm", raise_above=0.2)
    frames = list(moving(burst(4.0, 0.0, 4.0)))
    results = measured(config(scaled(tmp_path), alerts=(rule,)), frames)
    plain = measured(config(), frames)
    [last], [without] = (one[told_at(one)[-1]].telemetry for one in (results, plain))
    # Each axis has its own scale, and the two standard errors add as squares.
    share = 0.5 / 32
    for value_px, se_px, value_mm, se_mm, scale in (
        (last.x_px, last.x_se_px, last.x_mm, last.x_se_mm, 2.0),
        (last.y_px, last.y_se_px, last.y_mm, last.y_se_mm, 5.0),
    ):
        assert value_px is not None
        assert se_px is not None
        assert value_mm == pytest.approx(scale * value_px, abs=1e-9)
        assert se_mm == pytest.approx(scale * math.hypot(se_px, share * value_px), rel=0.02)
    assert last.dominant_amplitude_px is not None
    assert last.dominant_amplitude_mm == pytest.approx(2 * last.dominant_amplitude_px)
    assert last.dominant_amplitude_se_mm == pytest.approx(share * 0.6, rel=0.1)
    assert last.displacement_rms_mm == pytest.approx(0.6 / math.sqrt(2), rel=0.05)
    assert last.displacement_rms_se_mm == pytest.approx(share * 0.6 / math.sqrt(2), rel=0.05)
    assert last.displacement_peak_mm == pytest.approx(0.52, rel=0.1)
    [raised] = [alert for one in results for alert in one.alerts]
    assert (raised.quantity, raised.threshold) == ("displacement_rms_mm", 0.2)
    assert raised.value == raised.displacement_rms_mm == pytest.approx(0.42, rel=0.1)
    assert raised.displacement_peak_se_mm is not None
    # The scale changes nothing of what is in pixels, and without it no millimetre is told.
    in_mm = {name for name in Telemetry.model_fields if re.search("_mm(_s2?)?$", name)}
    assert len(in_mm) == 20
    told, told_without = last.model_dump(), without.model_dump()
    assert {told_without[name] for name in in_mm} == {None}
    assert without.ppv_px_s is not None
    assert last.ppv_mm_s == pytest.approx(2 * without.ppv_px_s, rel=0.01)
    [peak, *_], [plain_peak, *_] = last.peaks, without.peaks
    assert peak.amplitude_mm == pytest.approx(2 * peak.amplitude_px)
    assert plain_peak.amplitude_mm is None
    same = set(told) - in_mm - {"time_utc", "alert", "peaks"}
    assert {name: told[name] for name in same} == {name: told_without[name] for name in same}
    [quiet, *_] = [alert for one in plain for alert in one.alerts]
    assert quiet.displacement_rms_mm is quiet.displacement_rms_se_mm is None


def test_a_scale_for_pictures_of_another_size_is_told(tmp_path: Path) -> None:
    settings = config(scaled(tmp_path, size_px=(128, 128)))
    with pytest.raises(Failure, match=r'for pictures of 128x128 px, and region "girder" .* 64x64'):
        measured(settings, still(0.1))


@pytest.mark.parametrize("with_scale", [False, True])
def test_missing_values_are_null_in_messages(with_scale: bool, tmp_path: Path) -> None:
    blank = [
        Frame(number, number * 33_333_333, np.full((64, 64, 3), 100, np.uint8))
        for number in range(70)
    ]
    results = measured(config(scaled(tmp_path) if with_scale else GIRDER), blank)
    for number in told_at(results):
        [telemetry] = results[number].telemetry
        content = json.loads(telemetry.model_dump_json())
        assert Telemetry.model_validate(content) == telemetry
        missing = {name for name, value in content.items() if value is None}
        assert missing >= {
            *("x_px", "y_px", "x_se_px", "y_se_px", "dominant_hz", "dominant_amplitude_px"),
            *("displacement_rms_px", "displacement_peak_px", "signal_to_noise"),
            *("displacement_peak_to_peak_px", "velocity_rms_px_s", "ppv_px_s", "ppv_hz"),
            *("acceleration_rms_px_s2", "acceleration_peak_px_s2", "damping"),
            *("noise_floor_px_per_root_hz", "frequency_shift_percent"),
            *(name for name in content if "_mm" in name),
        }
        assert not content["valid"]
        assert "flat" in content["reason"]


def test_an_alert_without_a_dominant_frequency_has_null_there() -> None:
    results = measured(config(alerts=(ALWAYS,)), still(3.5))
    [raised] = [alert for one in results for alert in one.alerts]
    content = json.loads(raised.model_dump_json())
    assert content["dominant_hz"] is None
    assert AlertMessage.model_validate(content) == raised


def test_a_shift_of_the_natural_frequency_is_told() -> None:
    region = GIRDER.model_copy(update={"baseline_hz": 5.0})
    results = measured(config(region), moving(burst(5.0, 0.0, 5.0)))
    [last] = results[told_at(results)[-1]].telemetry
    assert last.baseline_hz == 5.0
    assert last.dominant_hz is not None
    assert last.frequency_shift_percent is not None
    assert last.frequency_shift_percent == pytest.approx(100 * (last.dominant_hz / 5.0 - 1))
    assert last.frequency_shift_se_percent is not None
    assert abs(last.frequency_shift_percent - 100 * (BURST_HZ / 5.0 - 1)) < max(
        4 * last.frequency_shift_se_percent, 0.1
    )


def test_a_learned_baseline_goes_on_in_the_next_process() -> None:
    settings = config().model_copy(
        update={"vibration": Vibration(window_s=2.0, learn_baseline_s=2.0)}
    )
    frames = list(moving(burst(8.0, 0.0, 8.0)))
    before = Measurement(settings)
    told = [one for frame in frames for one in before.process(frame).telemetry]
    assert told[0].frequency_shift_percent is None
    assert told[-1].frequency_shift_percent == pytest.approx(0, abs=1)
    remembered = Remembered(
        camera="c", saved_unix_s=0, saved_t_s=0, kept=(), baselines=before.baselines()
    )
    after = Measurement(settings, remembered)
    told = [one for frame in frames[:150] for one in after.process(frame).telemetry]
    assert told[-1].baseline_hz == before.baselines()["girder"]["frequency_hz"]


def test_regions_that_move_together_share_a_shape(tmp_path: Path) -> None:
    pier = Region(name="pier", x=8, y=8, width=24, height=30)
    results = measured(config(scaled(tmp_path), pier), moving(burst(6.0, 0.0, 6.0)))
    shapes = [shape for one in results for shape in one.shapes]
    last = shapes[-1]
    assert last.frequency_hz == pytest.approx(BURST_HZ, rel=0.005)
    along = {point.region: point for point in last.points if point.axis == "x"}
    # Both regions show one rigid picture.
    for point in along.values():
        assert point.ratio == pytest.approx(1.0, abs=0.05)
        assert point.phase_deg == pytest.approx(0.0, abs=3)
        assert point.coherence > 0.98
        assert point.amplitude_px == pytest.approx(0.3, rel=0.05)
    assert along["girder"].amplitude_mm == pytest.approx(0.6, rel=0.05)
    assert along["pier"].amplitude_mm is None
    assert shapes[0].mac is None
    assert last.mac is not None
    assert last.mac > 0.95
    assert ModeShape.model_validate_json(last.model_dump_json()) == last


def test_still_regions_have_no_shape() -> None:
    pier = Region(name="pier", x=8, y=8, width=24, height=30)
    assert [one.shapes for one in measured(config(GIRDER, pier), still(3.0)) if one.shapes] == []


def test_telemetry_tells_the_share_of_every_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = Levels(0.1, 0.2, 3.0, ppv_mm_s=6.0, ppv_hz=8.0)
    monkeypatch.setattr(
        VibrationWindow, "levels_together", lambda windows, _, **__: [levels for _ in windows]
    )
    rule = Alert.model_validate(
        {"name": "dwellings", "profile": "din4150-3-line2", "raise_after_s": 0.2}
    )
    results = measured(config(scaled(tmp_path), alerts=(rule,)), still(1.5))
    assert results[told_at(results)[-1]].telemetry[0].limit_ratios == {
        "dwellings": pytest.approx(1.2)
    }
    # Nobody has confirmed the limit: above it nothing is raised, and that is recorded.
    assert judged_alerts(results) == []
    [recorded] = [one for measured in results for one in measured.suppressed]
    assert recorded.reason == "the profile is not confirmed by name and date"


def test_many_regions_are_reported_on_a_few_with_each_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A report takes as long as several frames: all at once would let frames wait."""
    regions = [
        Region(name=f"r{number}", x=4 * number, y=12, width=24, height=40) for number in range(10)
    ]
    reports: list[VibrationWindow] = []
    original = VibrationWindow.report

    def report(self: VibrationWindow) -> Report:
        reports.append(self)
        return original(self)

    monkeypatch.setattr(VibrationWindow, "report", report)
    measurement, counts = Measurement(config(*regions)), []
    for frame in at_rate(still(2.0), 30, start_s=100.0):
        reports.clear()
        told = measurement.process(frame).telemetry
        counts.append(len(reports))
        assert len(told) in (0, 10)
        if told and len(counts) > 1:
            assert sum(counts[-5:]) == 10, "every region once in a round"
    # Within a quarter of the second; the first frame has no step to count by.
    assert counts[0] == 10
    assert max(counts[1:]) == 2
    assert sum(counts[1:]) == 10
