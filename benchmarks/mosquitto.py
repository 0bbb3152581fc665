"""A Mosquitto of a benchmark's own."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mosquitto(folder: Path) -> Iterator[int | None]:
    """The port of a Mosquitto on this machine; None where it is not installed."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        yield None
        return
    port = free_port()
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    quiet = subprocess.DEVNULL
    with subprocess.Popen([program, "-c", str(settings)], stdout=quiet, stderr=quiet) as process:
        try:
            while process.poll() is None and not _answers(port):
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
