"""A process that publishes alerts and kills itself at a chosen place; ``publish`` runs in a child."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from unittest import mock

import runtime.delivery.outbox_file
from benchmarks.faults.broker import wait_until
from benchmarks.faults.campaign import KEEPALIVE_S, STATE, alert
from runtime.config import Mqtt
from runtime.delivery.outbox import Outbox
from runtime.mqtt.connection import MqttConnection
from runtime.mqtt.publisher import Publisher

ALERTS = 12
KEEP_ACCEPTED_S = 0.1
"""So short that the trial gets to forget alerts; nothing here harms the broker."""
NOT_REACHED = 3

POINTS = (
    "before the insertion",
    "INSERT not committed",
    "INSERT committed",
    "stored, before sending",
    "sent, not acknowledged",
    "acknowledged, answer not read",
    "answer read, still in the outbox",
    "before the deletion",
    "DELETE not committed",
    "DELETE committed",
    "telemetry INSERT not committed",
    "telemetry replayed",
)
REFUSED_POINTS = (
    "before parking",
    "UPDATE not committed",
    "UPDATE committed",
)
SALVAGE_POINTS = (
    "damage found",
    "a row read out",
    "SALVAGE not committed",
    "SALVAGE committed",
    "a file moved",
)


class _Fate:
    """Kills this process at the ``number``-th passage of ``point``."""

    def __init__(self, point: str, number: int) -> None:
        self._point, self._left = point, number

    def passes(self, name: str) -> None:
        if name == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def publish(folder: Path, host: str, port: int, point: str, number: int) -> None:
    """Publish ALERTS alerts, noting each in ``created`` before and in ``stored`` after the outbox has it."""
    fate = _Fate(point, number)
    with mock.patch.object(sqlite3, "connect", partial(sqlite3.connect, factory=_database(fate))):
        _around(Outbox, "put", fate, before="before the insertion", after="stored, before sending")
        _around(Outbox, "done", fate, before="before the deletion")
        _around(Outbox, "park", fate, before="before parking")
        _around(Publisher, "_send_alert", fate, after="sent, not acknowledged")
        _around(MqttConnection, "_on_publish", fate, before="acknowledged, answer not read")
        after = "answer read, still in the outbox"
        _around(Publisher, "_take_acknowledgement", fate, after=after)
        _around(Publisher, "_send_telemetry", fate, after="telemetry replayed")
        _around(runtime.delivery.outbox_file, "_replaced", fate, before="damage found")
        _around(runtime.delivery.outbox_file, "_can_be_kept", fate, after="a row read out")
        _around(Path, "rename", fate, after="a file moved")
        _publish(folder, host, port, telemetry=point.startswith("telemetry"))


def _publish(folder: Path, host: str, port: int, *, telemetry: bool) -> None:
    outbox = Outbox(folder / "outbox.sqlite")
    if telemetry:
        for number in range(40):
            outbox.put_telemetry([("tremorscope/cam/telemetry/mast", b"%d" % number)])
    mqtt = Mqtt(host=host, port=port, keepalive_s=KEEPALIVE_S, replay_hz=1000)
    one = Publisher(mqtt, name="cam", outbox=outbox, state=STATE, keep_accepted_s=KEEP_ACCEPTED_S)
    one.start()
    wait_until(lambda: one.counts().connected)
    created, stored = (
        os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for name in ("created", "stored")
    )
    for number in range(ALERTS):
        os.write(created, b"%d\n" % number)
        one.publish_alert(alert(str(number)))
        os.write(stored, b"%d\n" % number)
        time.sleep(0.03)
    time.sleep(1.5)
    os._exit(NOT_REACHED)


def _around(where: Any, name: str, fate: _Fate, *, before: str = "", after: str = "") -> None:
    original: Callable[..., Any] = getattr(where, name)

    def around(*args: Any, **kwargs: Any) -> Any:
        fate.passes(before)
        result = original(*args, **kwargs)
        fate.passes(after)
        return result

    setattr(where, name, around)


def _database(fate: _Fate) -> type[sqlite3.Connection]:
    class Database(sqlite3.Connection):
        """Tells what has been executed, and what has been committed."""

        _verb = ""

        def executemany(self, sql: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
            rows = list(rows)
            result = super().executemany(sql, rows)
            self._verb = sql.split()[0]
            if self._verb == "INSERT" and rows[0][1] == 1:
                self._verb = "telemetry INSERT"
            fate.passes(f"{self._verb} not committed")
            return result

        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            result = super().execute(sql, *rest)
            if sql.startswith("INSERT OR IGNORE"):
                self._verb = "SALVAGE"
                fate.passes("SALVAGE not committed")
            return result

        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
            /,
        ) -> Literal[False]:
            result = super().__exit__(kind, error, trace)
            verb, self._verb = self._verb, ""
            fate.passes(f"{verb} committed")
            return result

    return Database
