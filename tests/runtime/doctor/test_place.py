from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

import runtime.doctor.place
from runtime.config import Config
from runtime.doctor.finding import Finding
from runtime.doctor.place import place_findings
from runtime.mqtt.clock_state import ClockState

Usage = namedtuple("Usage", "total used free")


def examined(folder: Path, **others: Any) -> dict[str, Finding]:
    config = Config.model_validate(
        {
            "camera": {"source": "csi:0"},
            "regions": [{"name": "girder", "x": 8, "y": 8, "width": 32, "height": 32}],
            "storage": {"directory": folder},
            **others,
        }
    )
    return {one.what: one for one in place_findings(config)}


def test_a_folder_that_cannot_be_written_has_failed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = examined(tmp_path / "file")
    assert found["folder"].verdict == "failed"
    assert "disk" not in found


@pytest.mark.parametrize(
    ("free_gb", "verdict"), [(60.0, "good"), (6.0, "warning"), (2.0, "failed")]
)
def test_the_disk_must_have_room_for_what_may_be_kept(
    tmp_path: Path, free_gb: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Usage(64e9, 64e9 - free_gb * 1e9, free_gb * 1e9)
    monkeypatch.setattr(runtime.doctor.place, "disk_usage", lambda _: usage)
    assert examined(tmp_path)["disk"].verdict == verdict


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (ClockState("synchronised", 0.02), "good"),
        (ClockState("synchronised", 9.0), "warning"),
        (ClockState("unsynchronised"), "warning"),
        (ClockState("unknown"), "warning"),
    ],
)
def test_the_clock_is_told(
    tmp_path: Path, state: ClockState, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.doctor.place, "clock_state", lambda: state)
    assert examined(tmp_path)["clock"].verdict == verdict


def test_what_validate_would_notice_is_told(tmp_path: Path) -> None:
    mqtt = {"host": "broker.example", "username": "a", "password_file": "p"}
    assert "set tls = true" in examined(tmp_path, mqtt=mqtt)["configured"].text


def test_a_file_of_the_page_that_cannot_be_read_has_failed(tmp_path: Path) -> None:
    page = {"enabled": True, "certificate": tmp_path / "none.pem", "key": tmp_path / "none.key"}
    assert examined(tmp_path, page=page)["page"].verdict == "failed"
