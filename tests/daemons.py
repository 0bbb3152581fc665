"""Daemons, an engine and cameras of the tests, and what waits for them."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from videos import moving

from runtime.camera.source import BaseSource
from runtime.config import Camera, Config, Magnification, Region
from runtime.daemon import Daemon
from runtime.engine import Coming, Follow
from runtime.frame import Frame
from runtime.magnification import Magnifier

needs_gstreamer = pytest.mark.skipif(
    os.environ.get("TREMORSCOPE_WITHOUT_GSTREAMER") == "1",
    reason="TREMORSCOPE_WITHOUT_GSTREAMER=1",
)
GIRDER = Region(name="girder", x=12, y=12, width=40, height=40)
LIVE = "gst: videotestsrc is-live=true ! video/x-raw,width=64,height=64,framerate=50/1"


def config(source: str | Path, *, real_time: bool = False, **others: Any) -> Config:
    camera = Camera(source=str(source), real_time=real_time)
    return Config(camera=camera, regions=(GIRDER,), **others)


def daemon(settings: Config, engine: "Engine | None" = None, **others: Any) -> Daemon:
    magnifier = None if engine is None else Magnifier(Magnification(), engine)
    return Daemon(settings, magnifier=magnifier, publisher=None, **others)


class Engine:
    """Gives pictures back as they are, after a ``hook`` of the test's."""

    description = "engine of a test"
    size_px: tuple[int, int] | None = None

    def __init__(self, hook: Callable[[], object] = lambda: None) -> None:
        self._hook = hook
        self.coming: Coming | None = None

    def reset(self) -> None:
        pass

    def step(
        self,
        image: NDArray[np.uint8],
        _gain: float,
        _follow: Follow,
        coming: Coming | None = None,
    ) -> NDArray[np.uint8]:
        self.coming = coming
        self._hook()
        return image

    def close(self) -> None:
        pass


def in_thread(one: Daemon) -> threading.Thread:
    """Runs a daemon beside the test, which stops it."""
    thread = threading.Thread(target=one.run, name="run")
    thread.start()
    return thread


def ended(thread: threading.Thread) -> None:
    thread.join(10)
    assert not thread.is_alive(), "the daemon has not ended"


class FakeCamera(BaseSource):
    """A live camera that delivers ``count`` frames and then does what ``then`` does."""

    def __init__(self, count: int, then: Callable[[], object]) -> None:
        super().__init__("fake camera")
        self._count = count
        self._then = then
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        for frame in moving(np.zeros(self._count)):
            if self._closed.is_set():
                return
            yield frame
        self._then()

    def close(self) -> None:
        self._closed.set()


class SilentCamera(FakeCamera):
    """Delivers some frames, and then nothing until it is closed."""

    def __init__(self, count: int) -> None:
        super().__init__(count, lambda: self._closed.wait(30))
