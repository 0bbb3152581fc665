"""Builds a daemon from its configuration: engine, outbox, publisher, and what alerts leave behind."""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from failure import Failure
from runtime.alert_memory import AlertMemory
from runtime.camera import is_file
from runtime.clips import keep_picture, side_by_side
from runtime.config import Config
from runtime.daemon import Daemon
from runtime.engine.choice import engine_for
from runtime.frame import Frame
from runtime.magnification import Magnifier
from runtime.messages import AlertMessage, State
from runtime.mqtt import Publisher
from runtime.outbox import Outbox
from runtime.suppressed_record import SuppressedRecord

log = logging.getLogger(__name__)

KEPT_SNAPSHOTS = 200
FLUSH_S = 5.0


def magnifier_for(config: Config) -> Magnifier | None:
    """The magnifying station, None where it is switched off. Raises Failure without an engine."""
    settings = config.magnification
    return Magnifier(settings, engine_for(settings)) if settings.enabled else None


@contextmanager
def assembled(config: Config) -> Iterator[Daemon]:
    """A daemon ready to run; on leaving, alerts are flushed and the state says offline."""
    with ExitStack() as stack:
        magnifier = magnifier_for(config)
        if magnifier is not None:
            stack.callback(magnifier.close)
        publisher = None
        if config.mqtt.enabled:
            outbox = Outbox(config.storage.folder(config.name) / "outbox.sqlite")
            stack.callback(outbox.close)
            state = State(
                state="online",
                version=version("tremorscope"),
                source=config.camera.source,
                engine=None if magnifier is None else magnifier.description,
                unconfirmed=tuple(rule.name for rule in config.alerts if not rule.is_confirmed),
            )
            publisher = Publisher(config.mqtt, name=config.name, outbox=outbox, state=state)
            publisher.start()
            stack.callback(publisher.close, FLUSH_S)
        snapshots = _Snapshots(config)
        folder = config.storage.folder(config.name)
        yield Daemon(
            config,
            magnifier=magnifier,
            publisher=publisher,
            shown=snapshots.shown,
            # Without magnified pictures nobody would fetch what it remembers.
            raised=None if magnifier is None else snapshots.raised,
            # Every play of a file is a history of its own.
            memory=None
            if is_file(config.camera.source)
            else AlertMemory(folder / "alerts.json", config.name),
            record=SuppressedRecord(folder / "suppressed.jsonl"),
        )


class _Snapshots:
    """Keeps a picture, raw beside magnified, for every alert that is raised."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folder = config.storage.folder(config.name) / "events"
        self._lock = threading.Lock()
        self._wanted: list[AlertMessage] = []

    def raised(self, alert: AlertMessage) -> None:
        if alert.type == "new":
            with self._lock:
                self._wanted.append(alert)

    def shown(self, frame: Frame, magnified: NDArray[np.uint8]) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, []
        for alert in wanted:
            label = f"magnified x{self._config.magnification.gain:g}"
            picture = side_by_side(
                frame.image, magnified, self._config.regions, label, set(alert.regions)
            )
            try:
                keep_picture(self._folder / f"{alert.event_id}.jpg", picture, KEPT_SNAPSHOTS)
            except Failure as failure:  # a full disk must not end the measurement
                log.error("alert %s is kept without its picture: %s", alert.event_id, failure)
