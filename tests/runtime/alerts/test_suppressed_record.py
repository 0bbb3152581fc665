import json
from pathlib import Path

import pytest

from runtime.alerts.suppressed_record import SuppressedRecord
from runtime.messages import SuppressedAlert


def suppressed(number: int) -> SuppressedAlert:
    return SuppressedAlert(
        kind="vibration",
        rule=f"rule-{number}",
        region="deck",
        quantity="ppv_mm_s",
        value=4.0,
        threshold=3.0,
        reason="hold-off after the alert before",
        time_utc="2026-11-20T03:00:00.000Z",
        t_s=1.0,
        started_t_s=0.5,
    )


def rules(path: Path) -> list[str]:
    return [json.loads(line)["rule"] for line in path.read_text().splitlines()]


def test_lines_are_appended_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "state" / "suppressed.jsonl"
    SuppressedRecord(path).add(suppressed(0))
    SuppressedRecord(path).add(suppressed(1))
    assert rules(path) == ["rule-0", "rule-1"]
    first = path.read_text().splitlines()[0]
    assert SuppressedAlert.model_validate_json(first) == suppressed(0)


def test_a_full_record_keeps_its_newer_half(tmp_path: Path) -> None:
    path = tmp_path / "suppressed.jsonl"
    record = SuppressedRecord(path, most_lines=10)
    for number in range(11):
        record.add(suppressed(number))
    assert rules(path) == [f"rule-{number}" for number in range(5, 11)]


def test_a_line_that_a_power_cut_tore_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "suppressed.jsonl"
    path.write_text('{"rule": "ha')
    SuppressedRecord(path).add(suppressed(1))
    torn, whole = path.read_text().splitlines()
    assert torn == '{"rule": "ha'
    assert SuppressedAlert.model_validate_json(whole) == suppressed(1)


def test_a_disk_that_refuses_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "suppressed.jsonl"
    path.mkdir()
    record = SuppressedRecord(path)
    for number in range(3):
        record.add(suppressed(number))
    assert caplog.text.count("cannot be recorded") == 1
