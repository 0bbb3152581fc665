"""The measurement of a frame's cost runs all stations, and its shares add up."""

import pytest

from benchmarks import per_frame


def test_every_station_has_its_share_and_nothing_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(per_frame, "LEARNING", 60)
    found = per_frame.measure(turns=2, frames=30)
    assert len(found.turns) == 2
    assert set(found.stations_ms) == {
        "copy from the camera's buffer",
        "hand-over",
        "displacement",
        "look of the picture",
        "vibration and rules",
        "telling",
        "other threads: evidence, publisher",
        "between",
    }
    for turn in found.turns:
        assert all(ms >= 0 for ms in turn.stations_ms.values()), turn
        assert turn.total_ms == pytest.approx(sum(turn.stations_ms.values()))
        assert turn.copies == pytest.approx(turn.total_ms / turn.copy_ms)
        assert turn.stations_ms["displacement"] > turn.stations_ms["hand-over"]
    assert found.published, "these tests need Mosquitto"
