import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import runtime
import runtime.delivery.outbox
from failure import Failure
from runtime.delivery.outbox import DAMAGED, Kind, Outbox, OutboxCounts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    box = Outbox(path)
    yield box
    box.close()


def payloads(outbox: Outbox, kind: Kind = Kind.ALERT) -> list[bytes]:
    return [row.payload for row in outbox.pending(1000, kind=kind)]


def database(outbox: Outbox) -> sqlite3.Connection:
    assert outbox._database is not None
    return outbox._database


def test_messages_come_back_in_order_until_done(outbox: Outbox) -> None:
    ids = [outbox.put("t", payload) for payload in (b"a", b"b\x00", b"c")]
    assert payloads(outbox) == [b"a", b"b\x00", b"c"]
    assert [row.id for row in outbox.pending(1, after=ids[0])] == [ids[1]]
    assert outbox.done([ids[1]])
    assert outbox.done([ids[1]])  # unknown by now: ignored
    assert payloads(outbox) == [b"a", b"c"]
    assert outbox.counts() == OutboxCounts(pending=2)


def test_a_parked_message_is_kept_with_its_reason_until_it_is_tried_again(outbox: Outbox) -> None:
    assert outbox.park(outbox.put("t", b"a"), "Not authorized")
    assert payloads(outbox) == []
    ((row, reason),) = outbox.parked(10)
    assert (row.topic, row.payload, reason) == ("t", b"a", "Not authorized")
    outbox.unpark()
    assert payloads(outbox) == [b"a"]
    assert outbox.parked(10) == []


def test_telemetry_is_a_queue_of_its_own(outbox: Outbox) -> None:
    outbox.put_telemetry([("t/1", b"1"), ("t/2", b"2")])
    outbox.put("alerts", b"a")
    assert payloads(outbox) == [b"a"]
    assert payloads(outbox, Kind.TELEMETRY) == [b"1", b"2"]
    assert outbox.counts() == OutboxCounts(pending=1, telemetry=2)


def test_above_its_budget_telemetry_goes_first_then_what_is_parked_then_the_oldest_alert(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.delivery.outbox, "_DROPPED_AT_ONCE", 10)
    box = Outbox(path, budget_mb=0.5)
    box.put_telemetry([("t", bytes(10_000)) for _ in range(10)])
    ids = [box.put("t", bytes([number]) * 10_000) for number in range(30)]
    box.park(ids[2], "refused")
    assert box.counts() == OutboxCounts(pending=29, parked=1, telemetry=10)
    for number in range(30, 40):
        box.put("t", bytes([number]) * 10_000)
    assert box.counts() == OutboxCounts(pending=39, parked=1, dropped_telemetry=10)
    while box.counts().dropped_alerts == 0:
        box.put("t", b"x" * 10_000)
    assert box.counts().parked == 0
    assert payloads(box)[0][0] == 0, "no alert that is to be delivered has gone yet"
    while box.counts().dropped_alerts == 1:
        box.put("t", b"x" * 10_000)
    order = [number for number in range(40) if number != 2]
    assert payloads(box)[0][0] == order[box.counts().dropped_alerts - 1], "the oldest go"
    assert path.stat().st_size < 1e6
    assert len(caplog.records) == 2, "told once for each kind, not for every message"
    box.close()


