"""Alerts that outlive their process: none is told twice, and none is forgotten."""

import pytest
from alert_steps import RULE, changed, girder, judged, rules
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.alerts.condition import NO_LONGER_CONFIGURED, AlertStep
from runtime.alerts.rules import AlertRules, restore
from runtime.config import Alert


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
