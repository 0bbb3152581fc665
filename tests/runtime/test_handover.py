"""Which frames reach the measurement and which the engine, when either is slow."""

import logging
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from broker import wait_until
from daemons import Engine, FakeCamera, config, daemon
from numpy.typing import NDArray

import runtime.camera.recovery
from runtime.config import Magnification
from runtime.daemon import QUEUE_FRAMES, Daemon
from runtime.frame import Frame
from runtime.magnification import Magnifier
from runtime.measurement import Measured, Measurement
from runtime.priority import NICENESS

PICTURES = [np.full((64, 64, 3), level, np.uint8) for level in range(3)]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """Collects every frame that is measured."""
    frames: list[Frame] = []
    original = Measurement.process

    def process(self: Measurement, frame: Frame) -> Measured:
        frames.append(frame)
        return original(self, frame)

    monkeypatch.setattr(Measurement, "process", process)
    return frames


def test_an_engine_sees_the_next_frame_coming_and_a_newer_one_overtakes_it(video: Path) -> None:
    shown: list[int] = []
    seen: list[NDArray[np.uint8] | None] = []
    two_wait = threading.Event()

    def look() -> None:
        assert engine.coming is not None
        if not seen:
            seen.append(engine.coming(10.0))
            two_wait.wait(10)
            seen.append(engine.coming(0.0))

    engine = Engine(look)
    one = daemon(config(video), engine, shown=lambda one: shown.append(one.frame.index))
    frames = [Frame(number, number * 10**7, picture) for number, picture in enumerate(PICTURES)]
    magnify = threading.Thread(target=one._magnify, name="magnify")
    one._to_magnify.put(frames[0])
    magnify.start()
    wait_until(lambda: engine.coming is not None, "the first frame computes")
    one._to_magnify.put(frames[1])
    wait_until(lambda: len(seen) == 1, "the next frame was seen")
    one._to_magnify.put(frames[2])
    two_wait.set()
    wait_until(lambda: shown == [0, 2], "the newest frame was shown")
    one.stop()
    magnify.join()
    assert seen[0] is frames[1].image
    assert seen[1] is frames[2].image


@pytest.mark.parametrize("real_time", [False, True])
def test_every_frame_of_a_file_is_measured_once_and_in_order(
    video: Path, measured: list[Frame], real_time: bool
) -> None:
    one = daemon(config(video, real_time=real_time))
    one.run()
    assert [frame.index for frame in measured] == list(range(50))
    counts = one.counters
    assert (counts.captured, counts.measured, counts.not_measured) == (50, 50, 0)
    assert (counts.magnified, counts.camera.reopened) == (0, 0)


def test_a_file_waits_for_a_slow_measurement(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = daemon(config(video))
    original = Measurement.process

    def process(self: Measurement, frame: Frame) -> Measured:
        if frame.index == 0:
            wait_until(one._to_measure.full, "all waiting room is taken")
            time.sleep(0.1)  # for the frames that could be lost now
        return original(self, frame)

    monkeypatch.setattr(Measurement, "process", process)
    one.run()
    assert (one.counters.measured, one.counters.not_measured) == (50, 0)


def test_a_slow_engine_skips_frames_and_the_measurement_misses_none(
    video: Path, measured: list[Frame]
) -> None:
    all_measured = threading.Event()
    shown: list[int] = []

    class Watched(Daemon):
        def _measure(self) -> None:
            super()._measure()
            all_measured.set()

    one = Watched(
        config(video),
        magnifier=Magnifier(Magnification(), Engine(lambda: all_measured.wait(30))),
        publisher=None,
        shown=lambda one: shown.append(one.frame.index),
    )
    one.run()
    assert all_measured.is_set()
    assert [frame.index for frame in measured] == list(range(50))
    # The engine kept its first frame until all others were measured; after it, only the newest.
    assert shown[0] < 49
    assert shown[1:] in ([], [49])
    assert one.counters.magnified == len(shown)


def test_magnification_gives_way_to_camera_and_measurement(video: Path) -> None:
    niceness: dict[str, int] = {}

    def look() -> None:
        for thread in threading.enumerate():
            if thread.native_id is not None:
                nice = os.getpriority(os.PRIO_PROCESS, thread.native_id)
                niceness.setdefault(thread.name, nice)

    daemon(config(video, real_time=True), Engine(look)).run()
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness["magnify"] == before + NICENESS
    assert niceness["capture"] == niceness["measure"] == before


def test_a_live_camera_does_not_wait_for_a_slow_measurement(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    delivered = threading.Event()
    original = Measurement.process
    measured: list[int] = []

    def process(self: Measurement, frame: Frame) -> Measured:
        assert delivered.wait(30)
        measured.append(frame.index)
        return original(self, frame)

    monkeypatch.setattr(Measurement, "process", process)
    camera = FakeCamera(QUEUE_FRAMES + 20, delivered.set)
    monkeypatch.setattr(runtime.camera.recovery, "open_source", lambda _, **__: camera)
    one = daemon(config("gst: fake"))
    with caplog.at_level(logging.WARNING):
        one.run()
    counts = one.counters
    assert counts.captured == QUEUE_FRAMES + 20
    # One more than the queue holds may have been taken out of it before all were delivered.
    assert counts.not_measured in (19, 20)
    assert counts.measured == counts.captured - counts.not_measured == len(measured)
    assert measured == sorted(set(measured))
    assert measured[:QUEUE_FRAMES] == list(range(QUEUE_FRAMES))
    assert caplog.text.count("slower than the camera") == 1
