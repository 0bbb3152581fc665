"""Builds a daemon from its configuration: engine, outbox, publisher, and what alerts leave behind."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version

from runtime.alert_memory import AlertMemory
from runtime.camera import is_file
from runtime.camera.pipelines import shown
from runtime.camera.recovery import Clock
from runtime.config import Config
from runtime.daemon import Daemon
from runtime.engine.choice import engine_for
from runtime.evidence import EvidenceRecorder
from runtime.magnification import Magnifier
from runtime.messages import State
from runtime.mqtt import Publisher
from runtime.outbox import Outbox
from runtime.page import LivePage, Pictures
from runtime.suppressed_record import SuppressedRecord

log = logging.getLogger(__name__)

FLUSH_S = 5.0


def magnifier_for(config: Config) -> Magnifier | None:
    """The magnifying station, None where it is switched off. Raises Failure without an engine."""
    settings = config.magnification
    return Magnifier(settings, engine_for(settings)) if settings.enabled else None


@contextmanager
def assembled(config: Config, *, clock: Clock | None = None) -> Iterator[Daemon]:
    """A daemon ready to run, with its page; on leaving, alerts are flushed and the state says offline."""
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
            stack.callback(publisher.close, FLUSH_S)
        folder = config.storage.folder(config.name)
        evidence = None
        if config.evidence.enabled:
            evidence = EvidenceRecorder(
                config,
                engine=None if magnifier is None else magnifier.description,
                controls=None if magnifier is None else magnifier.controls,
            )
        pictures = Pictures(config.page.watchers) if config.page.enabled else None
        daemon = Daemon(
            config,
            magnifier=magnifier,
            publisher=publisher,
            clock=clock,
            seen=None if pictures is None else pictures.see,
            shown=None if pictures is None else pictures.see_magnified,
            # Every play of a file is a history of its own.
            memory=None
            if is_file(config.camera.source)
            else AlertMemory(folder / "alerts.json", config.name),
            record=SuppressedRecord(folder / "suppressed.jsonl"),
            evidence=evidence,
        )
        if pictures is not None:
            stack.callback(LivePage(daemon, config, pictures).close)
        yield daemon
