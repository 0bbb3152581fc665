import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import runtime
from failure import Failure
from runtime.outbox import Outbox, OutboxCounts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    box = Outbox(path, max_rows=5)
    yield box
    box.close()


def payloads(outbox: Outbox) -> list[bytes]:
    return [row.payload for row in outbox.pending(1000)]


def test_messages_come_back_in_order_until_done(outbox: Outbox) -> None:
    ids = [outbox.put("t", payload) for payload in (b"a", b"b\x00", b"c")]
    assert payloads(outbox) == [b"a", b"b\x00", b"c"]
    assert [row.id for row in outbox.pending(1, after=ids[0])] == [ids[1]]
    outbox.done(ids[1])
    outbox.done(ids[1])  # unknown by now: ignored
    assert payloads(outbox) == [b"a", b"c"]
    assert outbox.counts() == OutboxCounts(2, 0, 0, 0)


def test_a_parked_message_is_kept_with_its_reason(outbox: Outbox) -> None:
    outbox.park(outbox.put("t", b"a"), "Not authorized")
    assert payloads(outbox) == []
    ((row, reason),) = outbox.parked(10)
    assert (row.topic, row.payload, reason) == ("t", b"a", "Not authorized")


def test_a_full_outbox_drops_parked_messages_first_and_counts(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [outbox.put("t", bytes([number])) for number in range(5)]
    outbox.park(ids[2], "refused")
    outbox.put("t", b"new")
    assert outbox.parked(10) == []
    assert outbox.counts() == OutboxCounts(5, 0, 1, 0)
    outbox.put("t", b"newer")
    assert payloads(outbox) == [b"\x01", b"\x03", b"\x04", b"new", b"newer"]
    assert outbox.counts() == OutboxCounts(5, 0, 1, 1)
    assert len(caplog.records) == 1, "told once, not for every message"


def test_messages_survive_the_process(path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from runtime.outbox import Outbox
box = Outbox(Path({str(path)!r}))
for number in range(3): box.put("t", bytes([number]))
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(next(iter(runtime.__path__))).parent, check=False
    )
    assert process.returncode == -signal.SIGKILL
    box = Outbox(path)
    assert payloads(box) == [b"\x00", b"\x01", b"\x02"]
    box.close()


def test_every_commit_waits_for_the_disk(outbox: Outbox) -> None:
    assert outbox._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    full = 2
    assert outbox._database.execute("PRAGMA synchronous").fetchone() == (full,)


@pytest.mark.parametrize("damage", ["not a database", "middle overwritten"])
def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    box = Outbox(path)
    for _ in range(200):
        box.put("t", os.urandom(500))
    box.close()
    content = path.read_bytes()
    broken = b"x" * 5000 if damage == "not a database" else content[:4096] + os.urandom(60_000)
    path.write_bytes(broken)
    box = Outbox(path)
    assert payloads(box) == []
    box.put("t", b"new")
    assert payloads(box) == [b"new"]
    box.close()
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == broken
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(aside) in caplog.text


def test_a_file_of_something_else_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE outbox (something INTEGER)")
    other.close()
    with pytest.raises(Failure, match="cannot be opened"):
        Outbox(path)
    assert list(path.parent.glob("*damaged*")) == []


def test_a_folder_that_cannot_be_made_is_told_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match=r"set storage\.directory"):
        Outbox(tmp_path / "file" / "outbox.sqlite")


def test_a_write_that_fails_is_told_and_leaves_the_rest(outbox: Outbox) -> None:
    outbox.put("t", b"a")
    outbox._database.execute("PRAGMA query_only = 1")  # as on a file system gone read-only
    with pytest.raises(Failure, match=r"cannot be used .*room"):
        outbox.put("t", b"b")
    outbox._database.execute("PRAGMA query_only = 0")
    assert payloads(outbox) == [b"a"]


def test_threads_may_share_it(path: Path) -> None:
    box = Outbox(path)

    def fill(name: int) -> None:
        for number in range(20):
            box.put("t", bytes([name, number]))

    threads = [threading.Thread(target=fill, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = payloads(box)
    assert len(stored) == 80
    for name in range(4):
        assert [p[1] for p in stored if p[0] == name] == list(range(20))
    box.close()
