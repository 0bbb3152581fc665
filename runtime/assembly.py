"""Builds a daemon from its configuration: engine, outbox, publisher, and what alerts leave behind."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from typing import TypeVar

from runtime.alerts.memory import AlertMemory
from runtime.alerts.suppressed_record import SuppressedRecord
from runtime.camera import is_file
from runtime.camera.pipelines import shown
from runtime.camera.recovery import Clock
from runtime.config import Config
from runtime.daemon import Daemon
from runtime.delivery.outbox import Outbox
from runtime.engine.choice import engine_for
from runtime.evidence import EvidenceRecorder
from runtime.evidence.ring import keepable
from runtime.home_assistant.memory import announce
from runtime.last_seen import MOST_BYTES, LastSeen
from runtime.magnification import Magnifier
from runtime.messages import State
from runtime.mqtt.publisher import Publisher
from runtime.page import LivePage, Pictures
from runtime.service.manager import ServiceManager
from runtime.views import Picture, bounded_jpeg

log = logging.getLogger(__name__)
_T = TypeVar("_T")

FINISH_S, FLUSH_S = 10.0, 5.0
"""At the end: for pictures of open alerts that are still to be written, and for alerts that the broker has not
acknowledged."""
SERVICE_FINISH_S, SERVICE_FLUSH_S = 2.0, 1.0
"""systemd is not kept waiting: a clip ends earlier and says so, and alerts wait on the disk."""
WIDEST_EVENT_PX = 1280
"""Of an event's snapshot over MQTT, which is raw beside magnified."""


def magnifier_for(config: Config) -> Magnifier | None:
    """The magnifying station, None where it is switched off. Raises Failure without an engine."""
    settings = config.magnification
    return Magnifier(settings, engine_for(settings)) if settings.enabled else None


@contextmanager
def assembled(
    config: Config, *, clock: Clock | None = None, manager: ServiceManager | None = None
) -> Iterator[Daemon]:
    """A daemon ready to run, with its page; on leaving, alerts are flushed and the state says offline."""
    is_service = manager is not None and manager.is_there
    with ExitStack() as stack:
        magnifier = magnifier_for(config)
        if magnifier is not None:
            stack.callback(magnifier.close)
        publisher = None
        if config.mqtt.enabled:
            for notice in config.mqtt.notices():
                log.warning("%s", notice)
            outbox = Outbox(
                config.storage.folder(config.name) / "outbox.sqlite",
                budget_mb=config.storage.outbox_mb,
            )
            stack.callback(outbox.close)
            state = State(
                state="online",
                version=version("tremorscope"),
                source=shown(config.camera.source),
                engine=None if magnifier is None else magnifier.description,
                unconfirmed=tuple(rule.name for rule in config.alerts if not rule.is_confirmed),
            )
            publisher = Publisher(config.mqtt, name=config.name, outbox=outbox, state=state)
            publisher.start()
            stack.callback(publisher.close, SERVICE_FLUSH_S if is_service else FLUSH_S)
        folder = config.storage.folder(config.name)
        last_seen, snapped = None, _nothing
        if publisher is not None:
            announce(config, publisher, folder)
            if config.mqtt.pictures:
                last_seen = LastSeen(partial(publisher.publish_picture, "picture", retain=False))
                snapped = partial(_send_event_picture, publisher)
            else:  # what an earlier run may have left at the broker
                publisher.publish_picture("event-picture", b"", retain=True)
        evidence = None
        if config.evidence.enabled:
            evidence = EvidenceRecorder(
                config,
                engine=None if magnifier is None else magnifier.description,
                controls=None if magnifier is None else magnifier.controls,
                snapped=snapped,
                finish_s=SERVICE_FINISH_S if is_service else FINISH_S,
            )
        pictures = Pictures(config.page.watchers) if config.page.enabled else None
        daemon = Daemon(
            config,
            magnifier=magnifier,
            publisher=publisher,
            clock=clock,
            manager=manager,
            seen=_each(*(one.see for one in (pictures, last_seen) if one is not None)),
            shown=_each(*(one.see_magnified for one in (pictures, last_seen) if one is not None)),
            # Every play of a file is a history of its own.
            memory=None
            if is_file(config.camera.source)
            else AlertMemory(folder / "alerts.json", config.name),
            record=SuppressedRecord(folder / "suppressed.jsonl"),
            evidence=evidence,
            snapshot=None if last_seen is None else last_seen.order,
        )
        if pictures is not None:
            stack.callback(LivePage(daemon, config, pictures).close)
        yield daemon


def _each(*takers: Callable[[_T], None]) -> Callable[[_T], None] | None:
    """One that hands on to all of them; None where there are none."""
    if len(takers) < 2:
        return takers[0] if takers else None

    def all_of_them(one: _T) -> None:
        for take in takers:
            take(one)

    return all_of_them


def _send_event_picture(publisher: Publisher, snapshot: Picture) -> None:
    jpeg = bounded_jpeg(keepable(snapshot, WIDEST_EVENT_PX), MOST_BYTES)
    publisher.publish_picture("event-picture", jpeg, retain=True)


def _nothing(_snapshot: Picture) -> None:
    """Pictures stay here."""
