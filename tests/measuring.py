"""A measurement on made-up films, as several tests need it."""

from collections.abc import Iterable

from videos import burst, moving

from runtime.config import Alert, Camera, Config, Region, Vibration
from runtime.frame import Frame
from runtime.measurement import Measured, Measurement
from runtime.messages import AlertMessage

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


def judged_alerts(results: Iterable[Measured]) -> list[AlertMessage]:
    return [alert for one in results for alert in one.alerts]
