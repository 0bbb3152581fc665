"""Frames in; displacement and alerts out: the measuring half of the daemon."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from measuring import ALWAYS, GIRDER, at_rate, config, judged_alerts, measured, still, told_at
from videos import BURST_HZ, burst, moving

from benchmarks.clips import Floats, Scene
from failure import Failure
from runtime.alerts.memory import Remembered
from runtime.alerts.readings import Readings
from runtime.alerts.rules import AlertRules, Judged, Spoiled
from runtime.config import Alert, Region
from runtime.displacement import DisplacementMeter
from runtime.frame import Frame
from runtime.measurement import Measured, Measurement


def test_every_frame_gives_the_displacement_of_every_region() -> None:
    pier = Region(name="pier", x=8, y=8, width=24, height=30)
    frames = list(moving(burst(1.0, 0.2, 1.0)))
    results = measured(config(GIRDER, pier), frames)
    meter = DisplacementMeter([GIRDER, pier])
    assert [one.displacements for one in results] == [meter.measure(frame) for frame in frames]


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


def test_a_large_motion_is_judged_with_its_first_frame_and_then_ten_times_a_second() -> None:
    moved_px = np.zeros(90)
    moved_px[67:76] = 3.0  # rules look at frames 66, 69, ...
    far = Alert(name="far", quantity="displacement_px", raise_above=1.0, raise_after_s=0.0)
    results = measured(config(alerts=(far, ALWAYS)), moving(moved_px))
    judged = [number for number, one in enumerate(results) if one.judged]
    assert [number for number in judged if 66 <= number < 76] == [66, 67, 70, 73]
    [new] = (one for one in judged_alerts(results) if one.rule == "far" and one.type == "new")
    assert (new.t_s, new.started_t_s) == pytest.approx((67 / 30, 67 / 30))


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


def without_frames(
    measurement: Measurement, from_s: float, to_s: float, problem: Failure | None = None
) -> list[Measured]:
    """The camera is silent; times are those since the newest frame."""
    return [measurement.wait(waited_s, problem) for waited_s in np.arange(from_s, to_s, 0.2)]


def test_a_camera_that_never_starts_is_told_and_remembered() -> None:
    measurement = Measurement(config())
    began_s = time.monotonic()
    silent = without_frames(measurement, 0.0, 4.0, Failure("camera: not there"))
    [offline] = judged_alerts(silent)
    assert (offline.rule, offline.type, offline.reason) == ("offline", "new", "camera: not there")
    assert offline.t_s - began_s < 3.5, "on the clock that live frames have"
    kept = measurement.kept()
    assert kept is not None
    assert "offline" in [one.identity.rule for one in kept[1]]
    from_ns = time.monotonic_ns() + 5 * 10**9
    frames = [replace(one, t_capture_ns=from_ns + one.t_capture_ns) for one in still(7.0)]
    [end] = judged_alerts([measurement.process(frame) for frame in frames])
    assert (end.event_id, end.type) == (offline.event_id, "end")


def test_a_repeated_picture_is_no_measurement() -> None:
    measurement = Measurement(config())
    frames = list(still(4.0))
    for frame in frames[:60]:
        measurement.process(frame)
    repeated = [replace(one, image=frames[59].image, repeated=True) for one in frames[60:]]
    [displacement] = [measurement.process(one) for one in repeated][-1].displacements
    assert (displacement.x_px, displacement.y_px, displacement.valid) == (None, None, False)
    assert str(displacement.reason).startswith("repeated: ")


def test_a_camera_that_falls_silent_is_told_and_not_its_rules_one_by_one() -> None:
    rule = Alert(name="sway", quantity="displacement_rms_px", raise_above=9, missing_after_s=10)
    measurement = Measurement(config(alerts=(rule,)))
    for frame in still(3.0):
        measurement.process(frame)
    assert without_frames(measurement, 0.0, 1.0)[-1] == Measured(())
    silent = without_frames(measurement, 1.0, 20.0, Failure("camera: unplugged"))
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
    saved_unix_s = time.time()
    remembered = Remembered(
        camera="c", saved_unix_s=saved_unix_s, saved_t_s=saved_t_s, kept=tuple(kept)
    )
    second = Measurement(config(alerts=(rule,)), remembered)
    [end] = judged_alerts(second.process(frame) for frame in still(8.0))
    assert (end.event_id, end.type, end.sequence) == (new.event_id, "end", new.sequence + 1)
    both_s = saved_t_s - new.started_t_s + end.t_s
    assert end.duration_s is not None
    assert both_s - 0.1 < end.duration_s < both_s + 0.1 + (time.time() - saved_unix_s)


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


def test_a_spectrum_never_mixes_two_rates() -> None:
    fast = at_rate(moving(burst(8.0, 0.0, 8.0)), 30.0)
    # The same motion, of which every other picture comes.
    slow = [one for one in at_rate(moving(burst(8.0, 0.0, 8.0)), 30.0, 8.0) if one.index % 2 == 0]
    results = measured(config(), [*fast, *slow])
    for telemetry in (one for result in results for one in result.telemetry):
        assert not any("changed" in warning for warning in telemetry.warnings)
    last = results[-1 - results[::-1].index(next(one for one in results[::-1] if one.telemetry))]
    assert last.telemetry[0].rate_hz == pytest.approx(15.0, rel=0.01)
    assert last.telemetry[0].dominant_hz == pytest.approx(BURST_HZ, rel=0.02)
