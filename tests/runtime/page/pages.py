"""A page over a daemon whose camera delivers some frames and then keeps silent."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from broker import wait_until
from daemons import GIRDER, Engine, SilentCamera, ended, in_thread
from starlette.testclient import TestClient

import runtime.camera.recovery
from runtime.config import Alert, Camera, Config, Magnification, Page, Storage, Vibration
from runtime.daemon import Daemon
from runtime.evidence import EvidenceRecorder
from runtime.frame import Frame
from runtime.magnification import Magnifier
from runtime.page import Pictures
from runtime.page.app import page_app

HERE = "http://localhost:8080"
FRAMES = 90


def configured(folder: Path, **page: Any) -> Config:
    return Config(
        name="bridge",
        camera=Camera(source="csi:0"),
        regions=(GIRDER,),
        vibration=Vibration(level_s=0.6),
        alerts=(
            Alert(name="sway", quantity="displacement_rms_px", raise_above=1e-9, raise_after_s=0.1),
        ),
        storage=Storage(directory=folder),
        page=Page(enabled=True, **page),
    )


class Served:
    """A daemon, which ``served`` runs, and its page, without a socket."""

    def __init__(self, config: Config, *, magnifies: bool = True, keeps: bool = False) -> None:
        self.config = config
        self.pictures = Pictures(config.page.watchers)
        self.daemon = Daemon(
            config,
            magnifier=Magnifier(Magnification(), Engine()) if magnifies else None,
            publisher=None,
            seen=self.pictures.see,
            shown=self.pictures.see_magnified,
            evidence=EvidenceRecorder(config) if keeps else None,
        )

    def client(self, password: str | None = None, base_url: str = HERE) -> TestClient:
        app = page_app(
            self.daemon, self.config, self.pictures, password=password, ending=asyncio.Event()
        )
        return TestClient(app, base_url=base_url)


class _Patient(SilentCamera):
    """Loses no frame: it waits for the measurement as a file does."""

    def __init__(self, count: int, measured: Callable[[], int]) -> None:
        super().__init__(count)
        self._measured = measured

    def frames(self) -> Iterator[Frame]:
        for frame in super().frames():
            while frame.index - self._measured() > 8 and not self._closed.wait(0.001):
                pass
            yield frame


@contextmanager
def served(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    *,
    magnifies: bool = True,
    keeps: bool = False,
    frames: int = FRAMES,
) -> Iterator[Served]:
    """Once all frames are measured; the alert is open then."""
    one = Served(config, magnifies=magnifies, keeps=keeps)
    camera = _Patient(frames, lambda: one.daemon.counters.measured)
    monkeypatch.setattr(runtime.camera.recovery, "open_source", lambda _, **__: camera)
    thread = in_thread(one.daemon)
    try:
        wait_until(lambda: one.daemon.counters.measured == frames, "all frames are measured")
        yield one
    finally:
        one.daemon.stop()
        ended(thread)
