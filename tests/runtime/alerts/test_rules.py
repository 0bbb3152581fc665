"""Alerts: thresholds, hold times, latch, hold-off, coincidence, and what an unwell camera does to them."""

from dataclasses import fields
from typing import get_args

import pytest
from alert_steps import RULE, changed, girder, judged, readings, rules, told
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.alerts.condition import AlertStep, SuppressedStep
from runtime.alerts.readings import Readings
from runtime.alerts.rules import NOT_CONFIRMED, AlertRules
from runtime.config import Alert, Quantity
from runtime.messages import AlertMessage, SuppressedAlert


def test_an_alert_is_raised_after_the_hold_time_and_ended_after_its_own() -> None:
    steps = told(rules(), [0.2, 1.2, 1.1, 1.3, 0.7, 0.4, 0.3, 0.2, 0.4, 0.4, 0.4])
    assert [step.type for step in steps] == ["new", "end"]
    new, end = steps
    assert (new.t_s, new.started_t_s, new.duration_s) == (1.5, 0.5, 1.0)
    assert (new.value, new.peak_value, new.threshold) == (1.3, 1.3, 1.0)
    assert (new.rule, new.region, new.quantity) == ("sway", "girder", "displacement_rms_px")
    assert new.dominant_hz == 3.0
    assert (end.t_s, end.started_t_s, end.duration_s) == (4.5, 0.5, 4.0)
    assert (end.value, end.peak_value) == (0.4, 1.3)
    assert (new.event_id, 0, 1) == (end.event_id, new.sequence, end.sequence)


def test_a_dip_below_the_threshold_starts_the_hold_time_again() -> None:
    assert told(rules(), [1.2, 1.2, 0.9, 1.2, 1.2, 0.9]) == []


def test_between_the_thresholds_an_alert_stays() -> None:
    alerts = rules()
    told(alerts, [1.2] * 4)
    assert told(alerts, [0.4, 0.4, 0.4, 0.7] * 5, start_s=2.0) == []
    assert len(alerts.open_alerts("girder")) == 1


def test_without_hold_times_the_first_reading_decides() -> None:
    rule = RULE.model_copy(update={"raise_after_s": 0.0, "clear_after_s": 0.0})
    assert [step.type for step in told(rules(rule), [1.1, 0.4, 1.0, 1.1])] == ["new", "end", "new"]


def test_missing_readings_pause_the_hold_times() -> None:
    steps = told(rules(), [1.2, 1.2, None, None, None, 1.2, 1.2])
    # 0.5 s counted before the pause and 0.5 s after it; the pause and its edges do not count.
    assert [(step.type, step.t_s, step.started_t_s) for step in steps] == [("new", 3.0, 0.0)]


def test_missing_readings_neither_raise_nor_end() -> None:
    alerts = rules()
    assert told(alerts, [1.2, None] * 20) == []
    alerts = rules()
    told(alerts, [1.2] * 4)
    assert told(alerts, [0.1, *[None] * 50, 0.1, None], start_s=2.0) == []
    assert [step.type for step in told(alerts, [0.1] * 5, start_s=40.0)] == ["end"]


def test_an_update_tells_of_growth_by_a_quarter_and_not_too_often() -> None:
    alerts = rules()
    new = told(alerts, [2.0] * 3)[-1]
    assert new.t_s == 1.0
    assert told(alerts, [2.4] * 20, start_s=1.5) == []  # too little growth
    [update] = told(alerts, [2.6, 1.5, 3.0], start_s=11.5)
    assert (update.type, update.t_s, update.sequence) == ("update", 11.5, 1)
    assert (update.value, update.peak_value) == (2.6, 2.6)
    # Growth within five seconds waits, and its peak is not forgotten.
    steps = told(alerts, [9.0, *[1.5] * 10], start_s=13.0)
    assert [(step.t_s, step.value, step.peak_value) for step in steps] == [(16.5, 1.5, 9.0)]
    assert {step.event_id for step in [new, update, *steps]} == {new.event_id}


def test_every_alert_has_its_own_identity() -> None:
    steps = told(rules(), ([1.2] * 3 + [0.1] * 5) * 3)
    assert [step.type for step in steps] == ["new", "end"] * 3
    assert len({step.event_id for step in steps}) == 3
    assert {step.sequence for step in steps if step.type == "new"} == {0}


def test_regions_and_rules_do_not_touch_each_other() -> None:
    only_pier = RULE.model_copy(update={"name": "pier only", "regions": ("pier",)})
    alerts = AlertRules([RULE, only_pier], ["girder", "pier"])
    for t_s in (0.0, 0.5, 1.0):
        alerts.update(t_s, {"pier": readings(2.0), "girder": readings(2.0 if t_s else 0.1)})
    assert [step.rule for step in alerts.open_alerts("pier")] == ["sway", "pier only"]
    assert alerts.open_alerts("girder") == ()


