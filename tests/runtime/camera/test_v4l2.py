from time import monotonic_ns
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from failure import Failure
from runtime.camera import open_source
from runtime.camera.v4l2 import V4l2Source, capture_time_ns
from runtime.config import Camera

DEVICE = "/dev/null"
"""A character device that exists everywhere; opening it as a camera is what the double does."""


class Double:
    """OpenCV's VideoCapture with a camera that gives three frames and is then unplugged.

    A double, because a real V4L2 device needs a kernel module.
    """

    opens = True
    times_ms: tuple[float, ...] = ()

    def __init__(self, name: str, backend: int) -> None:
        assert (name, backend) == (DEVICE, cv2.CAP_V4L2)
        self.wanted: dict[int, float] = {}
        self.reads = 0
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self.opens

    def set(self, key: int, value: float) -> bool:
        self.wanted[key] = value
        return True

    def get(self, key: int) -> float:
        if key == cv2.CAP_PROP_FPS:
            return self.wanted.get(key, 30.0)
        return self.times_ms[self.reads - 1] if self.times_ms else monotonic_ns() / 1e6 - 20.0

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        self.reads += 1
        return (True, np.zeros((48, 64, 3), np.uint8)) if self.reads <= 3 else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> type[Double]:
    class Mine(Double):
        pass

    monkeypatch.setattr(cv2, "VideoCapture", Mine)
    return Mine


@pytest.mark.usefixtures("double")
def test_frames_carry_the_drivers_time_until_the_camera_is_unplugged() -> None:
    source = V4l2Source(Camera(source=DEVICE, width=64, height=48, rate_hz=25))
    capture: Any = source._capture
    assert capture.wanted[cv2.CAP_PROP_FRAME_WIDTH] == 64
    assert (source.live, source.nominal_rate_hz) == (True, 25)
    frames = source.frames()
    for index in range(3):
        frame = next(frames)
        assert frame.index == index
        assert 20 <= (monotonic_ns() - frame.t_capture_ns) / 1e6 < 1000
    with pytest.raises(Failure, match="no frame after 3 frames; the camera was unplugged"), source:
        next(frames)
    assert source.size == (64, 48)
    assert capture.released


def test_a_repeated_time_is_dropped_and_counted(double: type[Double]) -> None:
    now_ms = monotonic_ns() / 1e6
    double.times_ms = (now_ms - 30, now_ms - 30, now_ms - 10)
    source = V4l2Source(Camera(source=DEVICE))
    frames = source.frames()
    assert next(frames).t_capture_ns < next(frames).t_capture_ns
    assert source.dropped == 1


@pytest.mark.usefixtures("double")
def test_closing_ends_the_iteration() -> None:
    source = V4l2Source(Camera(source=DEVICE))
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []


@pytest.mark.parametrize(
    ("driver_ms", "expected_ns"),
    [
        (9_950.0, 9_950_000_000),
        (9_950.125, 9_950_125_000),
        (0.0, 10_000_000_000),  # not told
        (1_700_000_000_000.0, 10_000_000_000),  # the wall clock
        (10_001.0, 10_000_000_000),  # in the future
        (5_000.0, 10_000_000_000),  # stuck
    ],
)
def test_an_implausible_time_of_the_driver_is_not_used(driver_ms: float, expected_ns: int) -> None:
    assert capture_time_ns(driver_ms, 10_000_000_000) == expected_ns


def test_a_device_in_use_is_told(double: type[Double]) -> None:
    double.opens = False
    with pytest.raises(Failure, match=r"another program may hold it \(`fuser /dev/null` tells\)"):
        V4l2Source(Camera(source=DEVICE))


@pytest.mark.usefixtures("_without_gstreamer")
def test_opencv_reads_a_device_where_gstreamer_is_not_installed(double: type[Double]) -> None:
    with open_source(Camera(source=DEVICE)) as source:
        assert isinstance(source, V4l2Source)
        assert isinstance(source._capture, double)


def test_what_is_missing_or_no_device_is_told() -> None:
    with pytest.raises(Failure, match="there is no such device; plug the camera in"):
        open_source(Camera(source="/dev/video-none"))
    with pytest.raises(Failure, match="is not a camera device"):
        open_source(Camera(source="/dev/../tmp"))
