"""What the log looks like to a person, and to the journal."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.logs import set_up_logs

log = logging.getLogger("runtime.test")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


def told(folder: Path, monkeypatch: pytest.MonkeyPatch, *, journal: bool, debug: bool) -> list[str]:
    """The lines of three events, to a file that systemd has connected to the journal, or has not."""
    path = folder / "log"
    with path.open("w") as file:
        found = os.fstat(file.fileno())
        # A stream that was inherited from a service, but leads elsewhere now, is not the journal.
        other = 0 if journal else 1
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + other}")
        set_up_logs(debug=debug, to=file)
        log.debug("detail")
        thread = threading.Thread(target=lambda: log.warning("over %d\nlines", 2), name="measure")
        thread.start()
        thread.join()
        try:
            raise RuntimeError("a defect")
        except RuntimeError:
            log.exception("delivery failed")
    return path.read_text().splitlines()


def test_a_person_reads_one_line_for_each_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = told(tmp_path, monkeypatch, journal=False, debug=False)
    assert first.startswith("WARNING ")
    assert first.endswith(" measure runtime.test: over 2 lines")
    assert second.startswith("ERROR ")
    assert " MainThread runtime.test: delivery failed: RuntimeError: a defect (test_l" in second


def test_the_journal_gets_json_with_a_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = told(tmp_path, monkeypatch, journal=True, debug=False)
    assert [line[:3] for line in lines] == ["<4>", "<3>"]
    first, second = (json.loads(line[3:]) for line in lines)
    assert first.pop("time_utc").endswith("Z")
    assert first == {
        "level": "WARNING",
        "thread": "measure",
        "logger": "runtime.test",
        "message": "over 2 lines",
    }
    assert second["message"].startswith("delivery failed: RuntimeError: a defect (")
    assert "traceback" not in second


@pytest.mark.parametrize("journal", [False, True])
def test_tracebacks_and_details_come_with_debug(
    journal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = told(tmp_path, monkeypatch, journal=journal, debug=True)
    assert "detail" in lines[0]
    text = "\n".join(lines)
    assert "Traceback (most recent call last)" in text
    if journal:
        assert len(lines) == 3
        assert "in told" in json.loads(lines[2][3:])["traceback"]
