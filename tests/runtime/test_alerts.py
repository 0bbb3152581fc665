"""Alerts: thresholds, hold times, missing readings; and the default rule on real measurements."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.clips import Scene, compressed, render, sine
from runtime.alerts import AlertRules, AlertStep
from runtime.config import DEFAULT_ALERT, Alert, Quantity, Region, Vibration
from runtime.displacement import DisplacementMeter
from runtime.frame import Frame
from runtime.messages import AlertMessage
from runtime.vibration import Levels, VibrationWindow

RULE = Alert(
    name="sway",
    quantity="displacement_rms_px",
    raise_above=1.0,
    clear_below=0.5,
    raise_after_s=1.0,
    clear_after_s=2.0,
)


def levels(value: float | None) -> Levels:
    return Levels(value, value, value)


def rules(rule: Alert = RULE) -> AlertRules:
    return AlertRules([rule], ["girder", "pier"])


def told(
    alerts: AlertRules, values: Iterable[float | None], start_s: float = 0.0, step_s: float = 0.5
) -> list[AlertStep]:
    """What is told about one region for readings every half second."""
    return [
        step
        for index, value in enumerate(values)
        for step in alerts.update("girder", start_s + index * step_s, levels(value), 3.0)
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
        alerts.update("pier", t_s, levels(2.0))
        alerts.update("girder", t_s, levels(2.0 if t_s else 0.1))
    assert [step.rule for step in alerts.open_alerts("pier")] == ["sway", "pier only"]
    assert alerts.open_alerts("girder") == ()
    with pytest.raises(KeyError):
        alerts.update("roof", 2.0, levels(2.0))


def test_each_quantity_is_read_from_its_own_level() -> None:
    for quantity in get_args(Quantity):
        rule = RULE.model_copy(update={"quantity": quantity, "raise_after_s": 0.0})
        reading = Levels(
            **{field.name: 2.0 if field.name == quantity else 0.1 for field in fields(Levels)}
        )
        [step] = rules(rule).update("girder", 0.0, reading)
        assert (step.quantity, step.value) == (quantity, 2.0)


def test_the_end_of_a_video_leaves_alerts_open_and_tells_them() -> None:
    alerts = rules()
    [new] = told(alerts, [1.2] * 4)
    assert alerts.finish(2.0) == (new,)
    assert alerts.open_alerts() == (new,)


def test_a_source_that_starts_over_keeps_alerts_but_not_hold_times() -> None:
    alerts = rules()
    told(alerts, [1.2] * 2)
    assert told(alerts, [1.2] * 2) == []  # half a second, twice
    assert [step.type for step in told(alerts, [1.2] * 3)] == ["new"]
    assert [step.type for step in told(alerts, [0.1] * 5)] == ["end"]


def test_a_step_holds_all_of_a_message_but_the_time_of_day() -> None:
    step_fields = {field.name for field in fields(AlertStep)}
    assert step_fields == set(AlertMessage.model_fields) - {"schema_version", "time_utc"}


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


def alerts_on(frames: Iterable[Frame]) -> list[AlertStep]:
    """What the default configuration tells about one region, judged at every frame."""
    defaults = Vibration()
    meter = DisplacementMeter([Region(name="girder", x=12, y=12, width=40, height=40)])
    window = VibrationWindow(defaults.window_s, defaults.level_s)
    alerts = AlertRules([DEFAULT_ALERT], ["girder"])
    steps = []
    for frame in frames:
        [result] = meter.measure(frame)
        window.add(result)
        steps += alerts.update("girder", frame.t_capture_ns / 1e9, window.levels())
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
