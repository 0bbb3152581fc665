"""The daemon in a process of its own, as it runs in earnest, that can be asked how it is."""

import logging
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from failure import Failure
from runtime.assembly import assembled
from runtime.config import Config
from runtime.frame import Frame
from runtime.snapshot import Snapshot

LONGEST_START_S = 60.0
ENDED = Failure(
    "a daemon of the benchmark has ended or got no frame; its log above says why, such as that GStreamer is "
    "not installed"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the process says at one moment."""

    snapshot: Snapshot
    cpu_s: float
    """Processor time of all its threads since its start."""
    t_ns: int
    """When, on CLOCK_MONOTONIC."""
    began_ns: int
    """When the film began: its frame n was captured n frame times later."""


class DaemonProcess:
    """A running daemon."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def reading(self) -> Reading:
        """Raises Failure when the daemon has ended by itself."""
        try:
            self._connection.send(None)
            reading = self._connection.recv()
        except (EOFError, OSError):
            raise ENDED from None
        assert isinstance(reading, Reading)
        return reading


@contextmanager
def running(config: Config) -> Iterator[DaemonProcess]:
    """A daemon whose first frame has come; it ends on leaving. Raises Failure when none comes."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(config.model_dump_json(), theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(LONGEST_START_S):
            raise ENDED
        try:
            ours.recv()
        except EOFError:
            raise ENDED from None
        yield DaemonProcess(ours)
    finally:
        ours.close()
        process.join(20)
        if process.is_alive():
            process.kill()


def _run(config: str, connection: Connection) -> None:
    logging.basicConfig(level=logging.ERROR)
    began_ns: list[int] = []

    def see(_: Frame) -> None:
        if not began_ns:
            # The first frames may be lost before one comes, so this is GStreamer's to tell.
            source: Any = daemon._camera._source
            began_ns.append(source._pipeline.get_base_time())
            connection.send(None)

    with assembled(Config.model_validate_json(config)) as daemon:
        daemon._seen = see

        def answer() -> None:
            try:
                while True:
                    connection.recv()
                    snapshot = daemon.snapshot()
                    now_ns = time.monotonic_ns()
                    connection.send(Reading(snapshot, time.process_time(), now_ns, began_ns[0]))
            except (EOFError, OSError):
                daemon.stop()

        threading.Thread(target=answer, daemon=True).start()
        daemon.run()


def peak_mib() -> float:
    """The most memory that this process has held at once. Not getrusage's, which begins with its parent's."""
    [line] = [
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) / 1024
