"""What the daemon tells of itself: the numbers of one moment, and the line of the log."""

import logging
import threading
from pathlib import Path

import pytest
from broker import wait_until
from daemons import LIVE, Engine, config, daemon, ended, in_thread, needs_gstreamer
from videos import burst, moving, write_video

import runtime.daemon
from runtime.config import Alert
from runtime.snapshot import Latencies, Snapshot


@needs_gstreamer
def test_a_live_camera_has_latencies_of_every_station_in_the_order_of_its_way() -> None:
    shown = threading.Event()
    one = daemon(config(LIVE), Engine(), shown=lambda *_: shown.set())
    thread = in_thread(one)
    try:
        wait_until(lambda: one.snapshot().latencies.published is not None, "telemetry was told")
        wait_until(lambda: one.counters.measured > 60 and shown.is_set(), "frames are measured")
        now = one.snapshot()
    finally:
        one.stop()
        ended(thread)
    latencies = one.snapshot().latencies
    spreads = {name: getattr(latencies, name) for name in Latencies.model_fields}
    assert None not in spreads.values()
    assert all(0 < one.p50_ms <= one.p99_ms <= one.slowest_ms for one in spreads.values())
    assert spreads["arrived"].p50_ms < spreads["measured"].p50_ms
    assert spreads["magnified"].of == spreads["shown"].of
    assert spreads["magnified"].p50_ms < spreads["shown"].p50_ms
    assert spreads["judged"].of > spreads["published"].of
    assert now.frames.captured >= now.frames.measured > 60
    assert now.frames.magnified + now.frames.not_magnified <= now.frames.captured
    assert now.camera_hz is not None
    assert now.frame_age_s is not None
    later = one.snapshot().frame_age_s
    assert later is not None
    assert later > now.frame_age_s
    assert now.picture_px == (64, 64)
    assert now.engine == "engine of a test"
    assert [one.region for one in now.telemetry] == ["girder"]
    assert Snapshot.model_validate_json(now.model_dump_json()) == now


def test_a_file_played_as_fast_as_possible_has_no_latencies(video: Path) -> None:
    one = daemon(config(video))
    one.run()
    assert set(one.snapshot().latencies.model_dump().values()) == {None}
    assert one.snapshot().frames.measured == 50


def test_frames_that_the_engine_was_too_slow_for_are_counted(video: Path) -> None:
    measured = threading.Event()
    one = daemon(config(video), Engine(lambda: measured.wait(10)))
    thread = in_thread(one)
    wait_until(lambda: one.counters.measured == 50, "all frames are measured")
    measured.set()
    ended(thread)
    frames = one.snapshot().frames
    # The first frame that was fetched, and the newest: it may be left when the daemon ends.
    assert frames.magnified in (1, 2)
    assert frames.magnified + frames.not_magnified in (49, 50)


def test_open_alerts_are_those_that_were_told_and_did_not_end(tmp_path: Path) -> None:
    rule = {"name": "sway", "quantity": "displacement_rms_px", "raise_above": 0.1}
    rules = (Alert.model_validate({**rule, "raise_after_s": 0.2, "clear_after_s": 0.2}),)
    open_ = write_video(tmp_path / "open.mkv", moving(burst(4.0, 1.5, 4.0)))
    one = daemon(config(open_, alerts=rules))
    one.run()
    assert [(alert.rule, alert.type) for alert in one.snapshot().open_alerts] == [("sway", "new")]
    assert [report.region for report in one.told.newest()] == ["girder"]
    ends = write_video(tmp_path / "ends.mkv", moving(burst(5.5, 1.5, 2.5)))
    one = daemon(config(ends, alerts=rules))
    one.run()
    assert one.snapshot().open_alerts == ()


def test_the_log_says_the_same_in_one_line(
    video: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime.daemon, "TELL_EVERY_S", 0.2)
    one = daemon(config(video, real_time=True), Engine())
    with caplog.at_level(logging.INFO):
        one.run()
    lines = [record.getMessage() for record in caplog.records if "frames at" in record.getMessage()]
    assert lines
    assert "ms since capture (p50/p99): arrived " in lines[-1]
    assert "0 dropped, 0 of 32 wait" in lines[-1]
    assert "\n" not in lines[-1]
