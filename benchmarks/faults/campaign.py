"""How trials are run: many at a time, each with its own chance, folder, broker, outbox and publisher."""

import gc
import importlib
import logging
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.broker import Broker
from benchmarks.faults.tally import Row, Trial
from runtime.config import Mqtt
from runtime.delivery.outbox import Outbox
from runtime.messages import AlertMessage, State, utc_text
from runtime.mqtt.publisher import Publisher

STATE = State(state="online", version="1", source="campaign")
KEEPALIVE_S = 2
"""The shortest allowed; the default of 15 s would only make the trials longer."""


class Impossible(Exception):
    """This machine does not let the fault be made; says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of a campaign is run."""

    trials: int
    seed: int
    folder: Path

    def run(
        self,
        row: Row,
        trial: Callable[[random.Random, Path], Trial],
        *,
        at_once: int = 8,
        trials: int | None = None,
    ) -> Row:
        """All trials of a row, ``at_once`` at a time: nearly all of their time is waiting."""

        def one(number: int) -> Trial:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            chance = random.Random(f"{self.seed} {row.title} {number}")
            try:
                return trial(chance, folder)
            except Impossible:
                raise
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                told = (
                    f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}"
                )
                return Trial((), (), (), complaints=(told,))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                # Clients are in cycles, and each holds sockets: beyond 1,024, paho's select() cannot wait.
                gc.collect()

        with ThreadPoolExecutor(at_once) as pool:
            try:
                for result in pool.map(one, range(self.trials if trials is None else trials)):
                    row.add(result)
            except Impossible as error:
                row.impossible = str(error)
        return row


def alert(event_id: str) -> AlertMessage:
    """An alert of which only the name matters."""
    return AlertMessage(
        event_id=event_id,
        type="new",
        sequence=0,
        rule="vibration",
        region="mast",
        quantity="signal_to_noise",
        value=4.0,
        threshold=3.0,
        peak_value=4.5,
        dominant_hz=2.0,
        time_utc=utc_text(1_700_000_000.0),
        t_s=1.0,
        started_t_s=0.5,
        duration_s=0.5,
    )


@contextmanager
def publishing(
    broker: Broker,
    outbox: Outbox,
    *,
    host: str | None = None,
    port: int | None = None,
    mqtt: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[Publisher]:
    """A publisher to the broker, or to what stands before it; the outbox is closed after it, too."""
    settings = Mqtt(
        host=host or broker.host,
        port=port or broker.port,
        **{"keepalive_s": KEEPALIVE_S, **(mqtt or {})},
    )
    publisher = Publisher(
        settings, name="cam", outbox=outbox, state=STATE, **{"unheard_retry_s": 0.5, **options}
    )
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.close(timeout_s=0.5)
        outbox.close()


def is_delivered(publisher: Publisher) -> bool:
    """Whether nothing waits: sent, accepted, or parked."""
    return publisher.counts().queued == 0


def rows_of(name: str, plan: Plan) -> list[Row]:
    """All rows of one fault, in a process of its own."""
    logging.disable(logging.CRITICAL)  # what the daemon would tell of thousands of faults
    plan.folder.mkdir(parents=True)
    try:
        return list(importlib.import_module(f"benchmarks.faults.{name}").rows(plan))
    finally:
        shutil.rmtree(plan.folder, ignore_errors=True)
