"""What the frame rate allows."""

import numpy as np
import pytest
from signals import Floats, times

from runtime.vibration.sampling import RateWatch, rate_of, warnings_of


def warned(
    t_s: Floats,
    *,
    low_hz: float = 0.5,
    high_hz: float | None = None,
    lost: int = 0,
    peaks_hz: tuple[float, ...] = (),
    exposure_s: float | None = None,
) -> str:
    measured = np.arange(len(t_s)) >= lost
    told = warnings_of(
        t_s, measured, low_hz=low_hz, high_hz=high_hz, peaks_hz=peaks_hz, exposure_s=exposure_s
    )
    assert len(told) <= 1
    return "".join(told)


def test_a_steady_camera_is_not_warned_about() -> None:
    rng = np.random.default_rng(1)
    t_s = times(600, 60.0) + rng.uniform(-0.002, 0.002, 600)
    assert warned(t_s, high_hz=20.0, peaks_hz=(3.0, 20.0), exposure_s=0.002) == ""
    assert warned(np.delete(t_s, [100, 200, 300]), lost=5) == ""
    assert warned(times(2, 60.0)) == ""


def test_a_peak_near_the_nyquist_frequency_may_be_an_alias() -> None:
    assert "27 Hz is near the Nyquist frequency 30 Hz" in warned(
        times(600, 60.0), peaks_hz=(27.0, 3.0)
    )


@pytest.mark.parametrize(
    ("low_hz", "high_hz", "told"),
    [
        (0.5, 80.0, "80 Hz is beyond the Nyquist frequency 30 Hz: velocity ends at 24 Hz"),
        (0.5, 26.0, "26 Hz is too near the Nyquist frequency 30 Hz"),
        (25.0, None, "60 frames a second cannot show the band from 25 Hz: no velocity"),
    ],
)
def test_a_band_that_the_rate_cannot_show_is_told(
    low_hz: float, high_hz: float | None, told: str
) -> None:
    assert told in warned(times(600, 60.0), low_hz=low_hz, high_hz=high_hz)


def test_an_exposure_that_blurs_fast_vibration_is_told() -> None:
    t_s = times(600, 60.0)
    # sin(u) / u for u = pi * 24 Hz * 1/60 s is .757.
    assert "takes 24 % of the amplitude away at 24 Hz" in warned(t_s, exposure_s=1 / 60)
    assert warned(t_s, exposure_s=1 / 60, high_hz=10.0) == ""
    assert "0.03 s does not fit 60 frames" in warned(t_s, exposure_s=0.03)


def test_a_rate_that_changed_is_told() -> None:
    t_s = np.concatenate([times(200, 30.0), 200 / 30 + times(400, 60.0)])
    assert "the frame rate changed from" in warned(t_s)


def test_many_lost_frames_are_told() -> None:
    t_s = times(600, 60.0)
    rng = np.random.default_rng(2)
    lossy = np.delete(t_s, rng.choice(np.arange(1, 599), 90, replace=False))
    assert "15 % of the frames are lost" in warned(lossy)
    assert "10 % of the frames are lost or gave no measurement" in warned(t_s, lost=60)
    assert "the longest gap is 1 s" in warned(np.delete(t_s, np.arange(300, 359)))


def test_the_rate_is_that_of_most_steps() -> None:
    t_s = times(100, 24.0)
    t_s[50:] += 3.0
    assert rate_of(t_s) == pytest.approx(24.0)
    assert rate_of(t_s[:2]) is None


@pytest.mark.parametrize("rate_hz", [24.0, 29.97, 30.0, 60.0, 120.0])
@pytest.mark.parametrize("jitter", [0.0, 0.2])
def test_the_rate_is_right_where_times_are_rounded_jitter_and_have_gaps(
    rate_hz: float, jitter: float
) -> None:
    t_s = times(600, rate_hz)
    t_s += np.random.default_rng(3).uniform(-jitter, jitter, 600) / rate_hz
    t_s[400:] += 1.7  # no whole number of steps
    t_s = np.delete(t_s, [50, 51, 120, 300])
    assert rate_of(np.round(t_s, 3)) == pytest.approx(rate_hz, rel=2e-3 if jitter else 5e-4)


def test_rounded_times_are_no_changed_rate() -> None:
    for rate_hz in (23.976, 28.6, 29.97, 59.94, 90.0, 120.0):
        assert warned(np.round(times(300, rate_hz), 3)) == ""


def changes(t_s: Floats) -> list[int]:
    """Numbers of the frames at which another rate is told."""
    watch = RateWatch()
    return [n for n, one in enumerate(t_s.tolist()) if watch.has_changed(round(one * 1e9))]


def joined(*parts: Floats) -> Floats:
    """Time stamps one after the other, each part a step of its own later."""
    t_s = parts[0]
    for part in parts[1:]:
        t_s = np.concatenate([t_s, part - part[0] + part[1] - part[0] + t_s[-1]])
    return t_s


@pytest.mark.parametrize(
    ("before_hz", "after_hz"), [(30, 15), (15, 30), (30, 25), (30, 5), (5, 60)]
)
def test_another_rate_is_told_once_and_soon(before_hz: float, after_hz: float) -> None:
    [number] = changes(joined(times(200, before_hz), times(200, after_hz)))
    assert 200 < number <= 200 + 20


def test_jitter_losses_bursts_and_gaps_are_no_other_rate() -> None:
    rng = np.random.default_rng(5)
    t_s = times(2000, 30.0)
    assert changes(t_s + rng.uniform(-0.01, 0.01, 2000)) == []
    assert changes(np.round(t_s, 3)) == []
    assert changes(np.delete(t_s, rng.choice(np.arange(1, 1999), 400, replace=False))) == []
    bursts = t_s + np.tile([0.0, -0.028], 1000)  # two at once, as a network delivers them
    assert changes(bursts) == []
    assert changes(joined(t_s[:500], t_s[:500] + 7.0)) == []


def test_time_that_goes_back_is_no_other_rate() -> None:
    assert changes(np.concatenate([times(100, 30.0), times(100, 30.0)])) == []
