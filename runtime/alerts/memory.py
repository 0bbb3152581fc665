"""What is open and what is about to be, on disk, so that a restart goes on with the same alerts.

The file is written whole before a step is told, together with the step's message, and again once the
outbox has the message. A process that is killed between the two leaves the message in the file, and
the next one tells it again: with the same ``event_id``, ``type`` and ``sequence``, so that a consumer
knows it. Hold timers, and what is learned of natural frequencies, are written every few seconds only.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from atomic_file import replaced
from failure import Failure
from runtime.alerts.condition import Kept
from runtime.messages import AlertMessage
from runtime.vibration.tracking import BaselineState

_log = logging.getLogger(__name__)

TIMERS_EVERY_S = 5.0
_Baselines = dict[str, dict[str, Any]]
_Content = tuple[tuple[Kept, ...], tuple[AlertMessage, ...], _Baselines]


class Remembered(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["tremorscope alerts 1"] = "tremorscope alerts 1"
    camera: str
    saved_unix_s: float
    saved_t_s: float
    """Capture time when it was written."""
    kept: tuple[Kept, ...]
    untold: tuple[AlertMessage, ...] = ()
    """Messages that may not be in the outbox yet."""
    baselines: dict[str, dict[str, Any]] = {}
    """What was learned of each region's natural frequency."""

    @field_validator("baselines")
    @classmethod
    def _baselines_are_whole(cls, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for content in found.values():
            try:
                BaselineState.from_dict(content)
            except Failure as failure:
                raise ValueError(str(failure)) from failure
        return found

    def shift_s(self, t_s: float, unix_s: float) -> float:
        """What to add to its times for a clock that shows t_s (s) now.

        The time of day tells how long nothing ran: a camera's clock may have started over.
        """
        return t_s - self.saved_t_s - max(unix_s - self.saved_unix_s, 0.0)


class AlertMemory:
    """The file of one camera. A disk that refuses is told once, and alerts go on without it."""

    def __init__(self, path: Path, camera: str, *, unix_s: Callable[[], float] = time.time) -> None:
        self.path = path
        self._camera = camera
        self._unix_s = unix_s
        self._written: _Content | None = ((), (), {})
        """What the file holds; None where that is not known."""
        self._written_s = float("-inf")
        self._failed = False

    def load(self) -> Remembered | None:
        """What an earlier process left; None when there is nothing that can be used.

        A file that is torn, or another camera's, is set aside, kept, and told.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.error(
                "%s: cannot be read (%s), so alerts that were open are raised anew; check its "
                "owner and permissions",
                self.path,
                error.strerror,
            )
            return None
        try:
            found = Remembered.model_validate_json(text)
        except ValidationError:
            self._set_aside("is damaged or from another version")
            return None
        if found.camera != self._camera:
            self._set_aside(f'is of camera "{found.camera}", not of "{self._camera}"')
            return None
        self._written = (found.kept, found.untold, found.baselines)
        return found

    def keep(
        self,
        t_s: float,
        kept: Sequence[Kept],
        untold: Sequence[AlertMessage] = (),
        *,
        baselines: _Baselines | None = None,
        at_once: bool = False,
    ) -> None:
        """Write down what is going on at capture time t_s (s), where anything has changed.

        With messages, and when they are told, at once; else not before TIMERS_EVERY_S have passed.
        """
        content = (tuple(kept), tuple(untold), baselines or {})
        if content == self._written:
            return
        urgent = at_once or bool(untold) or (self._written is not None and bool(self._written[1]))
        if not urgent and 0 <= t_s - self._written_s < TIMERS_EVERY_S:
            return
        remembered = Remembered(
            camera=self._camera,
            saved_unix_s=self._unix_s(),
            saved_t_s=t_s,
            kept=content[0],
            untold=content[1],
            baselines=content[2],
        )
        self._written, self._written_s = content, t_s
        try:
            with replaced(self.path) as scratch:
                scratch.write_text(remembered.model_dump_json(), encoding="utf-8")
        except Failure as failure:
            if not self._failed:
                _log.error("open alerts cannot be kept for a restart: %s", failure)
            self._failed = True
            self._written = None  # to be tried again
        else:
            self._failed = False

    def _set_aside(self, problem: str) -> None:
        aside = self.path.with_suffix(".damaged.json")
        try:
            self.path.replace(aside)
        except OSError:
            aside = self.path
        _log.error(
            "%s: %s; it was set aside as %s, and alerts that were open are raised anew",
            self.path,
            problem,
            aside.name,
        )