def test_each_quantity_is_read_from_its_own_level() -> None:
    for quantity in get_args(Quantity):
        rule = RULE.model_copy(update={"quantity": quantity, "raise_after_s": 0.0})
        others = dict.fromkeys(get_args(Quantity), 0.1)
        reading = Readings(others | {rule.reading: 2.0})
        [step] = rules(rule).update(0.0, {"girder": reading}).steps
        assert (step.quantity, step.value) == (quantity, 2.0)


def test_a_source_that_starts_over_keeps_alerts_but_not_hold_times() -> None:
    alerts = rules()
    told(alerts, [1.2] * 2)
    assert told(alerts, [1.2] * 2) == []  # half a second, twice
    assert [step.type for step in told(alerts, [1.2] * 3)] == ["new"]
    assert [step.type for step in told(alerts, [0.1] * 5)] == ["end"]


def test_a_step_holds_all_of_a_message_but_what_is_known_when_it_is_told() -> None:
    step_fields = {field.name for field in fields(AlertStep)}
    told_later = {"schema_version", "stamp", "time_utc", "evidence"}
    assert step_fields == set(AlertMessage.model_fields) - told_later
    record_fields = {field.name for field in fields(SuppressedStep)}
    assert record_fields == set(SuppressedAlert.model_fields) - told_later


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(0, 5)), max_size=60))
def test_steps_of_any_history_make_a_proper_life(values: list[float | None]) -> None:
    alerts = rules()
    steps = told(alerts, values)
    open_step = None
    for step in steps:
        if open_step is None:
            assert (step.type, step.sequence) == ("new", 0)
        else:
            assert step.type in ("update", "end")
            assert step.event_id == open_step.event_id
            assert step.sequence == open_step.sequence + 1
        assert step.duration_s == pytest.approx(step.t_s - step.started_t_s)
        assert step.value is not None
        assert step.peak_value is not None
        assert step.peak_value >= step.value
        open_step = None if step.type == "end" else step
    assert alerts.open_alerts("girder") == (() if open_step is None else (open_step,))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(0, 5)), max_size=40), st.integers(-(10**6), 10**6))
def test_where_time_begins_changes_no_alert(values: list[float | None], shift_s: int) -> None:
    here, there = told(rules(), values), told(rules(), values, start_s=float(shift_s))
    assert [(s.type, s.value, s.duration_s) for s in here] == [
        (s.type, s.value, s.duration_s) for s in there
    ]


def test_an_alert_that_is_too_long_ends_and_says_so_and_needs_quiet_before_the_next() -> None:
    alerts = rules(changed(longest_s=4.0))
    steps = judged(alerts, girder(*[1.2] * 30))
    new, end, refused = steps
    assert isinstance(end, AlertStep)
    assert (end.type, end.reason, end.t_s) == ("end", "too long", 5.0)
    assert isinstance(refused, SuppressedStep)
    assert "too long" in refused.reason
    # A dip is no quiet; the hold time of the end is.
    assert judged(alerts, girder(0.4, 0.4, 1.2, 1.2, 1.2), start_s=15.0) == []
    later = judged(alerts, girder(*[0.4] * 5, *[1.2] * 3), start_s=20.0)
    assert [step.type for step in later if isinstance(step, AlertStep)] == ["new"]
    assert new != later[0]


def test_in_the_hold_off_an_alert_is_recorded_and_raised_when_it_outlasts_it() -> None:
    alerts = rules(changed(hold_off_s=10.0))
    judged(alerts, girder(*[1.2] * 3, *[0.1] * 5))  # ends at 3.5 s
    short = judged(alerts, girder(*[1.2] * 4, 0.1), start_s=4.0)
    [refused] = short
    assert isinstance(refused, SuppressedStep)
    assert (refused.reason, refused.value) == ("hold-off after the alert before", 1.2)
    long = judged(alerts, girder(*[1.3] * 20), start_s=7.0)
    assert [type(step) for step in long] == [SuppressedStep, AlertStep]
    assert (long[1].t_s, long[1].started_t_s) == (13.5, 7.0)


