"""Messages that the broker has not accepted yet, on disk, where no crash or power cut loses them.

Promised is: an alert that ``put`` has returned for is delivered at least once, as long as there is room.
Telemetry that finds no connection waits here too; it makes room for alerts.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from time import monotonic
from typing import TypeVar

from failure import Failure
from runtime.delivery.outbox_file import crc_of, is_whole, open_file

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_REOPEN_S = 5.0
_DROPPED_AT_ONCE = 500
"""Telemetry is dropped in blocks: SQLite would otherwise delete with every message."""
DAMAGED = "damaged on the disk"


class Kind(IntEnum):
    """What a message is. Alerts go first, and are dropped last."""

    ALERT = 0
    TELEMETRY = 1


@dataclass(frozen=True, slots=True)
class Row:
    """A message in the outbox; ``id`` increases in the order of ``put``."""

    id: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """What is in the outbox now, and how many messages were lost since it was opened."""

    pending: int = 0
    """Alerts to be delivered."""
    parked: int = 0
    """Messages that were refused or are damaged: kept for somebody to look at."""
    telemetry: int = 0
    unsaved: int = 0
    """Alerts among the pending ones that are only in memory, because the disk cannot take them."""
    dropped_alerts: int = 0
    """Alerts, parked ones too, that had to make room."""
    dropped_telemetry: int = 0


class Outbox:
    """A bounded queue in an SQLite file, for any number of threads of one process.

    Above its budget on the disk it drops the oldest telemetry, then the oldest parked message, then the
    oldest alert: what happens now matters more than what nobody fetched for weeks. All are counted.

    A disk that is full, read-only or broken never stops an alert: it stays in memory, and moves to the disk
    once that can be written (``save``). ``problem`` tells it. A damaged file is kept aside, and what can be
    read of it goes into a new one.
    """

    def __init__(self, path: Path, *, budget_mb: float = 512.0, most_unsaved: int = 1000) -> None:
        """Open the file, and create it and its folder where they are missing.

        Args:
            path: the SQLite file.
            budget_mb: most that messages may take on the disk (MB).
            most_unsaved: how many alerts may be in memory while the disk cannot be written; then the
                oldest goes, and is counted.

        Raises:
            Failure: the file is a database of something else.
        """
        self.path = path
        self.problem: str | None = None
        """Why alerts are only in memory now, if they are."""
        self._budget_bytes = budget_mb * 1e6
        self._most_unsaved = most_unsaved
        self._unsaved: dict[int, Row] = {}
        self._dropped = dict.fromkeys(Kind, 0)
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._suspect = True
        self._reopen_at = 0.0
        # Of the clock, so that numbers given while the file cannot be opened meet none that are in it.
        self._next_id = time.time_ns() // 1000
        try:
            self._connection()
        except (sqlite3.Error, OSError) as error:
            self._failed(error)

    def put(self, topic: str, payload: bytes) -> int:
        """Keep an alert; when this returns its id, it is on the disk, or ``problem`` says why not."""
        with self._lock:
            row = Row(self._next_id, topic, payload)
            self._next_id += 1
            self._unsaved[row.id] = row
            self._save()
            while len(self._unsaved) > self._most_unsaved:
                self._unsaved.pop(next(iter(self._unsaved)))
                self._count_dropped(Kind.ALERT, 1)
            return row.id

    def put_telemetry(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Keep telemetry, topic and payload of each, in one go; what the disk cannot take is counted."""
        with self._lock:
            first = self._next_id
            self._next_id += len(messages)
            rows = [Row(first + place, *message) for place, message in enumerate(messages)]
            if not self._insert(Kind.TELEMETRY, rows):
                self._count_dropped(Kind.TELEMETRY, len(rows))

    def save(self) -> None:
        """Try again what the disk could not take; call it now and then."""
        with self._lock:
            self._save()
            if self.problem is not None:  # and nothing to write, which would show that it can be
                self._use(lambda on: on.execute("PRAGMA user_version = 1"), proves=True)

    def pending(self, limit: int, *, after: int = 0, kind: Kind = Kind.ALERT) -> list[Row]:
        """The oldest messages to be delivered whose id is above ``after``, oldest first.

        A row whose checksum is wrong is parked instead.
        """
        select = (
            "SELECT id, topic, payload, crc FROM outbox "
            "WHERE parked IS NULL AND kind = ? AND id > ? ORDER BY id LIMIT ?"
        )
        with self._lock:
            found = self._use(lambda on: on.execute(select, (kind, after, limit)).fetchall()) or []
            rows = [Row(*row[:3]) for row in found if is_whole(*row[1:])]
            if len(rows) < len(found):
                damaged = {row[0] for row in found if not is_whole(*row[1:])}
                self._use(lambda on: self._park(on, damaged, DAMAGED))
            if kind is Kind.ALERT:
                rows += [row for row in self._unsaved.values() if row.id > after]
                rows.sort(key=lambda row: row.id)
            return rows[:limit]

    def parked(self, limit: int) -> list[tuple[Row, str]]:
        """The oldest parked messages with the reason of each."""
        select = (
            "SELECT id, topic, payload, parked FROM outbox WHERE parked IS NOT NULL "
            "ORDER BY id LIMIT ?"
        )
        with self._lock:
            rows = self._use(lambda on: on.execute(select, (limit,)).fetchall()) or []
        return [(Row(*row[:3]), row[3]) for row in rows]

    def done(self, row_ids: Iterable[int]) -> bool:
        """Forget delivered messages, and say whether the disk has forgotten them too.

        Unknown ids are ignored: they may have been dropped.
        """
        ids = list(row_ids)
        with self._lock:
            on_disk = [(number,) for number in ids if self._unsaved.pop(number, None) is None]
            delete = "DELETE FROM outbox WHERE id = ?"
            return not on_disk or self._use(lambda on: on.executemany(delete, on_disk)) is not None

    def park(self, row_id: int, reason: str) -> bool:
        """Keep a message that the broker refused, with the reason, and try it no more.

        Says whether that is on the disk.
        """
        with self._lock:
            self._save()  # only the disk has room for what nobody fetches
            return self._use(lambda on: self._park(on, [row_id], reason)) is not None

    def unpark(self) -> None:
        """What was refused is to be delivered after all: the broker's rules may have changed."""
        update = "UPDATE outbox SET parked = NULL WHERE parked IS NOT NULL AND parked != ?"
        with self._lock:
            self._use(lambda on: on.execute(update, (DAMAGED,)))

    def newest_id(self) -> int:
        """Whatever is put in from now on has a larger one."""
        with self._lock:
            return self._next_id - 1

    def counts(self) -> OutboxCounts:
        """What is in it, and what was dropped since it was opened."""
        waiting = "SELECT count(*) FROM outbox WHERE parked IS NULL AND kind = ?"
        with self._lock:
            alerts, telemetry, parked = self._use(
                lambda on: [
                    on.execute(waiting, (Kind.ALERT,)).fetchone()[0],
                    on.execute(waiting, (Kind.TELEMETRY,)).fetchone()[0],
                    on.execute("SELECT count(*) FROM outbox WHERE parked IS NOT NULL").fetchone()[
                        0
                    ],
                ]
            ) or (0, 0, 0)
            return OutboxCounts(
                pending=alerts + len(self._unsaved),
                parked=parked,
                telemetry=telemetry,
                unsaved=len(self._unsaved),
                dropped_alerts=self._dropped[Kind.ALERT],
                dropped_telemetry=self._dropped[Kind.TELEMETRY],
            )

    def close(self) -> None:
        """Close the file. Nothing else may be called afterwards."""
        with self._lock:
            if self._unsaved:
                self._reopen_at = 0.0
                self._save()
            if self._unsaved:
                _log.error(
                    "%s: %d alerts were only in memory and are lost", self.path, len(self._unsaved)
                )
            self._close()

    # All below: with the lock.

    def _save(self) -> None:
        if self._unsaved and self._insert(Kind.ALERT, list(self._unsaved.values())):
            self._unsaved.clear()

    def _insert(self, kind: Kind, rows: Sequence[Row]) -> bool:
        """Whether the rows are on the disk."""

        def insert(database: sqlite3.Connection) -> list[tuple[Kind, int]]:
            dropped = self._make_room(database)
            database.executemany(
                "INSERT INTO outbox (id, kind, topic, payload, crc) VALUES (?, ?, ?, ?, ?)",
                [(r.id, kind, r.topic, r.payload, crc_of(r.topic, r.payload)) for r in rows],
            )
            return dropped

        dropped = self._use(insert)
        for what, number in dropped or ():
            self._count_dropped(what, number)
        return dropped is not None

    def _make_room(self, database: sqlite3.Connection) -> list[tuple[Kind, int]]:
        """Drop what has to go before more is put in; which kinds, and how many."""
        drop = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE {} ORDER BY id LIMIT ?)"
        dropped = []
        while _used_bytes(database) > self._budget_bytes:
            for kind, which, number in (
                (Kind.TELEMETRY, f"kind = {Kind.TELEMETRY:d}", _DROPPED_AT_ONCE),
                (Kind.ALERT, "parked IS NOT NULL", 1),
                (Kind.ALERT, "TRUE", 1),
            ):
                gone = database.execute(drop.format(which), (number,)).rowcount
                if gone:
                    dropped.append((kind, gone))
                    break
            else:
                break  # it is empty: the budget is smaller than the smallest file
        return dropped

    def _park(self, database: sqlite3.Connection, row_ids: Iterable[int], reason: str) -> bool:
        update = "UPDATE outbox SET parked = ? WHERE id = ?"
        database.executemany(update, [(reason, number) for number in row_ids])
        return True

    def _count_dropped(self, kind: Kind, number: int) -> None:
        if self._dropped[kind] == 0:
            _log.warning(
                "%s: there is no room for all that waits for the broker; the oldest %s goes from now on, "
                "and is counted",
                *(self.path, "telemetry" if kind is Kind.TELEMETRY else "alert"),
            )
        self._dropped[kind] += number

    def _use(self, work: Callable[[sqlite3.Connection], _T], *, proves: bool = False) -> _T | None:
        """``work`` in one transaction, written to the disk at its end; None where the disk fails.

        All of it is undone if anything in it fails. A problem is over once something could be written:
        ``proves`` says that ``work`` writes where SQLite counts no changed rows.
        """
        try:
            database = self._connection()
            if database is None:
                return None
            before = database.total_changes
            with database:
                result = work(database)
        except (sqlite3.Error, OSError, Failure) as error:
            self._failed(error)
            return None
        if self.problem is not None and (proves or database.total_changes > before):
            self.problem = None
            _log.warning("%s: the outbox can be written again", self.path)
        return result

    def _connection(self) -> sqlite3.Connection | None:
        """The file, opened again where that is due; None until then."""
        if self.problem is not None:
            if monotonic() < self._reopen_at:
                return self._database
            self._close()  # what was opened on a read-only disk stays read-only
            self._reopen_at = monotonic() + _REOPEN_S
        if self._database is None:
            self._database = open_file(self.path, check=self._suspect)
            self._suspect = False
            (newest,) = self._database.execute("SELECT max(id) FROM outbox").fetchone()
            self._next_id = max(self._next_id, (newest or 0) + 1)
        return self._database

    def _failed(self, error: Exception) -> None:
        if type(error) is sqlite3.DatabaseError:  # damage; the kinds derived from it are not
            self._close()
            self._suspect, self._reopen_at = True, 0.0
        elif self.problem is None:
            self._reopen_at = monotonic() + _REOPEN_S
        if self.problem is None:
            _log.error(
                "%s: the outbox cannot be used (%s); alerts stay in memory, at most %d, until the disk has "
                "room and can be written; check owner, permissions and room of storage.directory",
                *(self.path, error, self._most_unsaved),
            )
        self.problem = str(error)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _used_bytes(database: sqlite3.Connection) -> int:
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
