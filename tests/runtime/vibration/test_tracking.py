"""A natural frequency against its baseline."""

import json

import numpy as np
import pytest

from failure import Failure
from runtime.vibration.tones import Tone
from runtime.vibration.tracking import BaselineState, FrequencyTracker


def peak(frequency_hz: float, se_hz: float = 0.01, amplitude_px: float = 0.1) -> Tone:
    return Tone(frequency_hz, amplitude_px, se_hz, 0.001, "x")


def learned(frequencies_hz: list[float], se_hz: float = 0.01) -> FrequencyTracker:
    tracker = FrequencyTracker(window_s=10.0, learn_s=10.0 * (len(frequencies_hz) - 1))
    for number, hz in enumerate(frequencies_hz):
        assert tracker.baseline_hz is None
        assert tracker.update(10.0 * number, [peak(hz, se_hz)]) is None
    assert tracker.state.complete
    return tracker


def test_a_given_baseline_is_exact_and_nothing_is_learned() -> None:
    tracker = FrequencyTracker(window_s=10.0, learn_s=600.0, baseline_hz=4.0)
    shift = tracker.update(0.0, [peak(3.9, 0.02)])
    assert shift is not None
    assert (shift.percent, shift.se_percent) == pytest.approx((-2.5, 0.5))
    assert shift.baseline_hz == 4.0


def test_the_baseline_is_the_mean_of_windows_that_do_not_overlap() -> None:
    tracker = FrequencyTracker(window_s=10.0, learn_s=100.0)
    rng = np.random.default_rng(1)
    for second in range(101):  # reports once a second, of windows of 10 s
        tracker.update(float(second), [peak(3.0 + rng.normal(0, 0.01))])
    assert tracker.state.count == 11
    assert tracker.baseline_hz == pytest.approx(3.0, abs=0.01)
    assert tracker.baseline_se_hz == pytest.approx(0.01 / np.sqrt(11), rel=0.5)


def test_drift_is_told_with_the_error_of_baseline_and_window() -> None:
    tracker = learned([3.0] * 4, se_hz=0.02)
    shift = tracker.update(100.0, [peak(2.97, 0.01)])
    assert shift is not None
    assert shift.percent == pytest.approx(-1.0)
    # .02 / sqrt(4) of the baseline and .01 of the window.
    assert shift.se_percent == pytest.approx(100 * np.hypot(0.01 * 0.99, 0.01) / 3.0, rel=1e-6)


def test_windows_that_scatter_more_than_they_say_make_the_baseline_less_sure() -> None:
    quiet, wild = learned([3.0, 3.0, 3.0, 3.0]), learned([2.9, 3.1, 2.9, 3.1])
    assert quiet.baseline_se_hz == pytest.approx(0.005)
    assert wild.baseline_se_hz == pytest.approx(np.std([2.9, 3.1, 2.9, 3.1], ddof=1) / 2, rel=1e-6)


def test_without_a_peak_near_the_baseline_there_is_no_shift() -> None:
    tracker = learned([3.0] * 4)
    assert tracker.update(100.0, []) is None
    assert tracker.update(110.0, [peak(4.0)]) is None
    shift = tracker.update(120.0, [peak(4.0), peak(3.03)])  # a weaker peak, but the right one
    assert shift is not None
    assert shift.percent == pytest.approx(1.0)


def test_a_passing_frequency_is_not_learned() -> None:
    tracker = FrequencyTracker(window_s=10.0, learn_s=80.0)
    for number, hz in enumerate([9.0, 3.0, 3.0, 3.0, 9.0, 3.0, 3.0, 3.0, 3.0]):
        tracker.update(10.0 * number, [peak(hz)])
    assert tracker.baseline_hz == pytest.approx(3.0)


def test_learning_needs_peaks_and_not_only_time() -> None:
    tracker = FrequencyTracker(window_s=10.0, learn_s=20.0)
    for number in range(10):
        tracker.update(10.0 * number, [])
    assert tracker.baseline_hz is None
    for number in range(10, 13):
        tracker.update(10.0 * number, [peak(3.0)])
    assert tracker.baseline_hz == pytest.approx(3.0)


def test_what_was_learned_goes_on_after_a_restart() -> None:
    tracker = learned([3.0, 3.01, 2.99, 3.0])
    kept = json.loads(json.dumps(tracker.state.as_dict()))
    after = FrequencyTracker(window_s=10.0, learn_s=30.0, state=BaselineState.from_dict(kept))
    assert after.baseline_hz == tracker.baseline_hz
    assert after.update(5.0, [peak(2.9)]) == tracker.update(500.0, [peak(2.9)])


@pytest.mark.parametrize(
    "content",
    [
        {"frequency": 3.0},
        {"frequency_hz": "3"},
        {"frequency_hz": -3.0, "count": 1},
        {"frequency_hz": 3.0},
        {"weight": float("nan")},
    ],
)
def test_a_foreign_state_is_refused_in_one_sentence(content: dict[str, object]) -> None:
    with pytest.raises(Failure, match="delete it to learn a new one"):
        BaselineState.from_dict(content)
