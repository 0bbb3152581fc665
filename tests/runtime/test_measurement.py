import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from videos import BURST_HZ, burst, moving

from benchmarks.clips import Floats, Scene
from calibration import scale_file
from calibration.scale import KnownRectangle
from failure import Failure
from runtime.alert_memory import Remembered
from runtime.alerts import AlertRules, Judged, Spoiled
from runtime.config import Alert, Camera, Config, Region, Vibration
from runtime.displacement import DisplacementMeter
from runtime.frame import Frame
from runtime.measurement import Measured, Measurement
from runtime.messages import AlertMessage, ModeShape, Telemetry
from runtime.readings import Readings
from runtime.vibration import Levels, VibrationWindow

GIRDER = Region(name="girder", x=12, y=12, width=40, height=40)
ALWAYS = Alert(name="always", quantity="displacement_rms_px", raise_above=1e-6, raise_after_s=0.0)


def config(*regions: Region, alerts: tuple[Alert, ...] = (), report_every_s: float = 1.0) -> Config:
    values = {"alerts": alerts} if alerts else {}
    return Config(
        camera=Camera(source="test"),
        regions=regions or (GIRDER,),
        vibration=Vibration(report_every_s=report_every_s),
        **values,
    )


def at_rate(frames: Iterable[Frame], rate_hz: float, start_s: float = 0.0) -> list[Frame]:
    """The same pictures at other times."""
    return [
        Frame(frame.index, round((start_s + frame.index / rate_hz) * 1e9), frame.image)
        for frame in frames
    ]


def still(seconds: float) -> list[Frame]:
    return list(moving(burst(seconds, 0.0, 0.0)))


def measured(settings: Config, frames: Iterable[Frame]) -> list[Measured]:
    measurement = Measurement(settings)
    return [measurement.process(frame) for frame in frames]


def told_at(results: list[Measured]) -> list[int]:
    """Numbers of the frames that came with telemetry."""
    return [number for number, one in enumerate(results) if one.telemetry]


def test_every_frame_gives_the_displacement_of_every_region() -> None:
    pier = Region(name="pier", x=8, y=8, width=24, height=30)
    frames = list(moving(burst(1.0, 0.2, 1.0)))
    results = measured(config(GIRDER, pier), frames)
    meter = DisplacementMeter([GIRDER, pier])
    assert [one.displacements for one in results] == [meter.measure(frame) for frame in frames]


def test_telemetry_comes_as_often_as_configured_for_every_region() -> None:
    pier = Region(name="pier", x=8, y=8, width=24, height=30)
    results = measured(config(GIRDER, pier, report_every_s=0.5), still(2.0))
    assert told_at(results) == [0, 15, 30, 45]
    assert [t.region for t in results[15].telemetry] == ["girder", "pier"]
    assert results[15].telemetry[0].t_s == 0.5
    assert results[45].telemetry[0].rate_hz == pytest.approx(30)


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


