"""A rule, readings for it, and all that is told of them."""

from collections.abc import Iterable

from runtime.alerts.condition import AlertStep, SuppressedStep
from runtime.alerts.readings import Readings
from runtime.alerts.rules import AlertRules
from runtime.config import Alert

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
