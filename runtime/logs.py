"""How the daemon's log looks: lines to read on a terminal, JSON with a priority in systemd's journal.

One event is one line. Of an error that was caught, the line names its kind and place; the traceback comes
with ``tremorscope --debug``.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import TextIO

from runtime.messages import utc_text

_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
"""As syslog numbers them, so that ``journalctl -p warning`` finds what is one."""


def set_up_logs(*, debug: bool, to: TextIO | None = None) -> None:
    """Log to ``to``, which is standard error; with ``debug`` every level and every traceback."""
    to = sys.stderr if to is None else to
    handler = logging.StreamHandler(to)
    handler.setFormatter(_Json(debug) if _is_journal(to) else _Readable(debug))
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True
    )
    logging.captureWarnings(True)


class _Readable(logging.Formatter):
    def __init__(self, debug: bool) -> None:
        super().__init__()
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        time = self.formatTime(record, "%H:%M:%S")
        text = f"{record.levelname} {time} {record.threadName} {record.name}: {_message(record)}"
        if record.exc_info and record.exc_info[1] is not None and self._debug:
            return f"{text}\n{self.formatException(record.exc_info)}"
        return text


class _Json(logging.Formatter):
    def __init__(self, debug: bool) -> None:
        super().__init__()
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time_utc": utc_text(record.created),
            "level": record.levelname,
            "thread": record.threadName,
            "logger": record.name,
            "message": _message(record),
        }
        if record.exc_info and record.exc_info[1] is not None and self._debug:
            told["traceback"] = self.formatException(record.exc_info)
        return f"<{_PRIORITIES.get(record.levelname, 6)}>{json.dumps(told, ensure_ascii=False)}"


def _message(record: logging.LogRecord) -> str:
    """On one line, with what was caught and where it was raised."""
    text = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = ""
        if trace is not None:
            where = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
        text = f"{text}: {type(error).__name__}: {error}{where}"
    return " ".join(text.splitlines())


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd has connected this very stream to its journal (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
