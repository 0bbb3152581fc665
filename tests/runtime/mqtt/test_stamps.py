"""What every message says of its sender, its place in its stream and its time."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from sample_messages import alert, shape

from runtime.messages import Stamp, State
from runtime.mqtt import stamps
from runtime.mqtt.stamps import Stamps, device_id

STATE = State(state="offline", version="1", source="test")


def stamp(payload: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(payload)["stamp"]
    return found


def test_each_stream_has_numbers_of_its_own() -> None:
    one = Stamps()
    told = [stamp(one.payload(stream, shape())) for stream in ("shapes", "alerts", "shapes")]
    assert [each["number"] for each in told] == [1, 1, 2]
    assert len({each["run_id"] for each in told}) == 1
    assert json.loads(one.for_picture("picture"))["number"] == 1


def test_another_run_has_another_id_and_begins_at_one() -> None:
    first, second = (stamp(Stamps().payload("alerts", alert(1))) for _ in range(2))
    assert first["run_id"] != second["run_id"]
    assert first["device"] == second["device"] == device_id()
    assert first["number"] == second["number"] == 1


def test_a_last_will_has_no_number() -> None:
    one = Stamps()
    assert stamp(one.will(STATE))["number"] is None
    assert stamp(one.payload("state", STATE))["number"] == 1


def test_both_clocks_are_told() -> None:
    before = time.monotonic()
    told = Stamp.model_validate(stamp(Stamps().payload("state", STATE)))
    assert before - 1e-6 <= told.monotonic_s <= time.monotonic()
    assert told.time_utc.endswith("Z")


def test_the_device_is_not_the_machine_id_but_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "machine-id"
    monkeypatch.setattr(stamps, "_MACHINE_ID", file)
    without = device_id()
    told = []
    for machine in ("0123456789abcdef0123456789abcdef", "ff23456789abcdef0123456789abcdef"):
        file.write_text(machine + "\n")
        told.append(device_id())
        assert len(told[-1]) == 32
        assert told[-1] != machine
        assert device_id() == told[-1]
    assert len({without, *told}) == 3
