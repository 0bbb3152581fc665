"""What those who ask are told: bounded, and complete after a restart."""

from measuring import ALWAYS, config, measured, still

from runtime.alerts.told import Told
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


def test_of_each_region_the_newest_report_is_told() -> None:
    [report] = next(one.telemetry for one in measured(config(), still(0.1)) if one.telemetry)
    told = Told()
    for region, t_s in (("girder", 1.0), ("pier", 1.0), ("girder", 2.0)):
        told.telemetry(report.model_copy(update={"region": region, "t_s": t_s}))
    assert [(one.region, one.t_s) for one in told.newest()] == [("girder", 2.0), ("pier", 1.0)]
