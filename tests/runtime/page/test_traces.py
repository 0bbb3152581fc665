"""Curves of a region: units, gaps, and how many points."""

import numpy as np
import pytest

from calibration.scale import Scale
from runtime.page.traces import MOST_POINTS, Quantity, Trace, trace_of
from runtime.vibration.window import Record

RATE_HZ, HZ, PX = 60.0, 5.0, 0.5


def record(seconds: float = 10.0) -> Record:
    """x is a sine, y is still."""
    count = round(seconds * RATE_HZ) + 1
    t_s = (np.arange(count) - (count - 1)) / RATE_HZ
    noise = np.random.default_rng(3).normal(0, 0.002, (2, count))
    return Record(
        t_s,
        noise + PX * np.array([[1.0], [0.0]]) * np.sin(2 * np.pi * HZ * t_s),
        np.full((2, count), 0.002),
    )


def traced(of: Record, quantity: Quantity = "displacement", scale: Scale | None = None) -> Trace:
    return trace_of(
        of,
        None,
        scale,
        region="girder",
        quantity=quantity,
        window_s=10.0,
        low_hz=0.5,
        high_hz=None,
    )


def numbers(curve: list[float | None]) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return np.array([np.nan if one is None else one for one in curve])


def test_displacement_is_in_pixels_and_with_a_scale_in_millimetres() -> None:
    scale = Scale(x_mm_per_px=4.0, y_mm_per_px=2.0, x_se_mm_per_px=0.1, y_se_mm_per_px=0.1)
    px, mm = traced(record()), traced(record(), scale=scale)
    assert (px.unit, mm.unit) == ("px", "mm")
    np.testing.assert_allclose(numbers(mm.x), 4 * numbers(px.x), rtol=1e-5)
    np.testing.assert_allclose(numbers(mm.y), 2 * numbers(px.y), rtol=1e-5)
    assert np.nanmax(numbers(mm.x_amplitude)) == pytest.approx(4 * PX, rel=0.02)


def test_velocity_is_the_derivative_and_its_spectrum_peaks_where_it_vibrates() -> None:
    trace = traced(record(), "velocity")
    assert trace.unit == "px/s"
    x = numbers(trace.x)
    middle = slice(len(x) // 4, 3 * len(x) // 4)
    truth = PX * 2 * np.pi * HZ * np.cos(2 * np.pi * HZ * numbers(trace.t_s))
    np.testing.assert_allclose(x[middle], truth[middle], atol=0.03 * PX * 2 * np.pi * HZ)
    peak = int(np.nanargmax(numbers(trace.x_amplitude)))
    assert trace.hz[peak] == pytest.approx(HZ, abs=0.1)
    assert trace.x_amplitude[peak] == pytest.approx(PX * 2 * np.pi * HZ, rel=0.02)


@pytest.mark.parametrize("quantity", ["displacement", "velocity"])
def test_a_missing_value_is_a_gap(quantity: Quantity) -> None:
    of = record()
    of.moved_px[0, 100:110] = np.nan
    trace = traced(of, quantity)
    assert trace.x[100:110] == [None] * 10
    assert None not in trace.x[:100]
    assert None not in trace.y[:100] + trace.y[100:]


@pytest.mark.parametrize("quantity", ["displacement", "velocity"])
def test_missing_frames_are_a_gap_too(quantity: Quantity) -> None:
    of = record()
    kept = np.r_[0:200, 260:601]
    trace = traced(Record(of.t_s[kept], of.moved_px[:, kept], of.noise_px[:, kept]), quantity)
    assert trace.x[200] is None
    assert trace.y[200] is None
    assert trace.x.count(None) == 1
    assert of.t_s[199] < (trace.t_s[200] or 0.0) < of.t_s[260]


def test_a_long_window_keeps_its_extremes_in_fewer_points() -> None:
    of = record(120.0)
    of.moved_px[0, 4321] = 7.0
    of.moved_px[1, 6000:6050] = np.nan
    trace = traced(of)
    assert 0.5 * MOST_POINTS < len(trace.t_s) <= MOST_POINTS
    assert len(trace.hz) <= MOST_POINTS
    assert np.nanmax(numbers(trace.x)) == 7.0
    assert None in trace.y
    assert None not in trace.x
    assert trace.t_s == sorted(trace.t_s, key=lambda one: one or 0.0)
    peak = int(np.nanargmax(numbers(trace.x_amplitude)))
    assert trace.hz[peak] == pytest.approx(HZ, abs=0.02)


def test_a_window_without_samples_has_no_curves() -> None:
    trace = traced(Record(np.zeros(0), np.zeros((2, 0)), np.zeros((2, 0))))
    assert (trace.t_s, trace.x, trace.hz, trace.x_amplitude) == ([], [], [], [])
    still_learned = traced(Record(np.arange(-9, 1) / 60, *np.full((2, 2, 10), np.nan)))
    assert still_learned.x == [None] * 10
    assert still_learned.hz == []
