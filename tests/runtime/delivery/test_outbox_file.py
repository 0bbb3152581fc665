"""Outbox files that are cut, filled with noise, or something else: what can be read is delivered."""

import os
import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from runtime.delivery.outbox import Kind, Outbox

MESSAGES = 60
LENGTH = 700
PAGE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of an outbox that was closed, with alerts and telemetry that all differ."""
    path = tmp_path_factory.mktemp("whole") / "outbox.sqlite"
    box = Outbox(path)
    for number in range(MESSAGES):
        box.put("alerts", payload_of(number))
        box.put_telemetry([("telemetry", payload_of(number))])
    box.close()
    return path.read_bytes()


def payload_of(number: int) -> bytes:
    return f'{{"number": {number}, "text": "{"x" * LENGTH}"}}'.encode()


def opened(path: Path, content: bytes) -> list[bytes]:
    """What an outbox on this content delivers; it must work, and every message must be a true one."""
    path.write_bytes(content)
    box = Outbox(path)
    assert box.problem is None
    found = [row.payload for kind in Kind for row in box.pending(1000, kind=kind)]
    number = box.put("alerts", b"new")
    assert box.pending(1000)[-1].payload == b"new"
    assert box.done([number])
    box.close()
    return found


TRUE = {payload_of(number) for number in range(MESSAGES)}


def test_a_file_cut_at_any_byte_gives_what_can_be_read(whole: bytes, tmp_path: Path) -> None:
    best = 0
    for number in range(40):
        cut = random.Random(number).randrange(len(whole))
        found = opened(tmp_path / f"{number}.sqlite", whole[:cut])
        assert set(found) <= TRUE
        best = max(best, len(found))
    assert best > MESSAGES, "nearly whole files give most of what was in them"


def test_noise_anywhere_in_a_file_never_becomes_a_message(whole: bytes, tmp_path: Path) -> None:
    best = 0
    for number in range(40):
        chance = random.Random(number)
        content = bytearray(whole)
        begin, length = chance.randrange(len(whole)), chance.choice([1, 16, 4096, 20_000])
        content[begin : begin + length] = chance.randbytes(len(content[begin : begin + length]))
        found = opened(tmp_path / f"{number}.sqlite", bytes(content))
        assert set(found) <= TRUE
        best = max(best, len(found))
    assert best >= 2 * MESSAGES - 2


def test_a_damaged_page_costs_only_what_was_on_it(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    page = 4096
    middle = len(whole) // page // 2 * page
    found = opened(path, whole[:middle] + os.urandom(page) + whole[middle + page :])
    assert len(found) >= 2 * MESSAGES - 12


def test_noise_in_a_topic_parks_that_message_and_no_other(whole: bytes, tmp_path: Path) -> None:
    """SQLite finds no damage there, and Python cannot read such a text."""
    path = tmp_path / "outbox.sqlite"
    begin = whole.index(b"alerts" + payload_of(30))
    path.write_bytes(whole[:begin] + b"\xff" + whole[begin + 1 :])
    box = Outbox(path)
    found = [row.payload for row in box.pending(1000)]
    assert found == [payload_of(number) for number in range(MESSAGES) if number != 30]
    assert (box.problem, box.counts().parked) == (None, 1)
    box.close()


def test_noise_in_an_index_hides_no_message(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as database:
        which = "SELECT rootpage FROM sqlite_master WHERE name = 'outbox_waiting'"
        (root,) = database.execute(which).fetchone()
    begin, end = (root - 1) * PAGE, root * PAGE
    alert, telemetry = b"\x04\x08\x06\x06", b"\x04\x09\x06\x06"  # beginnings of the index's entries
    index = whole[begin:end].replace(alert, telemetry)
    assert index != whole[begin:end]
    path.write_bytes(whole[:begin] + index + whole[end:])
    box = Outbox(path)
    assert len(box.pending(1000)) == MESSAGES
    assert len(box.pending(1000, kind=Kind.TELEMETRY)) == MESSAGES
    box.close()


def test_noise_in_the_name_of_a_column_does_not_stop_the_daemon(
    whole: bytes, tmp_path: Path
) -> None:
    """It looks like another program's database, which the outbox leaves alone."""
    found = opened(tmp_path / "outbox.sqlite", whole.replace(b"payload BLOB", b"payloxd BLOB"))
    assert len(found) == 2 * MESSAGES
    assert list(tmp_path.glob("outbox.sqlite.damaged-*"))


def test_a_format_that_noise_has_made_up_does_not_stop_the_outbox(
    whole: bytes, tmp_path: Path
) -> None:
    opened(tmp_path / "outbox.sqlite", whole[:44] + b"\7\7\7\7" + whole[48:])
    assert list(tmp_path.glob("outbox.sqlite.damaged-*"))


def test_most_of_a_file_that_lost_its_end_is_read(whole: bytes, tmp_path: Path) -> None:
    found = opened(tmp_path / "outbox.sqlite", whole[: len(whole) * 3 // 4])
    assert len(found) > MESSAGES


@pytest.mark.parametrize("content", [b"x" * 5000, b"", b"\0" * 8192])
def test_a_file_that_is_no_database_is_kept_aside(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    assert opened(path, content) == []
    aside = list(tmp_path.glob("*.damaged-*"))
    assert [one.read_bytes() for one in aside] == ([content] if content else [])


def test_what_was_only_in_the_log_of_a_damaged_file_is_read_too(tmp_path: Path) -> None:
    """A process that is killed leaves its newest messages in SQLite's write-ahead log."""
    path, copy, page = tmp_path / "outbox.sqlite", tmp_path / "copy.sqlite", 4096
    older = Outbox(path)
    for number in range(MESSAGES // 2):
        older.put("alerts", payload_of(number))
    older.close()
    box = Outbox(path)
    for number in range(MESSAGES // 2, MESSAGES):
        box.put("alerts", payload_of(number))
    for ending in ("", "-wal"):
        source = tmp_path / f"outbox.sqlite{ending}"
        (tmp_path / f"copy.sqlite{ending}").write_bytes(source.read_bytes())
    box.close()
    with copy.open("r+b") as file:
        file.seek(4 * page)
        file.write(os.urandom(page))
    box = Outbox(copy)
    found = {row.payload for row in box.pending(1000)}
    box.close()
    assert {one.name[-4:] for one in tmp_path.glob("copy.sqlite.damaged-*")} > {"-wal"}
    assert {payload_of(number) for number in range(MESSAGES // 2 + 6, MESSAGES)} <= found <= TRUE
    assert len(found) < MESSAGES


@pytest.mark.parametrize("moves", range(4))
def test_a_process_killed_while_it_reads_a_damaged_file_loses_nothing_of_it(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    damaged = bytearray(whole)
    damaged[40_960 : 2 * 40_960] = os.urandom(40_960)
    undisturbed = opened(tmp_path / "other.sqlite", bytes(damaged))
    original, left = Path.rename, iter(range(moves))

    def rename(self: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return original(self, target)

    path = tmp_path / "outbox.sqlite"
    path.write_bytes(damaged)
    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(Path, "rename", rename)
        Outbox(path).close()
    box = Outbox(path)
    found = [row.payload for kind in Kind for row in box.pending(1000, kind=kind)]
    box.close()
    assert found == undisturbed
    assert MESSAGES < len(found) < 2 * MESSAGES
    aside = [one.read_bytes() for one in tmp_path.glob("outbox.sqlite.damaged-*")]
    assert bytes(damaged) in aside
