"""Percentiles and rates of the newest frames, in memory that does not grow."""

import sys

import pytest

from runtime.latency import NEWEST, Latency, Pace


def test_percentiles_are_of_frames_that_were() -> None:
    one = Latency()
    assert one.spread() is None
    for took_ms in range(100, 0, -1):
        one.add(took_ms * 1_000_000)
    spread = one.spread()
    assert spread is not None
    assert (spread.of, spread.p50_ms, spread.p99_ms, spread.slowest_ms) == (100, 50, 99, 100)


def test_only_the_newest_count_and_take_the_same_room() -> None:
    one = Latency()
    room = sys.getsizeof(one._newest_ns)
    for took_ns in [10**9] * 50 + [10**6] * NEWEST:
        one.add(took_ns)
    spread = one.spread()
    assert spread is not None
    assert (spread.of, spread.slowest_ms) == (NEWEST, 1)
    assert sys.getsizeof(one._newest_ns) == room


def test_a_rate_is_of_the_newest_frames_and_sinks_in_silence() -> None:
    one = Pace()
    assert (one.rate_hz(0), one.age_s(0)) == (None, None)
    step_ns = 20_000_000
    for number in range(500):
        one.add(3 * step_ns * (number - 500))
    for number in range(500):
        one.add(step_ns * number)
    newest_ns = 499 * step_ns
    assert one.rate_hz(newest_ns + step_ns) == pytest.approx(50)
    assert one.age_s(newest_ns + step_ns) == pytest.approx(0.02)
    assert one.rate_hz(newest_ns + 2_020_000_000) == pytest.approx(0.5)
    assert one.step_s() == pytest.approx(0.02), "silence is no step"
