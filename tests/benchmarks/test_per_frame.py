"""The measurement of a frame's cost runs all stations, and its shares add up."""

import numpy as np
import pytest

from benchmarks import per_frame
from runtime.frame import Frame


def test_every_station_has_its_share_and_nothing_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(per_frame, "LEARNING", 60)
    times_ns = _times_ns_of_carried(monkeypatch)
    found = per_frame.measure(turns=2, frames=30)
    assert len(found.turns) == 2
    assert set(found.stations_ms) == {
        "taking the camera's buffer",
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
    # A gap would end the record that spectra are made of, and make them cheap.
    np.testing.assert_allclose(np.diff(times_ns), 1e9 / per_frame.RATE_HZ, atol=1)
    assert len(times_ns) == 60 + 2 * 30


def _times_ns_of_carried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    handed_over = per_frame.Line._handed_over
    times_ns: list[int] = []

    def noted(line: per_frame.Line, frame: Frame) -> Frame:
        times_ns.append(frame.t_capture_ns)
        return handed_over(line, frame)

    monkeypatch.setattr(per_frame.Line, "_handed_over", noted)
    return times_ns