def test_a_latched_alert_stays_open_until_somebody_acknowledges_it() -> None:
    alerts = rules(changed(latch=True))
    new, waits = judged(alerts, girder(*[1.2] * 3, *[0.1] * 20))
    assert isinstance(new, AlertStep)
    assert isinstance(waits, AlertStep)
    assert (waits.type, waits.sequence, waits.acknowledged) == ("update", 1, False)
    assert "acknowledgement" in (waits.reason or "")
    [again] = judged(alerts, girder(*[1.2] * 3), start_s=12.0)
    assert isinstance(again, AlertStep)
    assert (again.event_id, again.reason) == (new.event_id, "above the threshold again")
    judged(alerts, girder(*[0.1] * 6), start_s=14.0)
    [level] = [one for one in alerts.conditions() if one.told is not None]
    end = level.acknowledge()
    assert end is not None
    assert (end.type, end.sequence, end.acknowledged) == ("end", 4, True)
    assert alerts.open_alerts() == ()


def test_acknowledged_while_still_above_it_ends_by_itself() -> None:
    alerts = rules(changed(latch=True))
    judged(alerts, girder(*[1.2] * 3))
    [level] = [one for one in alerts.conditions() if one.told is not None]
    update = level.acknowledge()
    assert update is not None
    assert (update.type, update.acknowledged) == ("update", True)
    assert level.acknowledge() is None
    [end] = judged(alerts, girder(*[0.1] * 6), start_s=2.0)
    assert isinstance(end, AlertStep)
    assert (end.type, end.acknowledged) == ("end", True)


def test_while_the_camera_is_unwell_alerts_are_recorded_and_raised_once_it_is_well() -> None:
    alerts = rules()
    sick = {"displacement_rms_px": "the camera is unwell: blurred"}
    [refused] = judged(alerts, girder(*[1.2] * 6), spoiled=sick)
    assert isinstance(refused, SuppressedStep)
    assert refused.reason == sick["displacement_rms_px"]
    [new] = judged(alerts, girder(1.2), start_s=3.0)
    assert isinstance(new, AlertStep)
    assert (new.type, new.started_t_s) == ("new", 0.0)
    despite = rules(changed(despite_health=True))
    [raised] = judged(despite, girder(*[1.2] * 6), spoiled=sick)
    assert isinstance(raised, AlertStep)


def test_an_open_alert_goes_on_and_ends_while_the_camera_is_unwell() -> None:
    alerts = rules()
    judged(alerts, girder(*[1.2] * 3))
    sick = {"displacement_rms_px": "the camera is unwell: blurred"}
    [end] = judged(alerts, girder(*[0.1] * 6), start_s=1.5, spoiled=sick)
    assert isinstance(end, AlertStep)
    assert end.type == "end"


def test_a_profile_raises_nothing_before_a_person_has_confirmed_it() -> None:
    values = {"name": "dwellings", "profile": "din4150-3-line2", "raise_after_s": 0.0}
    plain = Alert.model_validate(values)
    [refused] = judged(rules(plain), girder(1.2), rule=plain)
    assert isinstance(refused, SuppressedStep)
    assert (refused.reason, refused.threshold) == (NOT_CONFIRMED, 1.0)
    known = {"confirmed_by": "A. Engineer", "confirmed_on": "2026-11-20"}
    confirmed = Alert.model_validate(values | known)
    [new] = judged(rules(confirmed), girder(1.2), rule=confirmed)
    assert isinstance(new, AlertStep)
    assert (new.quantity, new.value) == ("limit_ratio", 1.2)


def test_regions_together_within_a_time_raise_one_alert() -> None:
    rule = changed(at_least_regions=2, coincidence_s=2.0, raise_after_s=0.0, missing_after_s=0)
    alerts = AlertRules([rule], ["a", "b", "c"])
    alone: list[dict[str, float | None]] = [{"a": 2.0, "b": 0.1, "c": 0.1}] * 10
    quiet: list[dict[str, float | None]] = [{"a": 0.1, "b": 0.1, "c": 0.1}] * 5
    apart: list[dict[str, float | None]] = [*quiet, {"a": 0.1, "b": 2.0, "c": 0.1}]
    assert judged(alerts, alone + apart) == []
    [new] = judged(alerts, [{"a": 0.1, "b": 0.1, "c": 2.0}], start_s=9.0)
    assert isinstance(new, AlertStep)
    assert (new.region, set(new.regions), new.value) == (None, {"b", "c"}, 2.0)
    assert [step.event_id for step in alerts.open_alerts("b")] == [new.event_id]


def test_beyond_the_range_is_above_every_threshold_and_told_without_a_number() -> None:
    rule = changed(quantity="displacement_px", raise_above=1e6, clear_below=1.0)
    alerts = rules(rule)
    reason = "moved: by more than 16 px"
    far = {
        "girder": readings(float("inf"), rule, reason),
        "pier": readings(0.1, rule),
    }
    steps = [step for index in range(40) for step in alerts.update(0.5 * index, far).steps]
    [new] = steps
    assert (new.value, new.peak_value, new.reason) == (None, None, reason)
