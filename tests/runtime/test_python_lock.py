"""While one station is in a heavy step, the others' Python goes on: no heavy step holds Python's lock.

A thread of plain Python counts as fast as it can while another is inside one call. If that call held
the lock, it could not count at all.
"""

import sqlite3
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from daemons import needs_gstreamer
from scipy import fft

from runtime.camera.gst_buffer import Memory, bytes_of
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine

PICTURE = np.random.default_rng(0).integers(0, 256, (2160, 3840, 3)).astype(np.uint8)
TICKS = 3
"""More of them in one call than by chance just before and after it."""
LARGE = np.zeros(200_000_000, np.uint8)


def ticks_within(step: Callable[[], object]) -> list[int]:
    """How often a thread of plain Python gets its turn during each of some calls."""
    counted, ready, ended = [0], threading.Event(), threading.Event()

    def count() -> None:
        ready.set()
        while not ended.is_set():
            counted[0] += 1
            time.sleep(0)

    thread = threading.Thread(target=count)
    thread.start()
    ready.wait()
    ticks = []
    try:
        for _ in range(5):
            before = counted[0]
            step()
            ticks.append(counted[0] - before)
    finally:
        ended.set()
        thread.join()
    return ticks


def magnify() -> Callable[[], object]:
    engine, image = OnnxRuntimeEngine(SHIPPED, threads=1), PICTURE[:360, :640].copy()
    return lambda: engine.step(image, 1.0, (1.0, 1.0))


def write_to_database() -> Callable[[], object]:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
    database.execute("CREATE TABLE numbers (i INTEGER)")
    return lambda: database.execute(f"INSERT INTO numbers {many} SELECT i FROM n")


def copy_from_gstreamer() -> Callable[[], object]:
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst

    Gst.init(None)
    buffer, memory = Gst.Buffer.new_wrapped(bytes(LARGE)), Memory()
    return lambda: bytes_of(buffer, memory)


STEPS: dict[str, Callable[[], Callable[[], object]]] = {
    "network in ONNX Runtime": magnify,
    "jpeg of a picture": lambda: lambda: cv2.imencode(".jpg", PICTURE),
    "smaller picture": lambda: (
        lambda: cv2.resize(PICTURE, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    ),
    "grey levels": lambda: (
        lambda: cv2.cvtColor(
            np.broadcast_to(PICTURE, (4, *PICTURE.shape)).reshape(-1, 3840, 3), cv2.COLOR_BGR2GRAY
        )
    ),
    "copy of a picture": lambda: lambda: LARGE.copy(),
    "floating point of pixels": lambda: lambda: LARGE[:50_000_000].astype(np.float32),
    "sums of products": lambda: lambda: np.ones((900, 900)) @ np.ones((900, 900)),
    "spectra": lambda: lambda: fft.rfft(np.ones((64, 100_000)), axis=1),
    "outbox": write_to_database,
}


@pytest.mark.parametrize("name", STEPS)
def test_others_go_on_during(name: str) -> None:
    step = STEPS[name]()
    step()
    assert max(ticks_within(step)) > TICKS


@needs_gstreamer
def test_others_go_on_during_a_copy_from_gstreamer() -> None:
    assert max(ticks_within(copy_from_gstreamer())) > TICKS


@needs_gstreamer
def test_others_go_on_during_a_wait_for_gstreamer() -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstApp", "1.0")
    from gi.repository import Gst, GstApp  # noqa: F401  # it gives the appsink its methods

    Gst.init(None)
    pipeline = Gst.parse_launch(
        "videotestsrc is-live=true ! video/x-raw,framerate=1/60 ! appsink name=a"
    )
    pipeline.set_state(Gst.State.PLAYING)
    try:
        sink = pipeline.get_by_name("a")
        assert max(ticks_within(lambda: sink.try_pull_sample(100_000_000))) > TICKS
    finally:
        pipeline.set_state(Gst.State.NULL)


def test_a_step_that_holds_the_lock_would_be_seen() -> None:
    """The way frames were copied before, whose second copy is into ``bytes``."""
    assert min(ticks_within(lambda: bytes(bytearray(LARGE))[:0])) <= TICKS
