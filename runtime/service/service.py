"""``tremorscope run``: one daemon after another, a new one for every configuration that can be used.

SIGHUP (``systemctl reload``) reads configuration, graph and engine anew. What cannot be used changes nothing:
the daemon goes on with what it has, and raises an alert on its own health, ``configuration``. Under systemd
the newest configuration that worked is kept on the disk, so that a start with one that does not work still
watches the structure.
"""

import gc
import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from atomic_file import replaced
from failure import Failure
from runtime.config import Config
from runtime.config.file import load, parse, text_of
from runtime.daemon import Daemon
from runtime.service.heap import keep_memory_flat
from runtime.service.manager import ServiceManager

log = logging.getLogger(__name__)

_ENDING = (signal.SIGINT, signal.SIGTERM)
_MAY_HANG = ("capture", "driver", "evidence", "evidence-pictures")
"""Threads that are not waited for longer than a while."""


class Service:
    """Runs what the file ``path`` says; for the main thread, which gets the signals."""

    def __init__(self, path: Path, manager: ServiceManager) -> None:
        self._path, self._manager = path, manager
        self._daemon: Daemon | None = None
        self._working: Config | None = None
        """The newest one that a daemon ran with."""
        self._next: Config | None = None
        self._is_ending = False
        self._problem: str | None = None
        """Why the file cannot be used, when something else is."""

    def run(self, config: Config) -> None:
        """Begin with ``config``, and go on until a signal or the camera's last recovery ends it.

        Raises Failure of a configuration that cannot be used, or of a daemon that cannot go on.
        """
        keep_memory_flat()
        from runtime.assembly import assembled

        for number in _ENDING:
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._read_anew)
        while True:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # it waits for the daemon
            with ExitStack() as stack:
                try:
                    daemon = stack.enter_context(assembled(config, manager=self._manager))
                except Failure as failure:
                    if self._working is None or config is self._working:
                        raise
                    self._refuse(failure)
                    config = self._working
                    continue
                self._use(daemon, config)
                # What is there now stays. To look for garbage among it would hold all threads for as long
                # as some frames take, again and again.
                gc.collect()
                gc.freeze()
                daemon.run()
            gc.unfreeze()
            self._daemon = None
            if self._next is None:
                return
            del daemon
            gc.collect()  # its engine's memory and its sockets are not to wait for the next one's
            config, self._next = self._next, None

    def first(self) -> Config:
        """What to begin with: the file's, and under systemd where that cannot be used, what last worked.

        Raises Failure of the file when there is nothing else.
        """
        try:
            return load(self._path)
        except Failure as failure:
            if not self._manager.is_there or not self._kept.exists():
                raise
            kept = parse(text_of(self._kept), self._path)  # whose folder is where its paths start
            self._refuse(failure)
            return kept

    def _use(self, daemon: Daemon, config: Config) -> None:
        self._daemon, self._working = daemon, config
        daemon.tell_configuration_problem(self._problem)
        if self._problem is None and self._manager.is_there:
            try:
                with replaced(self._kept) as scratch:
                    scratch.write_text(text_of(self._path), encoding="utf-8")
            except Failure as failure:
                log.warning("what works now cannot be kept for a start without it: %s", failure)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._manager.stopping()
        self._is_ending, self._next = True, None
        if self._daemon is None:
            sys.exit(0)  # what was begun says goodbye
        self._daemon.stop()

    def _read_anew(self, _number: int, _frame: FrameType | None) -> None:
        daemon = self._daemon
        if daemon is None or self._is_ending:
            return
        self._manager.reloading()
        try:
            self._next = load(self._path)
        except Failure as failure:
            self._refuse(failure)
            daemon.tell_configuration_problem(self._problem)
            self._manager.ready()
        else:
            log.info("%s: read anew; the daemon starts over with it", self._path)
            self._problem = None
            daemon.stop()

    def _refuse(self, failure: Failure) -> None:
        self._problem = f"{failure}; what worked before is used"
        log.error("%s", self._problem)

    @property
    def _kept(self) -> Path:
        state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        folder = Path(state) if state else Path.home() / ".local/state/tremorscope"
        return folder / f"{self._path.stem}.last-working.toml"


def end_without_what_hangs() -> None:
    """Leave at once where a thread could not be waited for: a driver, a disk, an encoder.

    The interpreter would end beneath it, and native code in it would abort the whole process. What is to be
    kept is on the disk by now.
    """
    left = [
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.current_thread() and thread.name in _MAY_HANG
    ]
    if not left:
        return
    error = sys.exc_info()[1]
    if isinstance(error, Failure):
        print(f"tremorscope: {error}", file=sys.stderr)
    log.warning("ending without %s", ", ".join(left))
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0 if error is None or isinstance(error, SystemExit) else 1)
