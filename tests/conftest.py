"""Fixtures that tests of several folders share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import Listener, Mosquitto


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