def test_messages_survive_the_process(path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from runtime.delivery.outbox import Outbox
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
    assert database(outbox).execute("PRAGMA journal_mode").fetchone() == ("wal",)
    full = 2
    assert database(outbox).execute("PRAGMA synchronous").fetchone() == (full,)


def test_a_file_of_something_else_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE outbox (something INTEGER)")
    other.close()
    with pytest.raises(Failure, match="no outbox of this version"):
        Outbox(path)
    assert list(path.parent.glob("*damaged*")) == []


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that failed is tried again with every call."""
    monkeypatch.setattr(runtime.delivery.outbox, "_REOPEN_S", 0.0)


def query_only(outbox: Outbox, on: bool) -> None:
    """As on a file system that went read-only, and came back."""
    database(outbox).execute(f"PRAGMA query_only = {int(on)}")


def test_what_the_disk_cannot_take_stays_in_memory_and_moves_there_later(
    outbox: Outbox, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put("t", b"a")
    query_only(outbox, True)
    ids = [outbox.put("t", payload) for payload in (b"b", b"c", b"d")]
    assert "readonly" in str(outbox.problem)
    assert [record.levelname for record in caplog.records] == ["ERROR"], "told once"
    assert payloads(outbox) == [b"a", b"b", b"c", b"d"], "delivered all the same"
    assert outbox.counts() == OutboxCounts(pending=4, unsaved=3)
    assert outbox.done([ids[1]]), "what is only in memory can be forgotten"
    assert not outbox.park(ids[0], "refused"), "there is no room for it"
    outbox.put_telemetry([("t", b"1")])
    assert outbox.counts().dropped_telemetry == 1
    query_only(outbox, False)
    outbox.save()
    assert outbox.problem is None
    assert outbox.counts() == OutboxCounts(pending=3, dropped_telemetry=1)
    again = Outbox(path)
    assert payloads(again) == [b"a", b"b", b"d"]
    assert [row.id for row in again.pending(9)][1:] == [ids[0], ids[2]], "by the same number"
    again.close()


def test_an_idle_outbox_notices_that_the_disk_works_again(outbox: Outbox) -> None:
    query_only(outbox, True)
    outbox.done([outbox.put("t", b"a")])
    outbox.save()
    assert outbox.problem is not None
    query_only(outbox, False)
    outbox.save()
    assert outbox.problem is None


def test_memory_is_bounded_while_the_disk_is_full_and_what_is_lost_is_counted(path: Path) -> None:
    box = Outbox(path, most_unsaved=3)
    query_only(box, True)
    for number in range(5):
        box.put("t", bytes([number]))
    assert payloads(box) == [b"\x02", b"\x03", b"\x04"]
    assert box.counts() == OutboxCounts(pending=3, unsaved=3, dropped_alerts=2)
    box.close()


@pytest.mark.usefixtures("at_once")
def test_a_folder_that_cannot_be_made_is_told_and_used_once_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    box = Outbox(tmp_path / "file" / "outbox.sqlite")
    assert "storage.directory" in caplog.text
    one = box.put("t", b"a")
    assert payloads(box) == [b"a"]
    (tmp_path / "file").unlink()
    box.save()
    assert box.problem is None
    assert [row.id for row in box.pending(9)] == [one]
    box.close()


@pytest.mark.usefixtures("at_once")
def test_numbers_given_without_the_file_meet_none_that_are_in_it(path: Path) -> None:
    before = Outbox(path)
    for payload in (b"a", b"b"):
        before.put("t", payload)
    before.close()
    aside = path.rename(path.with_name("aside"))
    path.mkdir()
    box = Outbox(path)
    for payload in (b"c", b"d"):
        box.put("t", payload)
    path.rmdir()
    aside.rename(path)
    box.save()
    assert box.counts() == OutboxCounts(pending=4)
    assert payloads(box) == [b"a", b"b", b"c", b"d"]
    box.close()


def test_closing_tells_what_was_only_in_memory(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Outbox(path)
    query_only(box, True)
    box.put("t", b"a")

    def broken(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(runtime.delivery.outbox, "open_file", broken)
    box.close()
    assert "1 alerts were only in memory and are lost" in caplog.text


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


def test_a_message_that_noise_changed_on_the_disk_is_parked_and_not_delivered(
    outbox: Outbox,
) -> None:
    ids = [outbox.put("t", payload) for payload in (b"a", b"b")]
    database(outbox).execute("UPDATE outbox SET payload = x'00' WHERE id = ?", (ids[0],))
    assert payloads(outbox) == [b"b"]
    ((row, reason),) = outbox.parked(9)
    assert (row.id, reason) == (ids[0], DAMAGED)
    outbox.unpark()
    assert payloads(outbox) == [b"b"], "a broker's new rules do not mend it"