@pytest.mark.parametrize(
    ("rate_hz", "expected"),
    [(30.0, range(0, 60, 3)), (100.0, range(0, 60, 10)), (25.0, range(0, 60, 3))],
)
def test_alert_rules_look_ten_times_a_second_at_most(
    rate_hz: float, expected: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[float] = []

    def update(_: AlertRules, t_s: float, now: Mapping[str, Readings], _spoiled: Spoiled) -> Judged:
        assert list(now) == ["girder"]
        judged.append(t_s)
        return Judged()

    monkeypatch.setattr(AlertRules, "update", update)
    measured(config(), at_rate(still(2.0), rate_hz))
    np.testing.assert_allclose(judged, [n / rate_hz for n in expected])


def test_a_burst_raises_one_alert_and_its_end_ends_it() -> None:
    results = measured(config(), moving(burst(11.0, 3.0, 5.0)))
    alerts = [alert for one in results for alert in one.alerts]
    new, *updates, end = alerts
    assert [alert.type for alert in alerts] == ["new", *["update"] * len(updates), "end"]
    assert {alert.event_id for alert in alerts} == {new.event_id}
    assert [alert.sequence for alert in alerts] == list(range(len(alerts)))
    assert (new.rule, new.region, new.quantity) == ("vibration", "girder", "signal_to_noise")
    # The level's window is 2 s long; the hold times are 1 s and 3 s.
    assert 3.0 < new.started_t_s < 3.5
    assert new.t_s == pytest.approx(new.started_t_s + 1.0, abs=0.1)
    assert 9.5 < end.t_s < 10.5
    assert end.peak_value is not None
    assert end.peak_value > 10 > 2.0 == new.threshold
    assert end.dominant_hz == pytest.approx(BURST_HZ, rel=0.01)
    flags = [(t.t_s, t.alert) for one in results for t in one.telemetry]
    assert all(flag == (new.t_s <= t_s < end.t_s) for t_s, flag in flags)
    assert any(flag for _, flag in flags)


def test_a_still_clip_of_the_same_noise_is_silent() -> None:
    results = measured(config(), moving(burst(11.0, 0.0, 0.0)))
    assert [alert for one in results for alert in one.alerts] == []
    assert not any(t.alert for one in results for t in one.telemetry)


def test_alerts_that_have_not_ended_are_known() -> None:
    measurement = Measurement(config(alerts=(ALWAYS,)))
    assert measurement.open_alerts() == ()
    raised = [alert for frame in still(3.5) for alert in measurement.process(frame).alerts]
    [still_open] = measurement.open_alerts()
    assert still_open.event_id == raised[0].event_id


@pytest.mark.parametrize("corner", [(30, 0), (0, 30), (500, 500)])
def test_a_region_outside_the_picture_is_told(corner: tuple[int, int]) -> None:
    outside = Region(name="outside", x=corner[0], y=corner[1], width=40, height=40)
    with pytest.raises(Failure, match=r'Region "outside" .* beyond the picture of 64x64 px'):
        measured(config(GIRDER, outside), still(0.1))


def test_a_picture_of_another_size_is_told() -> None:
    other = moving(np.zeros(1), scene=Scene(80, 64))
    with pytest.raises(Failure, match="size changed from 64x64 to 80x64"):
        measured(config(), [*still(0.1), *other])


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


def judged_alerts(results: Iterable[Measured]) -> list[AlertMessage]:
    return [alert for one in results for alert in one.alerts]


def without_frames(
    measurement: Measurement, from_s: float, to_s: float, problem: str | None = None
) -> list[Measured]:
    """The camera is silent; times are those since the newest frame."""
    return [measurement.wait(waited_s, problem) for waited_s in np.arange(from_s, to_s, 0.2)]


def test_a_camera_that_falls_silent_is_told_and_not_its_rules_one_by_one() -> None:
    rule = Alert(name="sway", quantity="displacement_rms_px", raise_above=9, missing_after_s=10)
    measurement = Measurement(config(alerts=(rule,)))
    for frame in still(3.0):
        measurement.process(frame)
    assert without_frames(measurement, 0.0, 1.0)[-1] == Measured(())
    silent = without_frames(measurement, 1.0, 20.0, "camera: unplugged")
    [offline] = judged_alerts(silent)
    assert (offline.kind, offline.rule, offline.reason) == (
        "health",
        "offline",
        "camera: unplugged",
    )
    assert measurement.health.problems() == ("offline",)
    # The rule's reading is missing too, which the camera explains: it is recorded.
    [recorded] = [one for measured in silent for one in measured.suppressed]
    assert (recorded.kind, recorded.rule) == ("missing", "sway")
    assert recorded.reason == "the camera is unwell: offline"


def test_a_region_that_is_covered_alone_is_missing_with_its_reason() -> None:
    pier = Region(name="pier", x=72, y=12, width=40, height=40)
    pillar = Region(name="pillar", x=132, y=12, width=40, height=40)
    rule = Alert(name="sway", quantity="displacement_rms_px", raise_above=9, missing_after_s=5)
    frames = list(moving(np.zeros(10 * 30), scene=Scene(184, 64)))
    for frame in frames[60:]:
        frame.image[:, :60] = 130 + (np.arange(60) % 7 * 9)[None, :, None]
    results = measured(config(GIRDER, pier, pillar, alerts=(rule,)), frames)
    [lost] = judged_alerts(results)
    assert (lost.kind, lost.region, lost.regions) == ("missing", "girder", ("girder",))
    assert lost.reason is not None
    assert lost.reason.startswith("changed:")


def test_acknowledging_ends_a_latched_alert_that_is_quiet_again() -> None:
    rule = Alert(name="sway", quantity="displacement_rms_px", raise_above=0.1, latch=True)
    measurement = Measurement(config(alerts=(rule,)))
    frames = moving(burst(11.0, 1.0, 4.0))
    new, waits = judged_alerts(measurement.process(frame) for frame in frames)
    assert (new.type, waits.type) == ("new", "update")
    with pytest.raises(Failure, match=f"has the event_id other; open are: {new.event_id}"):
        measurement.acknowledge("other")
    [end] = measurement.acknowledge(new.event_id)
    assert (end.type, end.reason, end.sequence) == ("end", "acknowledged", 2)
    assert measurement.open_alerts() == ()


def test_what_was_kept_goes_on_in_the_next_measurement() -> None:
    rule = Alert(name="sway", quantity="displacement_rms_px", raise_above=0.1)
    first = Measurement(config(alerts=(rule,)))
    assert first.kept() is None
    [new] = judged_alerts(first.process(frame) for frame in moving(burst(4.0, 1.0, 4.0)))
    going_on = first.kept()
    assert going_on is not None
    saved_t_s, kept = going_on
    remembered = Remembered(
        camera="c", saved_unix_s=time.time(), saved_t_s=saved_t_s, kept=tuple(kept)
    )
    second = Measurement(config(alerts=(rule,)), remembered)
    [end] = judged_alerts(second.process(frame) for frame in still(8.0))
    assert (end.event_id, end.type, end.sequence) == (new.event_id, "end", new.sequence + 1)
    assert end.duration_s == pytest.approx(saved_t_s - new.started_t_s + end.t_s, abs=0.1)


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


def test_alerts_of_several_regions_together_name_them() -> None:
    pier = Region(name="pier", x=8, y=8, width=24, height=30)
    rule = Alert(name="both", quantity="displacement_rms_px", raise_above=0.1, at_least_regions=2)
    results = measured(config(GIRDER, pier, alerts=(rule,)), moving(burst(5.0, 1.0, 5.0)))
    [new] = judged_alerts(results)
    assert (new.region, set(new.regions)) == (None, {"girder", "pier"})
    flags = {t.region: t.alert for t in results[told_at(results)[-1]].telemetry}
    assert flags == {"girder": True, "pier": True}


WIDE = Scene(184, 64)
WALL = Region(name="wall", x=132, y=12, width=40, height=40, reference=True)


def before_a_wall(camera_px: Floats, deck_px: Floats) -> Iterator[Frame]:
    """GIRDER moves, WALL stands still, and the camera shakes."""
    decks = moving(camera_px + deck_px, scene=Scene(64, 64))
    for frame, deck in zip(moving(camera_px, scene=WIDE, seed=5), decks, strict=True):
        frame.image[:, :64] = deck.image
        yield frame


def test_a_reference_region_takes_the_cameras_shake_out_of_the_others() -> None:
    shake_px = 0.8 * np.sin(np.arange(180) / 2.9)
    rules = (
        Alert(name="any", quantity="displacement_rms_px", raise_above=0.1),
        Alert(name="mount", quantity="displacement_rms_px", raise_above=0.1, regions=("wall",)),
    )
    frames = before_a_wall(shake_px, np.zeros(180))
    results = measured(config(GIRDER, WALL, alerts=rules), frames)
    girder, wall = results[told_at(results)[-1]].telemetry
    assert girder.displacement_rms_px is not None
    assert girder.displacement_rms_px < 0.01
    assert (girder.shake, wall.shake) == ("translation", None)
    assert girder.shake_x_px is not None
    assert girder.shake_x_px == pytest.approx(wall.x_px, abs=1e-9)
    assert wall.shake_x_px is None
    assert wall.displacement_rms_px == pytest.approx(0.8 / math.sqrt(2), rel=0.1)
    # Only the rule that names the reference watches it.
    new = [(one.rule, one.region) for one in judged_alerts(results) if one.type == "new"]
    assert new == [("mount", "wall")]


def test_what_moves_before_a_still_wall_is_told_and_the_wall_has_no_part_in_its_shape() -> None:
    pier = Region(name="pier", x=10, y=10, width=40, height=40)
    frames = before_a_wall(burst(6.0, 0.0, 6.0), burst(6.0, 0.0, 6.0, amplitude_px=0.2))
    results = measured(config(GIRDER, pier, WALL), frames)
    new = {one.region for one in judged_alerts(results) if one.type == "new"}
    assert new == {"girder", "pier"}
    shape = [one for result in results for one in result.shapes][-1]
    assert {point.region for point in shape.points} == {"girder", "pier"}
    assert shape.points[0].amplitude_px == pytest.approx(0.2, rel=0.05)


def test_without_its_reference_a_region_is_missing_and_says_why() -> None:
    rule = Alert(name="sway", quantity="displacement_rms_px", raise_above=9, missing_after_s=3)
    frames = list(before_a_wall(np.zeros(10 * 30), np.zeros(10 * 30)))
    for frame in frames[60:]:
        frame.image[:, 120:] = 130 + (np.arange(64) % 7 * 9)[None, :, None]
    results = measured(config(GIRDER, WALL, alerts=(rule,)), frames)
    why = 'shake: reference region "wall" is missing (changed: '
    last = results[told_at(results)[-1]].telemetry[0]
    assert (last.valid, last.x_px, last.shake) == (False, None, None)
    assert last.reason is not None
    assert last.reason.startswith(why)
    [lost] = [one for one in judged_alerts(results) if one.kind == "missing"]
    assert (lost.region, lost.value) == ("girder", None)
    assert lost.reason is not None
    assert lost.reason.startswith(why)
