"""A real Mosquitto with the shipped settings of persistence and queues, on a free port."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from failure import Failure

SHIPPED = Path(__file__).parents[2] / "dashboards/mosquitto/mosquitto.conf"
_OURS = ("persistence ", "autosave_", "max_", "persistent_client_expiration ")
"""Of the shipped configuration, what a trial takes over: listeners, folders and users are its own."""
_number = count()


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    """Whether it came to hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def shipped_settings() -> list[str]:
    """Persistence and queues as shipped."""
    lines = SHIPPED.read_text().splitlines()
    return [line for line in lines if line.startswith(_OURS) and "_location" not in line]


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _own_address() -> str:
    """One of the 16 million of the loopback interface, by process and number."""
    place = (os.getpid() * 250 + next(_number) % 250) % (200 * 250 * 250)
    return f"127.{20 + place // 62_500}.{place // 250 % 250}.{1 + place % 250}"


class Broker:
    """Started, killed and stopped as often as wanted; it keeps its files in ``folder``."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: Sequence[str] | None = None,
        access: Sequence[str] = ("allow_anonymous true",),
        host: str | None = None,
        inside: Sequence[str] = (),
    ) -> None:
        """``settings`` replaces the shipped ones; ``inside`` is a command that runs it elsewhere.

        Without a ``host``, it has an address of this machine to itself: another broker cannot take its port
        while it is dead, and answer in its place.

        Raises Failure where Mosquitto is missing.
        """
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise Failure("the campaign needs a real broker; install Debian's mosquitto")
        folder.mkdir(parents=True, exist_ok=True)
        self.host = host or _own_address()
        self.port = 1883 if inside else free_port(self.host)
        self.settings = list(shipped_settings() if settings is None else settings)
        self.access = list(access)
        self.log = folder / "mosquitto.log"
        self._folder = folder
        self._command = [*inside, program, "-c", str(folder / "mosquitto.conf")]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        lines = [
            f"listener {self.port} {self.host if self._command[0] != 'ip' else '0.0.0.0'}",
            f"user {getpass.getuser()}",
            f"persistence_location {self._folder}/",
            *self.access,
            *self.settings,
        ]
        (self._folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        try:
            if not wait_until(self._listens, 20):
                raise Failure(f"Mosquitto does not start: {self.log.read_text()[-500:]}")
        except Failure:
            self.kill()
            raise

    def kill(self) -> None:
        """End it without warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as systemd does: it saves everything."""
        self._end(signal.SIGTERM)

    def reload(self) -> None:
        """Have it read its access rules again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise Failure(f"Mosquitto has ended: {self.log.read_text()[-500:]}")
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.host, self.port)) == 0
