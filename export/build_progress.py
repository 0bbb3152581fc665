"""How far TensorRT is: bars on a terminal, a line now and then in a journal."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

LINE_EVERY_S = 20.0


class BuildProgress:
    """Shows the phases of a build, and stops it at Ctrl-C.

    TensorRT runs for minutes without returning to Python; an exception raised while it calls back
    would be lost in it. So Ctrl-C is noted, and TensorRT is told at its next step.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: dict[str, TaskID] = {}
        self._steps: dict[str, int] = {}
        self._line_due_s = 0.0
        self._interrupted = False
        self._lock = threading.Lock()  # TensorRT may call from several threads
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While a build runs. Raises KeyboardInterrupt at its end if Ctrl-C stopped it."""

        def note(*_: object) -> None:
            self._interrupted = True

        here = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, note) if here else None
        try:
            with self._display:
                yield
        finally:
            if here:
                signal.signal(signal.SIGINT, before)
            if self._interrupted:
                raise KeyboardInterrupt

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)

    def begin(self, phase: str, steps: int) -> None:
        with self._lock:
            self._steps[phase] = steps
            self._bars[phase] = self._display.add_task(phase, total=steps)

    def advance(self, phase: str, step: int) -> bool:
        """Returns whether to go on."""
        with self._lock:
            self._display.update(self._bars[phase], completed=step + 1)
            now_s = time.monotonic()
            if not self._console.is_terminal and now_s >= self._line_due_s:
                self._line_due_s = now_s + LINE_EVERY_S
                self.say(f"{phase}: {step + 1} of {self._steps[phase]}")
        return not self._interrupted

    def end(self, phase: str) -> None:
        with self._lock:
            self._display.remove_task(self._bars.pop(phase))
            del self._steps[phase]


def monitor_of(tensorrt: Any, progress: BuildProgress) -> Any:
    """``progress`` as the IProgressMonitor that TensorRT calls."""

    class Monitor(tensorrt.IProgressMonitor):  # type: ignore[misc]
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            del parent_phase
            progress.begin(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.advance(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.end(phase_name)

    return Monitor()
