"""The daemon on real files, on GStreamer's test source, and on cameras that misbehave on purpose."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broker import wait_until
from daemons import (
    LIVE,
    Engine,
    FakeCamera,
    SilentCamera,
    config,
    daemon,
    ended,
    in_thread,
    needs_gstreamer,
)
from videos import burst, moving, write_video

import runtime.camera.recovery
import runtime.daemon
from failure import Failure
from runtime.alerts.suppressed_record import SuppressedRecord
from runtime.config import Alert, Health, Region
from runtime.daemon import Daemon
from runtime.frame import Frame
from runtime.magnification import Magnified
from runtime.measurement import Measurement
from runtime.messages import AlertMessage, SuppressedAlert


def test_what_is_shown_is_the_frame_and_its_magnified_picture(video: Path) -> None:
    shown: list[Magnified] = []
    settings = config(video, real_time=True)
    daemon(settings, Engine(), shown=shown.append).run()
    assert len(shown) > 10
    indices = [one.frame.index for one in shown]
    assert indices == sorted(set(indices))
    for one in shown:
        np.testing.assert_array_equal(one.picture, one.frame.image)


def test_alerts_are_handed_over_as_they_are_raised(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mkv", moving(burst(5.5, 1.5, 2.5)))
    rule = Alert(
        name="sway",
        quantity="displacement_rms_px",
        raise_above=0.1,
        raise_after_s=0.2,
        clear_after_s=0.2,
    )
    raised: list[AlertMessage] = []
    daemon(config(video, alerts=(rule,)), raised=raised.append).run()
    assert [alert.type for alert in raised] == ["new", "end"]


class Trouble(RuntimeError):
    pass


def fail(*_: object) -> Any:
    raise Trouble("a defect")


@pytest.mark.parametrize("source", ["file", pytest.param("live", marks=needs_gstreamer)])
@pytest.mark.parametrize("station", ["capture", "measure", "magnify", "show"])
def test_a_station_that_fails_stops_all_and_tells_why(
    source: str, station: str, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(LIVE) if source == "live" else config(video, real_time=True)
    engine = Engine(fail if station == "magnify" else lambda: None)
    if station == "capture":
        monkeypatch.setattr(Daemon, "_hand_over", fail)
    if station == "measure":
        monkeypatch.setattr(Measurement, "process", fail)
    one = daemon(settings, engine, shown=fail if station == "show" else None)
    with pytest.raises(Trouble, match="a defect"):
        one.run()
    assert one.counters.measured < 50


def test_a_region_outside_the_picture_comes_out_of_run(video: Path) -> None:
    far = Region(name="far", x=500, y=0, width=40, height=40)
    settings = config(video).model_copy(update={"regions": (far,)})
    with pytest.raises(Failure, match='Region "far"'):
        daemon(settings, Engine()).run()


@needs_gstreamer
def test_stopping_from_another_thread_ends_a_live_camera() -> None:
    one = daemon(config(LIVE), Engine())
    thread = in_thread(one)
    try:
        wait_until(lambda: one.counters.measured > 5, "frames are measured")
    finally:
        one.stop()
        ended(thread)
    counts = one.counters
    assert counts.captured >= counts.measured > 5
    assert counts.magnified > 0


def test_stopping_ends_a_file_that_waits_for_its_next_frame(tmp_path: Path) -> None:
    first, second = moving(np.zeros(2))
    late = Frame(1, 3_600_000_000_000, second.image)
    one = daemon(config(write_video(tmp_path / "slow.mkv", [first, late]), real_time=True))
    thread = in_thread(one)
    try:
        wait_until(lambda: one.counters.measured == 1, "the first frame is measured")
    finally:
        one.stop()
        ended(thread)


def test_a_daemon_that_was_stopped_before_it_ran_ends_at_once(video: Path) -> None:
    one = daemon(config(video), Engine())
    one.stop()
    one.run()
    assert one.counters.measured == 0


@needs_gstreamer
def test_a_camera_that_fails_later_is_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    source = LIVE.replace("is-live=true", "is-live=true num-buffers=5")
    one = daemon(config(source))
    thread = in_thread(one)
    try:
        wait_until(lambda: one.counters.captured > 5, "it delivers again", 20)
    finally:
        one.stop()
        ended(thread)
    assert one.counters.camera.reopened >= 1
    assert one.counters.measured > 5
    assert "the stream has ended after 5 frames" in caplog.text
    assert "opening it again in 1 s" in caplog.text


@needs_gstreamer
@pytest.mark.parametrize("source", ["gst: v4l2src device=/dev/no-video", "/dev/no-video"])
def test_a_camera_that_never_starts_is_told_and_tried_again(source: str) -> None:
    raised: list[AlertMessage] = []
    one = daemon(config(source), Engine(), raised=raised.append)
    thread = in_thread(one)
    try:
        wait_until(lambda: bool(raised), "it is told")
        wait_until(lambda: one.counters.camera.reopened > 1, "it is tried again")
    finally:
        one.stop()
        ended(thread)
    [alert] = raised
    assert (alert.kind, alert.rule) == ("health", "offline")
    assert "/dev/no-video" in str(alert.reason)


@needs_gstreamer
def test_a_pipeline_that_cannot_work_is_told_at_once() -> None:
    with pytest.raises(Failure, match="no element unheardof"):
        daemon(config("gst: videotestsrc ! unheardof"), Engine()).run()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"none\.mkv: there is no such file"):
        daemon(config(tmp_path / "none.mkv"), Engine()).run()


def test_a_live_camera_that_falls_silent_is_told_to_the_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime.camera.recovery, "open_source", lambda _, **__: SilentCamera(30))
    raised: list[AlertMessage] = []
    health = Health.model_validate({"offline": {"raise_after_s": 0.3}})
    one = daemon(config("gst: fake", health=health), raised=raised.append)
    thread = in_thread(one)
    try:
        wait_until(lambda: bool(raised), "the silence is told")
    finally:
        one.stop()
        ended(thread)
    assert [(alert.kind, alert.rule, alert.type) for alert in raised] == [
        ("health", "offline", "new")
    ]


def test_the_reason_of_a_silence_is_what_the_camera_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unplugged() -> None:
        raise Failure("fake camera: unplugged")

    cameras = iter([FakeCamera(30, unplugged), SilentCamera(0)])
    monkeypatch.setattr(runtime.camera.recovery, "open_source", lambda _, **__: next(cameras))
    raised: list[AlertMessage] = []
    health = Health.model_validate({"offline": {"raise_after_s": 0.3}})
    one = daemon(config("gst: fake", health=health), raised=raised.append)
    thread = in_thread(one)
    try:
        wait_until(lambda: bool(raised), "the silence is told")
    finally:
        one.stop()
        ended(thread)
    assert raised[0].reason == "fake camera: unplugged"


def test_acknowledging_from_another_thread_ends_a_latched_alert(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera = SilentCamera(0)
    frames = list(moving(burst(6.0, 1.0, 3.0)))

    def film() -> Iterator[Frame]:
        for frame in frames:
            yield frame
            time.sleep(0.002)
        camera._closed.wait(30)

    monkeypatch.setattr(camera, "frames", film)
    monkeypatch.setattr(runtime.camera.recovery, "open_source", lambda _, **__: camera)
    rule = Alert(
        name="sway",
        quantity="displacement_rms_px",
        raise_above=0.1,
        raise_after_s=0.2,
        clear_after_s=0.2,
        latch=True,
    )
    raised: list[AlertMessage] = []
    one = daemon(config("gst: fake", alerts=(rule,)), raised=raised.append)
    thread = in_thread(one)
    try:
        wait_until(lambda: len(raised) == 2, "it waits for acknowledgement", 20)
        with pytest.raises(Failure, match=rf'event_id "unknown"; open are: {raised[0].event_id}'):
            one.acknowledge("unknown")
        one.acknowledge(raised[0].event_id)
        wait_until(lambda: len(raised) == 3, "it ends")
    finally:
        one.stop()
        ended(thread)
    assert [alert.type for alert in raised] == ["new", "update", "end"]


def test_profiles_are_told_at_the_start_with_what_keeps_them_silent(
    video: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rule = Alert.model_validate({"name": "houses", "profile": "bs7385-2-line2"})
    settings = config(video).model_copy(update={"alerts": (rule,)})
    daemon(settings).run()
    assert caplog.text.count('"houses": BS 7385-2 line 2 only shows how near its limit is') == 1
    assert caplog.text.count("its scope excludes bridges and chimneys") == 1
    assert caplog.text.count("a camera sees up to 15 Hz of the 4-40 Hz") == 1


def test_what_was_not_raised_is_counted_and_recorded(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mkv", moving(burst(5.0, 0.5, 5.0)))
    rule = Alert(
        name="sway",
        quantity="displacement_rms_px",
        raise_above=0.1,
        raise_after_s=0.2,
        longest_s=1.0,
    )
    record = SuppressedRecord(tmp_path / "suppressed.jsonl")
    raised: list[AlertMessage] = []
    one = daemon(config(video, alerts=(rule,)), raised=raised.append, record=record)
    one.run()
    assert [(alert.type, alert.reason) for alert in raised] == [("new", None), ("end", "too long")]
    [line] = record.path.read_text().splitlines()
    assert "too long" in SuppressedAlert.model_validate_json(line).reason
    assert one.suppressed == 1


def test_a_driver_that_does_not_come_back_does_not_keep_the_daemon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()

    class Hanging(SilentCamera):
        def close(self) -> None:
            released.wait(60)
            super().close()

    monkeypatch.setattr(runtime.camera.recovery, "open_source", lambda _, **__: Hanging(30))
    monkeypatch.setattr(runtime.daemon, "LONGEST_CLOSE_S", 0.3)
    one = daemon(config("gst: fake"))
    stopped = threading.Timer(0.5, one.stop)
    stopped.start()
    try:
        with pytest.raises(Failure, match=r"gst: fake: its driver has not come back for 0\.3 s"):
            one.run()
    finally:
        released.set()
        for thread in threading.enumerate():
            if thread.name == "capture":
                thread.join(60)
