"""The default rule on measured clips: silent on a still one, raised by a twentieth of a pixel."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from benchmarks.clips import Scene, compressed, render, sine
from runtime.alerts.condition import AlertStep
from runtime.alerts.readings import RegionReadings
from runtime.alerts.rules import AlertRules
from runtime.config import DEFAULT_ALERT, Region, Vibration
from runtime.displacement import DisplacementMeter
from runtime.frame import Frame
from runtime.vibration import VibrationWindow


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
