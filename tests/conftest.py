"""Fixtures that tests of several folders share."""

import gc
import importlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broker import Listener, Mosquitto
from publishers import STATE, Publish
from videos import moving, write_video

from runtime.config import Mqtt
from runtime.delivery.outbox import Outbox
from runtime.mqtt.publisher import Publisher


@pytest.fixture(scope="module", autouse=True)
def _little_to_collect() -> None:
    """Tests that collect rubbish need not look through all that was there before them.

    In a run of all tests that is torch, and every graph that other tests keep: a second each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_station_is_left() -> Iterator[None]:
    """No test may leave a thread of a daemon behind."""
    yield
    left = {thread.name for thread in threading.enumerate()}
    assert not left & {"capture", "measure", "magnify"}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.sqlite")
    yield box
    box.close()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Fifty frames, more than wait for the measurement at once."""
    return write_video(tmp_path / "clip.mkv", moving(np.zeros(50)))


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(folder)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def listen(mosquitto: Mosquitto) -> Iterator[Callable[..., Listener]]:
    """Makes listeners to ``mosquitto`` that are closed after the test."""
    listeners: list[Listener] = []

    def make(**options: Any) -> Listener:
        listeners.append(Listener(mosquitto, **options))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


@pytest.fixture
def publisher(mosquitto: Mosquitto, outbox: Outbox) -> Iterator[Publish]:
    """Starts publishers to ``mosquitto`` that are closed after the test.

    ``timing`` is of the publisher, all else of ``[mqtt]``.
    """
    publishers: list[Publisher] = []

    def make(*, timing: Mapping[str, float] | None = None, **settings: Any) -> Publisher:
        mqtt = Mqtt(host=mosquitto.host, port=mosquitto.port, **settings)
        publishers.append(Publisher(mqtt, name="cam", outbox=outbox, state=STATE, **(timing or {})))
        publishers[-1].start()
        return publishers[-1]

    yield make
    for one in publishers:
        one.close(timeout_s=1.0)


@pytest.fixture
def _without_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which PyGObject is not installed."""
    original = importlib.import_module

    def without_gi(name: str) -> Any:
        if name == "gi":
            raise ModuleNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib, "import_module", without_gi)
