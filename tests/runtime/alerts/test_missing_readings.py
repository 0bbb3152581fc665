"""Readings that are missing: when that is told, with which reason, and when it is not."""

import numpy as np
from alert_steps import REGIONS, RULE, changed, girder, judged, readings, rules

from benchmarks.clips import Scene, render
from runtime.alerts.condition import AlertStep
from runtime.alerts.readings import RegionReadings
from runtime.alerts.rules import AlertRules
from runtime.config import Region
from runtime.displacement import LEARNED_PICTURES, DisplacementMeter
from runtime.vibration import Levels


def test_a_reading_that_is_missing_for_long_is_told_with_the_reason_and_ended() -> None:
    alerts = rules(changed(missing_after_s=5.0))
    steps: list[AlertStep] = []
    for index in range(40):
        gone = 4 <= index < 24
        girder = readings(None if gone else 0.1, reason="too dark" if gone else None)
        steps += alerts.update(0.5 * index, {"girder": girder, "pier": readings(0.1)}).steps
    new, end = steps
    assert (new.type, new.kind, new.rule, new.region) == ("new", "missing", "sway", "girder")
    assert (new.value, new.peak_value, new.reason) == (None, None, "too dark")
    assert (new.started_t_s, new.t_s) == (2.0, 7.0)
    assert (end.type, end.event_id, end.sequence) == ("end", new.event_id, 1)
    assert end.t_s == 14.0  # two seconds of readings again


def test_a_region_without_any_reading_is_missing_and_an_open_alert_stays_open() -> None:
    alerts = rules(changed(missing_after_s=5.0))
    judged(alerts, girder(*[1.2] * 4))
    steps: list[AlertStep] = []
    for index in range(12):
        steps += alerts.update(2.0 + 0.5 * index, {}).steps
    assert {(step.kind, step.region) for step in steps} == {
        ("missing", "girder"),
        ("missing", "pier"),
    }
    assert {step.reason for step in steps} == {"no frame was measured"}
    assert [step.kind for step in alerts.open_alerts("girder")] == ["vibration", "missing"]


def test_never_missing_when_the_rule_says_so_or_where_absence_is_no_defect() -> None:
    for rule in (
        changed(missing_after_s=0.0),
        changed(missing_after_s=1.0, quantity="frequency_shift_percent"),
    ):
        table: list[dict[str, float | None]] = [{"girder": None, "pier": None}] * 20
        assert judged(rules(rule), table, rule=rule) == []
    # ... nor while a region learns its zero, however long that takes at its frame rate ...
    region = Region(name="girder", x=20, y=20, width=40, height=40)
    meter, alerts = DisplacementMeter([region]), AlertRules([changed(missing_after_s=0.1)], REGIONS)
    still = np.zeros(LEARNED_PICTURES - 1)
    for frame in render(Scene(80, 80), still, still, rate_hz=5.0):
        collected = RegionReadings([RULE], 2.0)
        collected.add(meter.measure(frame)[0])
        learning = collected.now(Levels(None, None, None), None)
        assert learning.reason is not None
        now = {"girder": learning, "pier": readings(0.1)}
        assert alerts.update(frame.t_capture_ns / 1e9, now).steps == ()
    # ... but what cannot be measured at all is missing, whatever the quantity.
    alerts = rules(rule)
    now = {name: readings(None, rule, "too dark") for name in REGIONS}
    steps = [step for index in range(4) for step in alerts.update(0.5 * index, now).steps]
    assert [step.reason for step in steps] == ["too dark"] * 2


def test_a_region_that_learns_does_not_hide_that_another_is_missing() -> None:
    alerts = rules(changed(at_least_regions=2, missing_after_s=1.0))
    now = {
        "girder": readings(None, reason="learning: zero is not known yet"),
        "pier": readings(None, reason="too dark"),
    }
    [lost] = [step for index in range(5) for step in alerts.update(0.5 * index, now).steps]
    assert (lost.kind, lost.reason) == ("missing", "too dark")


def test_two_regions_missing_leave_a_rule_on_two_of_three_without_a_reading() -> None:
    rule = changed(at_least_regions=2, raise_after_s=0.0, missing_after_s=3.0)
    alerts = AlertRules([rule], ["a", "b", "c"])
    steps = judged(alerts, [{"a": 2.0, "b": None, "c": None}] * 8)
    [lost] = steps
    assert isinstance(lost, AlertStep)
    assert (lost.kind, lost.region) == ("missing", None)
