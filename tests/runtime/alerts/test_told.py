"""What those who ask are told: bounded, and complete after a restart."""

from measuring import ALWAYS, config, measured, still

from runtime.alerts.told import KEPT_REPORTS, Told
from runtime.measurement import Measurement


def test_alerts_of_an_earlier_process_are_open_until_they_end() -> None:
    measurement = Measurement(config(alerts=(ALWAYS,)))
    for frame in still(3.0):
        measurement.process(frame)
    steps = measurement.open_alerts()
    assert steps
    told = Told()
    told.judged(("dark",), steps)
    told.judged(("dark",), steps)
    [message] = told.open_alerts()
    assert (message.rule, told.problems) == ("always", ("dark",))
    told.alert(message.model_copy(update={"type": "end"}))
    assert told.open_alerts() == ()


def test_reports_are_kept_for_each_region_and_the_oldest_go() -> None:
    [report] = next(one.telemetry for one in measured(config(), still(0.1)) if one.telemetry)
    told = Told()
    for t_s in range(KEPT_REPORTS + 5):
        told.telemetry(report.model_copy(update={"t_s": float(t_s)}))
    told.telemetry(report.model_copy(update={"region": "pier", "t_s": 1.0}))
    kept = told.reports("girder")
    assert [one.t_s for one in kept] == list(range(5, KEPT_REPORTS + 5))
    assert [one.t_s for one in told.reports("girder", KEPT_REPORTS + 2)] == [
        KEPT_REPORTS + 3,
        KEPT_REPORTS + 4,
    ]
    assert [(one.region, one.t_s) for one in told.newest()] == [
        ("girder", KEPT_REPORTS + 4),
        ("pier", 1.0),
    ]
    assert told.reports("unknown") == ()
