"""A page over a daemon whose camera delivers some frames and then keeps silent."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from broker import wait_until
from daemons import GIRDER, Engine, SilentCamera, ended, in_thread
from starlette.testclient import TestClient

import runtime.daemon
from runtime.config import Alert, Camera, Config, Magnification, Page, Storage
from runtime.daemon import Daemon
from runtime.evidence import EvidenceRecorder
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
        alerts=(Alert(name="sway", quantity="displacement_rms_px", raise_above=1e-9),),
        storage=Storage(directory=folder),
        page=Page(enabled=True, **page),
    )


class Served:
    """A running daemon and its page, without a socket."""

    def __init__(self, config: Config, *, magnifies: bool, keeps: bool) -> None:
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
    monkeypatch.setattr(runtime.daemon, "open_source", lambda _: SilentCamera(frames))
    one = Served(config, magnifies=magnifies, keeps=keeps)
    thread = in_thread(one.daemon)
    try:
        wait_until(lambda: one.daemon.counters.measured == frames, "all frames are measured")
        yield one
    finally:
        one.daemon.stop()
        ended(thread)
