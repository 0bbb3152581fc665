"""USB and other V4L2 cameras through OpenCV, where there is no GStreamer."""

import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic_ns

import cv2
import numpy as np
from numpy.typing import NDArray

from failure import Failure
from runtime.camera.locks import Locks
from runtime.camera.source import BaseSource
from runtime.camera.v4l2_device import check_device, hold
from runtime.config import Camera
from runtime.frame import Frame

OLDEST_PLAUSIBLE_NS = 2_000_000_000
"""A driver's time further back than this is on another clock, or stuck."""


class V4l2Source(BaseSource):
    """A V4L2 device, best named by ``/dev/v4l/by-id/...``, which survives unplugging.

    ``t_capture_ns`` is the driver's CLOCK_MONOTONIC time of the exposure where that is plausible,
    else the time at which the frame was read.
    """

    def __init__(self, camera: Camera) -> None:
        """Open the device and ask it for the wanted size and rate.

        Raises:
            Failure: there is no such device, it may not be opened, or it is in use or no camera.
        """
        super().__init__(camera.source, mask=camera.mask)
        check_device(Path(camera.source))
        hold(camera.source, camera, settled=False)
        self._camera = camera
        self._closed = threading.Event()
        self._reading = threading.Lock()  # OpenCV must not be released in the middle of a read
        self._capture = cv2.VideoCapture(camera.source, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise Failure(
                f"{camera.source}: cannot be opened as a camera; another program may hold it "
                f"(`fuser {camera.source}` tells), or it is the metadata twin of a camera, whose "
                "number is one lower"
            )
        if camera.width is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, camera.width)
        if camera.height is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, camera.height)
        if camera.rate_hz is not None:
            self._capture.set(cv2.CAP_PROP_FPS, camera.rate_hz)
        rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        self.nominal_rate_hz = rate_hz if rate_hz > 0 else None

    def frames(self) -> Iterator[Frame]:
        """The frames as they are taken; no end but ``close``.

        Raises:
            Failure: a frame could not be read, or none came within OpenCV's limit of 10 s.
        """
        while (taken := self._read()) is not None:
            t_capture_ns, image = taken
            if self._advances(t_capture_ns):
                yield self._frame(t_capture_ns, image)

    def lock(self) -> Locks:
        return hold(self._camera.source, self._camera, settled=True)

    def close(self) -> None:
        self._closed.set()
        with self._reading:
            self._capture.release()

    def _read(self) -> tuple[int, NDArray[np.uint8]] | None:
        with self._reading:
            if self._closed.is_set():
                return None
            good, image = self._capture.read()
            read_ns = monotonic_ns()
            driver_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        if not good:
            raise Failure(
                f"{self.description}: no frame after {self._index} frames; the camera was "
                "unplugged or has stopped, so check its cable and power"
            )
        return capture_time_ns(driver_ms, read_ns), np.asarray(image, dtype=np.uint8)


def capture_time_ns(driver_ms: float, read_ns: int) -> int:
    """The driver's time where it can be a CLOCK_MONOTONIC time of this frame, else ``read_ns``.

    Some drivers report 0, the wall clock, or a clock of their own.
    """
    driver_ns = round(driver_ms * 1e6)
    return driver_ns if 0 <= read_ns - driver_ns <= OLDEST_PLAUSIBLE_NS else read_ns
