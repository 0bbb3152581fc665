"""The newest seconds of a region, in bounded memory; streaming is as good as offline."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from signals import NOISE_PX, RATE_HZ, Floats, decay, displacement, times, tone, window_of

from calibration.scale import Scale
from runtime.vibration import Levels, VibrationWindow
from runtime.vibration.damping import FreeDecay, NoDecay
from runtime.vibration.levels import levels_of, margin_s
from runtime.vibration.sampling import warnings_of
from runtime.vibration.spectrum import power_density
from runtime.vibration.tones import Tone, tones_of_axes


def test_a_sinusoid_stands_in_the_spectrum_with_its_amplitude() -> None:
    window = window_of(times(300), tone(times(300), 3.03, 0.4), tone(times(300), 7.1, 0.1))
    spectrum = window.spectrum()
    assert spectrum is not None
    assert spectrum.frequency_hz[np.argmax(spectrum.x_px)] == pytest.approx(3.03, abs=0.02)
    assert spectrum.x_px.max() == pytest.approx(0.4, rel=0.01)
    assert spectrum.frequency_hz[np.argmax(spectrum.y_px)] == pytest.approx(7.1, abs=0.02)
    assert spectrum.y_px.max() == pytest.approx(0.1, rel=0.01)
    assert spectrum.frequency_hz[-1] == pytest.approx(RATE_HZ / 2)


def test_dominant_is_the_stronger_axis_and_says_which() -> None:
    result = window_of(
        times(300), tone(times(300), 3.0, 0.1), tone(times(300), 5.0, 0.3)
    ).dominant()
    assert result is not None
    assert result.axis == "y"
    assert result.frequency_hz == pytest.approx(5.0)
    nothing = np.full(300, np.nan)
    result = window_of(times(300), tone(times(300), 3.0, 0.1), nothing).dominant()
    assert result is not None
    assert result.axis == "x"
    assert result.frequency_hz == pytest.approx(3.0)


def test_rate_comes_from_the_time_stamps() -> None:
    t_s = times(100, 24.0)
    t_s[50:] += 3.0
    assert window_of(t_s, np.zeros(100)).rate_hz == pytest.approx(24.0, rel=1e-6)
    assert window_of(times(2), np.zeros(2)).rate_hz is None


def test_memory_is_bounded_by_time_and_by_count() -> None:
    window = window_of(times(2000), np.zeros(2000))
    assert len(window) == 301
    window = VibrationWindow(3600.0, 2.0, most_samples=500)
    for t_s in times(2000):
        window.add(displacement(t_s, 0.0))
    assert len(window) == 500


def test_time_that_runs_backwards_empties_the_window() -> None:
    window = window_of(times(100), np.zeros(100))
    window.add(displacement(0.5, 0.0))
    assert len(window) == 1


SCALE = Scale(x_mm_per_px=2.0, y_mm_per_px=3.0, x_se_mm_per_px=0.1, y_se_mm_per_px=0.1)


def offline(
    t_ns: NDArray[np.int64], x_px: Floats, y_px: Floats, noise_px: float
) -> tuple[Levels, list[Tone], float | None, tuple[str, ...]]:
    """What the pure functions say about the newest seconds of whole arrays."""
    since_s = (t_ns - t_ns[-1]) / 1e9
    moved_px = np.stack([x_px, y_px])
    newest = since_s >= -(2.0 + margin_s(0.5)) - 1e-9
    levels = levels_of(
        since_s[newest],
        moved_px[:, newest],
        np.where(np.isnan(moved_px[:, newest]), np.nan, noise_px),
        SCALE,
        level_s=2.0,
        low_hz=0.5,
    )
    window = since_s >= -10.0 - 1e-9
    tones = tones_of_axes(since_s[window], x_px[window], y_px[window], stretch="newest")
    floors = [power_density(since_s[window], one[window]) for one in (x_px, y_px)]
    floor = max((one.floor_px_per_root_hz for one in floors if one is not None), default=None)
    warnings = warnings_of(
        since_s[window],
        np.isfinite(moved_px[:, window]).any(axis=0),
        low_hz=0.5,
        high_hz=None,
        peaks_hz=[tone.frequency_hz for tone in tones],
    )
    return levels, tones, floor, warnings


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    jitter=st.floats(0, 0.4),
    rates_hz=st.lists(st.sampled_from([12.0, 29.97, 30.0, 60.0]), min_size=1, max_size=3),
    gaps=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 60)), max_size=3),
    unseen=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 60)), max_size=3),
)
def test_streaming_says_what_offline_says(
    seed: int,
    jitter: float,
    rates_hz: list[float],
    gaps: list[tuple[int, int]],
    unseen: list[tuple[int, int]],
) -> None:
    rng = np.random.default_rng(seed)
    steps_s = np.concatenate([np.full(700 // len(rates_hz), 1 / hz) for hz in rates_hz])
    t_s = np.cumsum(steps_s) + jitter / 2 * steps_s * rng.uniform(-1, 1, len(steps_s))
    x_px = tone(t_s, 3.0, 0.2) + rng.normal(0, NOISE_PX, len(t_s))
    y_px = tone(t_s, 4.7, 0.05) + rng.normal(0, NOISE_PX, len(t_s))
    for first, count in unseen:  # frames without a measurement
        x_px[first : first + count] = y_px[first : first + count] = np.nan
    kept = np.ones(len(t_s), dtype=bool)
    for first, count in gaps:  # frames that never came
        kept[first : first + count] = False
    kept[:2] = True
    t_s, x_px, y_px = t_s[kept], x_px[kept], y_px[kept]
    window = VibrationWindow(10.0, 2.0)
    for index in range(len(t_s)):
        x, y = (None if np.isnan(one[index]) else float(one[index]) for one in (x_px, y_px))
        window.add(displacement(float(t_s[index]), x, y))
        # Judged on the way, as the daemon does: a look must change nothing.
        if index % 97 == 0:
            window.levels(SCALE)
    t_ns = np.array([round(one * 1e9) for one in t_s.tolist()])
    levels, tones, floor, warnings = offline(t_ns, x_px, y_px, NOISE_PX)
    report = window.report()
    assert astuple(window.levels(SCALE)) == same(astuple(levels))
    assert len(report.tones) == len(tones)
    for one, other in zip(report.tones, tones, strict=True):
        assert astuple(one) == same(astuple(other))
    assert report.noise_floor_px_per_root_hz == (None if floor is None else pytest.approx(floor))
    assert report.warnings == warnings


def same(values: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(
        pytest.approx(one, rel=1e-6, abs=1e-9) if isinstance(one, float) else one for one in values
    )


@settings(max_examples=25, deadline=None)
@given(
    shift_s=st.integers(0, 10**6),
    offset_px=st.floats(-10, 10),
    lost=st.sets(st.integers(0, 299), max_size=20),
)
def test_where_time_and_place_begin_changes_nothing(
    shift_s: int, offset_px: float, lost: set[int]
) -> None:
    t_s = times(300)
    moved = tone(t_s, 3.0, 0.2) + np.random.default_rng(7).normal(0, NOISE_PX, 300)
    moved[sorted(lost)] = np.nan
    here = window_of(t_s, moved, np.full(300, np.nan))
    there = window_of(t_s + shift_s, moved + offset_px, np.full(300, np.nan))
    assert there.rate_hz == pytest.approx(here.rate_hz, rel=1e-6)
    levels = astuple(here.levels(SCALE))
    assert None not in levels
    assert astuple(there.levels(SCALE)) == pytest.approx(levels, rel=1e-6)
    one, other = here.dominant(), there.dominant()
    if one is None or other is None:
        assert one is other
    else:
        assert other.frequency_hz == pytest.approx(one.frequency_hz, rel=1e-6)
        assert other.amplitude_px == pytest.approx(one.amplitude_px, rel=1e-6)


def test_a_report_tells_tones_floor_damping_and_warnings() -> None:
    rng = np.random.default_rng(8)
    t_s = times(600, 60.0)
    x_px = decay(t_s, 3.0, 0.02, 0.3, 1.0) + rng.normal(0, NOISE_PX, 600)
    y_px = tone(t_s, 27.5, 0.1) + rng.normal(0, 2 * NOISE_PX, 600)
    report = window_of(t_s, x_px, y_px).report()
    assert report.nyquist_hz == pytest.approx(30.0)
    assert {one.axis for one in report.tones} == {"x", "y"}
    assert report.dominant == max(report.tones, key=lambda one: one.amplitude_px)
    assert report.noise_floor_px_per_root_hz == pytest.approx(0.02 * np.sqrt(2 / 60), rel=0.15)
    assert "27.5 Hz is near the Nyquist frequency" in "".join(report.warnings)
    assert report.damping is not None
    assert VibrationWindow(10.0, 2.0).report().tones == ()


def test_a_decay_is_told_of_the_strongest_tone() -> None:
    t_s = times(600, 60.0)
    noise = np.random.default_rng(9).normal(0, NOISE_PX, 600)
    report = window_of(t_s, decay(t_s, 3.0, 0.02, 0.3, 1.0) + noise).report()
    assert isinstance(report.damping, FreeDecay)
    assert report.damping.ratio == pytest.approx(0.02, rel=0.1)
    steady = window_of(t_s, tone(t_s, 3.0, 0.3) + noise).report()
    assert isinstance(steady.damping, NoDecay)


def test_a_decay_is_told_from_the_noise_of_its_own_axis() -> None:
    t_s = times(600, 60.0)
    random = np.random.default_rng(10)
    quiet, noisy = random.normal(0, 0.002, 600), random.normal(0, 0.05, 600)
    report = window_of(t_s, quiet, decay(t_s, 5.0, 0.02, 0.5, 1.0) + noisy).report()
    assert isinstance(report.damping, FreeDecay)
    assert report.damping.ratio == pytest.approx(0.02, rel=0.2)
