"""Fixtures that tests of several folders share."""

import gc
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import Listener, Mosquitto


@pytest.fixture(scope="module", autouse=True)
def _little_to_collect() -> None:
    """Tests that collect rubbish need not look through all that was there before them.

    In a run of all tests that is torch, and every graph that other tests keep: a second each time.
    """
    gc.collect()
    gc.freeze()


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
def _without_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which PyGObject is not installed."""
    original = importlib.import_module

    def without_gi(name: str) -> Any:
        if name == "gi":
            raise ModuleNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib, "import_module", without_gi)
