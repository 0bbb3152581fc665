import os
import time

import pytest

from runtime.service.manager import ServiceManager
from runtime.service.rounds import Rounds


class Manager(ServiceManager):
    """Notes what systemd would hear."""

    def __init__(self, watchdog_s: float) -> None:
        super().__init__()
        self.watchdog_s = watchdog_s
        self.told: list[str] = []
        self._notifier.notify = self.told.append


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "5000000"}, 5.0),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "nonsense"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_what_systemd_says_to_this_process(
    environment: dict[str, str], expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ServiceManager().watchdog_s == expected


def test_the_thread_that_has_been_away_for_longest_is_named() -> None:
    rounds = Rounds()
    assert rounds.longest() == ("", 0.0)
    rounds.came("measure")
    time.sleep(0.05)
    rounds.came("magnify")
    thread, away_s = rounds.longest()
    assert thread == "measure"
    assert away_s >= 0.05
    rounds.left("measure")
    assert rounds.longest()[0] == "magnify"


def test_a_thread_that_hangs_starves_the_watchdog_and_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    manager, rounds = Manager(0.4), Rounds()
    rounds.came("measure")
    manager.alive(rounds)
    assert manager.told == ["WATCHDOG=1"]
    time.sleep(0.25)
    manager.alive(rounds)
    manager.alive(rounds)
    assert manager.told == ["WATCHDOG=1"]
    assert [record.levelname for record in caplog.records] == ["ERROR"], "told once"
    assert "measure has not come round" in caplog.text
    rounds.came("measure")
    manager.alive(rounds)
    assert manager.told == ["WATCHDOG=1"] * 2, "it came back"


def test_the_watchdog_is_not_fed_more_often_than_it_needs() -> None:
    manager, rounds = Manager(60.0), Rounds()
    for _ in range(5):
        rounds.came("measure")
        manager.alive(rounds)
    assert manager.told == ["WATCHDOG=1"]
