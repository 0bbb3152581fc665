"""Alerts: thresholds, hold times, missing readings; and the default rule on real measurements."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.clips import Scene, compressed, render, sine
from runtime.alerts import NOT_CONFIRMED, AlertRules, restore
from runtime.condition import NO_LONGER_CONFIGURED, AlertStep, SuppressedStep
from runtime.config import DEFAULT_ALERT, Alert, Quantity, Region, Vibration
from runtime.displacement import LEARNED_PICTURES, DisplacementMeter
from runtime.frame import Frame
from runtime.messages import AlertMessage, SuppressedAlert
from runtime.readings import Readings, RegionReadings
from runtime.vibration import Levels, VibrationWindow

RULE = Alert(
    name="sway",
    quantity="displacement_rms_px",
    raise_above=1.0,
    clear_below=0.5,
    raise_after_s=1.0,
    clear_after_s=2.0,
)


REGIONS = ["girder", "pier"]


def readings(value: float | None, rule: Alert = RULE, reason: str | None = None) -> Readings:
    return Readings({rule.reading: value, "dominant_hz": 3.0}, reason)


def rules(rule: Alert = RULE) -> AlertRules:
    return AlertRules([rule], REGIONS)


def changed(**values: object) -> Alert:
    return Alert.model_validate(RULE.model_dump() | values)


def told(
    alerts: AlertRules, values: Iterable[float | None], start_s: float = 0.0, step_s: float = 0.5
) -> list[AlertStep]:
    """What is told about one region for readings every half second."""
    return [
        step
        for index, value in enumerate(values)
        for step in alerts.update(
            start_s + index * step_s, {"girder": readings(value), "pier": readings(0.1)}
        ).steps
        if step.kind == "vibration"
    ]


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
    told_later = {"schema_version", "time_utc", "evidence"}
    assert step_fields == set(AlertMessage.model_fields) - told_later
    record_fields = {field.name for field in fields(SuppressedStep)}
    assert record_fields == set(SuppressedAlert.model_fields) - {"schema_version", "time_utc"}


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


def judged(
    alerts: AlertRules,
    table: Iterable[dict[str, float | None]],
    start_s: float = 0.0,
    spoiled: dict[str, str] | None = None,
    rule: Alert = RULE,
) -> list[AlertStep | SuppressedStep]:
    """All that is told for readings of several regions every half second."""
    steps: list[AlertStep | SuppressedStep] = []
    for index, row in enumerate(table):
        now = {name: readings(value, rule) for name, value in row.items()}
        found = alerts.update(start_s + 0.5 * index, now, spoiled)
        steps += [*found.steps, *found.suppressed]
    return steps


def girder(*values: float | None) -> list[dict[str, float | None]]:
    return [{"girder": value, "pier": 0.1} for value in values]


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


def restarted(alerts: AlertRules, rule: Alert = RULE, shift_s: float = 0.0) -> AlertRules:
    """Another process that goes on with what the first one kept."""
    kept = [one for condition in alerts.conditions() if (one := condition.kept()) is not None]
    after = rules(rule)
    assert restore(list(after.conditions()), kept, 100.0, shift_s) == ()
    return after


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 5)), min_size=2, max_size=60),
    st.data(),
    st.sampled_from([-900.0, 0.0, 900.0]),
    st.sampled_from(
        [{}, {"latch": True}, {"longest_s": 3.0, "hold_off_s": 4.0}, {"raise_after_s": 0.0}]
    ),
)
def test_a_restart_anywhere_raises_no_second_alert_for_the_same_event(
    values: list[float | None], data: st.DataObject, clock_s: float, options: dict[str, object]
) -> None:
    rule = changed(**options)
    whole = judged(rules(rule), girder(*values))
    cut = data.draw(st.integers(1, len(values) - 1))
    first = rules(rule)
    before = judged(first, girder(*values[:cut]))
    second = restarted(first, rule, shift_s=clock_s)
    # The restart costs one time step of the hold times, which no reading can stand for: it is
    # given back here by a reading of the same kind.
    after = judged(second, girder(values[cut - 1], *values[cut:]), 0.5 * (cut - 1) + clock_s)
    together = [step for step in (*before, *after) if isinstance(step, AlertStep)]
    expected = [step for step in whole if isinstance(step, AlertStep)]
    assert [step.type for step in together if step.type != "update"] == [
        step.type for step in expected if step.type != "update"
    ]
    event = None
    for step in together:
        if event is None:
            assert (step.type, step.sequence) == ("new", 0)
        else:
            assert (step.event_id, step.sequence) == (event.event_id, event.sequence + 1)
        event = None if step.type == "end" else step


def test_after_a_restart_age_counts_on_and_so_does_the_sequence() -> None:
    first = rules()
    [new] = judged(first, girder(*[1.2] * 5))
    assert isinstance(new, AlertStep)
    # The machine was off for ten minutes, and its clock begins again.
    second = restarted(first, shift_s=-600.0 - 2.0)
    [end] = judged(second, girder(*[0.1] * 6))
    assert isinstance(end, AlertStep)
    assert (end.event_id, end.type, end.sequence) == (new.event_id, "end", 1)
    assert end.duration_s == pytest.approx(602.0 + 2.0)


def test_what_is_no_longer_configured_ends() -> None:
    first = rules()
    [new] = judged(first, girder(*[1.2] * 5))
    assert isinstance(new, AlertStep)
    kept = [one for condition in first.conditions() if (one := condition.kept()) is not None]
    other = rules(changed(quantity="displacement_peak_px"))
    [end] = restore(list(other.conditions()), kept, 10.0, 0.0)
    assert (end.event_id, end.type, end.reason) == (new.event_id, "end", NO_LONGER_CONFIGURED)
    assert end.duration_s == 10.0
    assert other.open_alerts() == ()


def alerts_on(frames: Iterable[Frame]) -> list[AlertStep]:
    """What the default configuration tells about one region, judged at every frame."""
    defaults = Vibration()
    meter = DisplacementMeter([Region(name="girder", x=12, y=12, width=40, height=40)])
    window = VibrationWindow(defaults.window_s, defaults.level_s)
    collected = RegionReadings([DEFAULT_ALERT], defaults.level_s)
    alerts = AlertRules([DEFAULT_ALERT], ["girder"])
    steps: list[AlertStep] = []
    for frame in frames:
        [result] = meter.measure(frame)
        window.add(result)
        collected.add(result)
        now = collected.now(window.levels(), None)
        steps += alerts.update(frame.t_capture_ns / 1e9, {"girder": now}).steps
    return steps


def clip(seconds: float, amplitude_px: float, crf: int | None) -> Iterator[Frame]:
    count = round(seconds * 30)
    moved = sine(count, 30.0, 3.0, amplitude_px)
    frames = render(Scene(64, 64), moved, np.zeros(count), noise_grey=1.5, seed=11)
    return frames if crf is None else compressed(frames, crf=crf)


@pytest.mark.parametrize("crf", [None, 18, 23])
def test_a_still_minute_is_silent(crf: int | None) -> None:
    assert alerts_on(clip(60.0, 0.0, crf)) == []


@pytest.mark.parametrize("crf", [None, 18])
def test_a_twentieth_of_a_pixel_is_told(crf: int | None) -> None:
    steps = alerts_on(clip(12.0, 0.05, crf))
    assert [step.type for step in steps][:1] == ["new"]
