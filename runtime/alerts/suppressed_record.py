"""A bounded record of alerts that were not raised, one JSON object a line, the newest last."""

import logging
from pathlib import Path

from atomic_file import replaced
from failure import Failure
from runtime.messages import SuppressedAlert

_log = logging.getLogger(__name__)

MOST_LINES = 5000


class SuppressedRecord:
    """One camera's file. A full one keeps its newer half. For one thread."""

    def __init__(self, path: Path, *, most_lines: int = MOST_LINES) -> None:
        self.path = path
        self._most_lines = most_lines
        self._lines: int | None = None  # in the file, once it was looked into
        self._failed = False

    def add(self, alert: SuppressedAlert) -> None:
        """Append; a disk that refuses is told once and loses the line, never the measurement."""
        try:
            self._append(alert.model_dump_json())
        except (Failure, OSError) as error:
            if not self._failed:
                _log.error(
                    "%s: suppressed alerts cannot be recorded (%s); free some space or set "
                    "storage.directory",
                    self.path,
                    error,
                )
            self._failed = True
        else:
            self._failed = False

    def _append(self, line: str) -> None:
        if self._lines is None:
            self._lines = self._looked_into()
        if self._lines >= self._most_lines:
            kept = self.path.read_text("utf-8").splitlines()[-(self._most_lines // 2) :]
            with replaced(self.path) as scratch:
                scratch.write_text("".join(f"{one}\n" for one in kept), "utf-8")
            self._lines = len(kept)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        self._lines += 1

    def _looked_into(self) -> int:
        """How many lines there are; a line that a power cut tore off is ended."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = self.path.read_bytes() if self.path.exists() else b""
        if content and not content.endswith(b"\n"):
            with self.path.open("ab") as file:
                file.write(b"\n")
        return content.count(b"\n") + bool(content and not content.endswith(b"\n"))
