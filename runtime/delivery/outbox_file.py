"""The SQLite file behind the outbox: opened, checked, and where it is damaged, read out and replaced."""

import logging
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from failure import Failure

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    crc INTEGER NOT NULL,  -- of topic and payload: SQLite does not notice noise inside a value
    parked TEXT  -- why it is not delivered; NULL while it is to be
);
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (kind, id) WHERE parked IS NULL;
CREATE INDEX IF NOT EXISTS outbox_parked ON outbox (id) WHERE parked IS NOT NULL;
"""
_COLUMNS = ("id", "kind", "topic", "payload", "crc", "parked")
_APPLICATION = 0x74726D31
"""In the header of an outbox: tables that differ there are noise, and not another program's."""
_ENDINGS = ("", "-wal", "-shm")
"""Of the names of SQLite's files."""
_PASSING = ("locked", "unable to open", "I/O", "readonly", "full", "memory")
"""Of the messages of errors that are the disk's or another process's; others come from noise in the file."""
_CACHE_KIB = 2048
_TRIED_BEYOND_DAMAGE = 10_000
"""Ids that are looked for one by one behind the first place that cannot be read."""


def crc_of(topic: str, payload: bytes) -> int:
    """The checksum that a row is kept with."""
    return zlib.crc32(payload, zlib.crc32(topic.encode()))


def is_whole(topic: Any, payload: Any, crc: Any) -> bool:
    """Whether a row is what was put in. Noise can make anything of anything: numbers of texts, too."""
    return isinstance(topic, str) and isinstance(payload, bytes) and crc == crc_of(topic, payload)


def open_file(path: Path, *, check: bool = True) -> sqlite3.Connection:
    """The outbox's file, created where it is missing; a damaged one is replaced by what is readable of it.

    ``check`` reads all of the file; without it only what is met later is found to be damaged.

    Raises:
        sqlite3.OperationalError, OSError: it cannot be opened now: permissions, a full disk.
        Failure: it is a database of something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if _salvaged(path).exists():  # the process before was killed while it replaced a damaged file
        _put_in_place(path)
    try:
        return _opened(path, check=check)
    except sqlite3.OperationalError as error:
        if any(word in str(error) for word in _PASSING):
            raise
        return _replaced(path, error)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return _replaced(path, error)


def _opened(path: Path, *, check: bool) -> sqlite3.Connection:
    # check_same_thread: the outbox's lock takes care of that.
    database = sqlite3.connect(path, check_same_thread=False, timeout=5)
    # sqlite3 would raise an error for a whole query if one of its texts is noise.
    database.text_factory = _text
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # FULL: at NORMAL a power cut may undo transactions that had been committed.
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if check:
            # Not quick_check: an index that is not the table's hides messages from all who look for them.
            (result,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if result != "ok":
                raise sqlite3.DatabaseError(result)
        columns = tuple(row[1] for row in database.execute("PRAGMA table_info(outbox)"))
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        (made_by,) = database.execute("PRAGMA application_id").fetchone()
        if columns not in ((), _COLUMNS) or (tables and not columns):
            if made_by == _APPLICATION:
                raise sqlite3.DatabaseError("its tables are not those that were made")
            raise Failure(
                f"{path}: is a database, but no outbox of this version; move it away, or give another "
                "storage.directory"
            )
        database.executescript(_SCHEMA)
        if made_by != _APPLICATION:
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
    except BaseException:
        database.close()
        raise
    return database


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _replaced(path: Path, damage: Exception) -> sqlite3.Connection:
    """The damaged file stays in the folder, for somebody to look at.

    Whenever the process is killed, the next one finds either the damaged file or all that was read of it.
    """
    unfinished = path.with_name(f"{path.name}.salvaging")
    for ending in _ENDINGS:
        unfinished.with_name(unfinished.name + ending).unlink(missing_ok=True)
    saved = 0
    with closing(_opened(unfinished, check=False)) as database, database:
        for row in _readable(path):
            insert = "INSERT OR IGNORE INTO outbox VALUES (?, ?, ?, ?, ?, ?)"
            saved += database.execute(insert, row).rowcount
    unfinished.rename(_salvaged(path))  # SQLite's last connection to it has left no log beside it
    aside = _put_in_place(path)
    _log.error(
        "%s: the outbox is damaged (%s); it was moved to %s and a new one begun, with the %d messages that "
        "could be read; others that were in it are not delivered",
        *(path, " ".join(str(damage).split()), aside, saved),
    )
    return _opened(path, check=False)


def _salvaged(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _readable(path: Path) -> Iterator[tuple[Any, ...]]:
    """The rows of a damaged file that can be reached from either end, or by themselves."""
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return
    database.text_factory = _text
    with closing(database):
        # SQLite would else read nothing of a file that is shorter than it says of itself.
        database.execute("PRAGMA writable_schema = ON")
        newest = 0
        for row in _until_damage(database, "ORDER BY rowid"):
            newest = row[0]
            yield row
        yield from _until_damage(database, "ORDER BY rowid DESC")
        for number in range(newest + 1, newest + 1 + _TRIED_BEYOND_DAMAGE):
            yield from _until_damage(database, f"WHERE rowid = {number}")


def _until_damage(database: sqlite3.Connection, which: str) -> Iterator[tuple[Any, ...]]:
    # Noise can look like a text that is none, or a number too large: errors of other kinds.
    with suppress(sqlite3.Error, ValueError, OverflowError):
        # By place: the names of columns may be noise, too.
        for row in database.execute(f"SELECT * FROM outbox {which}"):  # noqa: S608  # this file's
            if len(row) == len(_COLUMNS) and _can_be_kept(*row):
                yield row


def _can_be_kept(number: Any, kind: Any, topic: Any, payload: Any, crc: Any, parked: Any) -> bool:
    return (
        isinstance(number, int)
        and 0 < number < 2**62
        and isinstance(kind, int)
        and is_whole(topic, payload, crc)
        and (parked is None or isinstance(parked, str))
    )


def _put_in_place(path: Path) -> Path:
    """The salvaged file becomes the outbox; where the damaged one is now."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    for ending in reversed(_ENDINGS):  # what lies beside the damaged file belongs to it
        other = path.with_name(path.name + ending)
        if other.exists():
            other.rename(aside.with_name(aside.name + ending))
    _salvaged(path).rename(path)
    return aside
