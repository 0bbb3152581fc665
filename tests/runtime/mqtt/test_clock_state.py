"""What is told of the clock is what the kernel knows, and nothing where it knows nothing."""

from typing import Any

import pytest

from runtime.mqtt import clock_state
from runtime.mqtt.clock_state import ClockState


def kernel(monkeypatch: pytest.MonkeyPatch, error_us: int, result: int = 0) -> None:
    """A kernel that bounds the clock's error so, or refuses with a negative result."""

    def adjtimex(asked: Any) -> int:
        asked._obj.maxerror = error_us
        return result

    monkeypatch.setattr(clock_state, "_adjtimex", adjtimex)


@pytest.mark.parametrize(
    ("error_us", "result", "told"),
    [
        (21_000, 0, ClockState("synchronised", 0.021)),
        (15_999_999, 5, ClockState("synchronised", 15.999999)),  # STA_UNSYNC: chrony, no rtcsync
        (16_000_000, 5, ClockState("unsynchronised")),
        (0, -1, ClockState("unknown")),
    ],
)
def test_the_clock_is_synchronised_while_the_kernel_bounds_its_error(
    monkeypatch: pytest.MonkeyPatch, error_us: int, result: int, told: ClockState
) -> None:
    kernel(monkeypatch, error_us, result)
    assert clock_state.clock_state() == told


def test_a_system_without_the_call_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_state, "_adjtimex", None)
    assert clock_state.clock_state() == ClockState("unknown")


def test_this_machine_answers_without_rights_and_nothing_is_set() -> None:
    told = clock_state.clock_state()
    assert (told.error_s is not None) == (told.clock == "synchronised")
    assert clock_state._Timex().modes == 0
