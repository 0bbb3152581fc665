"""What a restart finds: the same alerts, or one sentence about a file that is of no use."""

import json
from pathlib import Path

import pytest

from runtime.alerts.condition import Kept
from runtime.alerts.memory import TIMERS_EVERY_S, AlertMemory, Remembered
from runtime.alerts.readings import Readings
from runtime.alerts.rules import AlertRules
from runtime.config import Alert
from runtime.messages import AlertMessage

RULE = Alert(name="sway", quantity="displacement_px", raise_above=1.0, raise_after_s=0.0)
BEYOND = float("inf")


def open_alert(value: float = 2.0) -> list[Kept]:
    rules = AlertRules([RULE], ["deck"])
    rules.update(10.0, {"deck": Readings({"displacement_px": value})})
    return [one for condition in rules.conditions() if (one := condition.kept()) is not None]


def message(kept: list[Kept]) -> AlertMessage:
    told = kept[0].told
    assert told is not None
    return AlertMessage(time_utc="now", **{name: getattr(told, name) for name in told.__slots__})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "alerts.json"


def memory(path: Path, unix_s: float = 1000.0, camera: str = "bridge") -> AlertMemory:
    return AlertMemory(path, camera, unix_s=lambda: unix_s)


@pytest.mark.parametrize("value", [2.0, BEYOND])
def test_what_is_kept_is_found_again(path: Path, value: float) -> None:
    kept = open_alert(value)
    memory(path).keep(10.0, kept, [message(kept)])
    found = memory(path).load()
    assert found is not None
    assert (found.kept, found.untold) == (tuple(kept), (message(kept),))
    assert (found.saved_t_s, found.saved_unix_s) == (10.0, 1000.0)


def test_without_a_file_there_is_nothing(path: Path) -> None:
    assert memory(path).load() is None


def test_where_nothing_goes_on_nothing_is_written(path: Path) -> None:
    memory(path).keep(10.0, [])
    assert not path.exists()


def test_messages_and_their_delivery_are_written_at_once_and_timers_seldom(path: Path) -> None:
    one, kept = memory(path), open_alert()
    one.keep(10.0, kept, [message(kept)])
    one.keep(10.0, kept)
    assert json.loads(path.read_text())["untold"] == []
    written = path.stat().st_ino  # another file each time
    for tenth in range(round(TIMERS_EVERY_S * 10)):
        kept[0].life.held_s = tenth / 10
        one.keep(10.0 + tenth / 10, [Kept(kept[0].identity, kept[0].life, tenth, None)])
    assert path.stat().st_ino == written
    one.keep(10.0 + TIMERS_EVERY_S, [])
    assert json.loads(path.read_text())["kept"] == []


def test_an_open_alert_that_does_not_change_is_not_written_again(path: Path) -> None:
    one, kept = memory(path), open_alert()
    one.keep(10.0, kept, [message(kept)])
    one.keep(10.0, kept)
    written = path.stat().st_ino
    one.keep(4000.0, kept)
    assert path.stat().st_ino == written


def test_what_an_earlier_process_left_is_replaced_once_it_is_over(path: Path) -> None:
    kept = open_alert()
    memory(path).keep(10.0, kept, [message(kept)])
    after = memory(path)
    assert after.load() is not None
    after.keep(11.0, [])
    found = memory(path).load()
    assert found is not None
    assert (found.kept, found.untold) == ((), ())


def test_age_follows_the_time_of_day_where_the_clock_began_anew(path: Path) -> None:
    memory(path, unix_s=1000.0).keep(500.0, open_alert(), at_once=True)
    found = memory(path).load()
    assert found is not None
    # One minute later, after a boot that was 20 s ago: what was at 500 s was at -40 s.
    assert 500.0 + found.shift_s(20.0, unix_s=1060.0) == -40.0
    # A time of day that went back tells nothing: no time has passed then.
    assert 500.0 + found.shift_s(20.0, unix_s=0.0) == 20.0


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"format": "tremorscope al', id="torn"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param(b'{"format": "tremorscope alerts 9", "camera": "bridge"}', id="other version"),
        pytest.param(b'[{"some": "other program"}]', id="foreign"),
    ],
)
def test_a_file_of_no_use_is_set_aside_and_told(
    content: bytes, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    one = memory(path)
    assert one.load() is None
    [record] = caplog.records
    assert "is damaged or from another version; it was set aside as" in record.getMessage()
    assert (path.parent / "alerts.damaged.json").read_bytes() == content
    assert not path.exists()
    kept = open_alert()
    one.keep(10.0, kept, at_once=True)
    assert memory(path).load() is not None


def test_another_cameras_file_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory(path, camera="other").keep(1.0, open_alert(), at_once=True)
    assert memory(path).load() is None
    assert 'is of camera "other", not of "bridge"' in caplog.text


def test_every_cut_of_the_file_is_told_and_none_is_fatal(path: Path) -> None:
    kept = open_alert()
    memory(path).keep(10.0, kept, [message(kept)])
    whole = path.read_bytes()
    Remembered.model_validate_json(whole)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert memory(path).load() is None


def test_a_disk_that_refuses_is_told_once_and_tried_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("in the way")
    one, kept = memory(path), open_alert()
    for step in range(4):
        one.keep(10.0 + step * TIMERS_EVERY_S, kept)
    assert caplog.text.count("cannot be kept for a restart") == 1
    path.parent.unlink()
    one.keep(100.0, kept)
    assert memory(path).load() is not None
