"""Alerts that the broker has not accepted yet, on disk, where no crash or power cut loses them.

Promised is: what ``put`` has returned for is delivered at least once, as long as there is room.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from failure import Failure

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    parked TEXT  -- why the broker refused it; NULL while it is to be delivered
);
CREATE INDEX IF NOT EXISTS outbox_parked ON outbox (parked);
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A message in the outbox; ``id`` increases in the order of ``put``."""

    id: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """What is in the outbox now, and how many messages were lost since it was opened."""

    pending: int
    parked: int
    dropped_parked: int
    dropped_pending: int


class Outbox:
    """A bounded queue in an SQLite file, for any number of threads of one process.

    When ``max_rows`` are in it, ``put`` makes room by dropping the oldest parked row, and where
    none is parked the oldest row: what happens now matters more than what nobody fetched for
    thousands of alerts. Both are counted. A damaged file is moved aside, kept, and a new one begun.
    """

    def __init__(self, path: Path, *, max_rows: int = 10_000) -> None:
        """Open the file, and create it and its folder where they are missing.

        Raises:
            Failure: the file cannot be created, opened or written.
        """
        self.path = path
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._dropped_parked = 0
        self._dropped_pending = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failure(
                f"{path.parent}: the folder for undelivered alerts cannot be made "
                f"({error.strerror}); set storage.directory to one that can be written"
            ) from None
        self._database = self._open_or_begin_anew()

    def put(self, topic: str, payload: bytes) -> int:
        """Keep a message; when this returns its id, it is on the disk.

        Raises:
            Failure: it could not be written, for example because the disk is full.
        """
        with self._transaction() as database:
            (rows,) = database.execute("SELECT count(*) FROM outbox").fetchone()
            dropped = self._make_room(database, rows + 1 - self._max_rows)
            cursor = database.execute(
                "INSERT INTO outbox (topic, payload) VALUES (?, ?)", (topic, payload)
            )
            row_id = cursor.lastrowid
        assert row_id is not None, "an INSERT always has a row id"
        if any(dropped):
            if self._dropped_parked + self._dropped_pending == 0:
                _log.warning(
                    "%s: full with %d messages; the oldest are dropped from now on, and counted",
                    self.path,
                    self._max_rows,
                )
            self._dropped_parked += dropped[0]
            self._dropped_pending += dropped[1]
        return row_id

    def pending(self, limit: int, *, after: int = 0) -> list[Row]:
        """The oldest messages to be delivered whose id is above ``after``, oldest first."""
        with self._transaction() as database:
            rows = database.execute(
                "SELECT id, topic, payload FROM outbox WHERE parked IS NULL AND id > ? "
                "ORDER BY id LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Row(*row) for row in rows]

    def parked(self, limit: int) -> list[tuple[Row, str]]:
        """The oldest parked messages with the reason of each."""
        with self._transaction() as database:
            rows = database.execute(
                "SELECT id, topic, payload, parked FROM outbox WHERE parked IS NOT NULL "
                "ORDER BY id LIMIT ?",
                (limit,),
            ).fetchall()
        return [(Row(*row[:3]), row[3]) for row in rows]

    def done(self, row_id: int) -> None:
        """Forget a delivered message. Unknown ids are ignored: it may have been dropped."""
        with self._transaction() as database:
            database.execute("DELETE FROM outbox WHERE id = ?", (row_id,))

    def park(self, row_id: int, reason: str) -> None:
        """Keep a message that the broker refused, with the reason, and try it no more."""
        with self._transaction() as database:
            database.execute("UPDATE outbox SET parked = ? WHERE id = ?", (reason, row_id))

    def counts(self) -> OutboxCounts:
        """What is in it, and what was dropped since it was opened."""
        with self._transaction() as database:
            total, parked = database.execute(
                "SELECT count(*), count(parked) FROM outbox"
            ).fetchone()
        return OutboxCounts(total - parked, parked, self._dropped_parked, self._dropped_pending)

    def close(self) -> None:
        """Close the file. Nothing else may be called afterwards."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One at a time; written to the disk at its end, and undone if anything in it fails."""
        with self._lock:
            try:
                with self._database:
                    yield self._database
            except sqlite3.Error as error:
                raise Failure(
                    f"{self.path}: the outbox cannot be used ({error}); make sure that the disk "
                    "has room and can be written"
                ) from error

    def _make_room(self, database: sqlite3.Connection, excess: int) -> tuple[int, int]:
        """Drop ``excess`` rows, parked ones first; how many of either kind."""
        if excess <= 0:
            return 0, 0
        drop = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE {} ORDER BY id LIMIT ?)"
        parked = database.execute(drop.format("parked IS NOT NULL"), (excess,)).rowcount
        pending = database.execute(drop.format("TRUE"), (excess - parked,)).rowcount
        return parked, pending

    def _open_or_begin_anew(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.OperationalError as error:  # permissions, a full disk: not damage
            raise Failure(
                f"{self.path}: the outbox cannot be opened ({error}); check its owner, its "
                "permissions and the room on the disk"
            ) from None
        except sqlite3.DatabaseError as error:
            aside = self._move_aside()
            _log.error(
                "%s: the outbox is damaged (%s); it was moved to %s, a new one begun, and alerts "
                "that were still in it are not delivered",
                self.path,
                error,
                aside,
            )
            return self._open()

    def _open(self) -> sqlite3.Connection:
        # check_same_thread: the lock takes care of that.
        database = sqlite3.connect(self.path, check_same_thread=False, timeout=5)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            # FULL: at NORMAL a power cut may undo transactions that had been committed.
            database.execute("PRAGMA synchronous = FULL")
            (result,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if result != "ok":
                raise sqlite3.DatabaseError(result)
            database.executescript(_SCHEMA)
            database.execute("SELECT id, topic, payload, parked FROM outbox LIMIT 1")
        except BaseException:
            database.close()
            raise
        return database

    def _move_aside(self) -> Path:
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        number = 1
        while aside.exists():
            number += 1
            aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}-{number}")
        try:
            self.path.rename(aside)
            for ending in ("-wal", "-shm"):  # they belong to the damaged file, not to the new one
                other = self.path.with_name(self.path.name + ending)
                if other.exists():
                    other.rename(aside.with_name(aside.name + ending))
        except OSError as error:
            raise Failure(
                f"{self.path}: the outbox is damaged and cannot be moved aside "
                f"({error.strerror}); move it away yourself"
            ) from None
        return aside
