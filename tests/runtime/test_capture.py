"""Calibration frames from a video and from a live source, by the command that users type."""

import sys
from pathlib import Path

import numpy as np
import pytest
from videos import BURST_HZ, RATE_HZ, burst, moving, write_video

import tremorscope
from benchmarks.clips import Scene, sine
from calibration.frames import read

SCENE = Scene(96, 64)


def captured(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """Run ``tremorscope capture``; what it exits with."""
    monkeypatch.setattr(sys, "argv", ["tremorscope", "capture", *words])
    with pytest.raises(SystemExit) as exit_:
        tremorscope.main()
    return str(exit_.value.code)


def test_a_video_gives_the_runs_in_which_something_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = burst(6.0, 2.0, 5.0)
    video = write_video(tmp_path / "a.mkv", moving(moved, scene=SCENE))
    out = tmp_path / "frames"
    assert captured(monkeypatch, str(video), "--out", str(out), "--runs", "6") == "0"
    stored = read(out)
    assert len(stored.table.runs) == 6
    for run in stored.table.runs:
        times_s = np.array([frame.t_ns for frame in run.frames]) / 1e9
        np.testing.assert_allclose(np.diff(times_s), 1 / RATE_HZ, atol=2e-3)
        # A run that is cut by the burst's begin or end may count.
        assert 2.0 - 8 / RATE_HZ < times_s[0] < 5.0
    told = capsys.readouterr().out
    assert f"{out}: 6 runs of 8 frames; parts of them move by 0." in told
    assert "runs without motion" in told
    assert f"look at: {out}/contact-sheet.jpg" in told


def test_a_camera_is_watched_for_the_time_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gi")
    source = (
        "gst: videotestsrc is-live=true pattern=circular horizontal-speed=1 ! "
        "video/x-raw,format=BGR,width=96,height=64,framerate=60/1"
    )
    out = tmp_path / "frames"
    words = (source, "--out", str(out), "--minutes", "0.1", "--frames-per-run", "8", "--runs", "4")
    assert captured(monkeypatch, *words) == "0"
    table = read(out).table
    assert table.size_px == (96, 64)
    first, last = table.runs[0].frames[0].t_ns, table.runs[-1].frames[-1].t_ns
    assert 1e9 < last - first < 6e9


def test_a_video_without_motion_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "a.mkv", moving(np.zeros(80), scene=SCENE))
    told = captured(monkeypatch, str(video), "--out", str(tmp_path / "frames"))
    assert told.startswith(f"tremorscope: {video}: only 0 frames can be used for calibration")
    assert "10 without motion" in told
    assert list(tmp_path.iterdir()) == [video]


def test_fewer_frames_than_a_calibration_needs_cannot_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "a.mkv", moving(sine(8, RATE_HZ, BURST_HZ, 0.3)))
    words = (str(video), "--out", str(tmp_path / "frames"), "--runs", "3")
    assert "calibration needs at least 32 frames; ask for more" in captured(monkeypatch, *words)


def test_a_missing_video_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (str(tmp_path / "none.mp4"), "--out", str(tmp_path / "frames"))
    assert "none.mp4: there is no such file" in captured(monkeypatch, *words)
    assert list(tmp_path.iterdir()) == []
