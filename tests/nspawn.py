"""A machine of the test's own: real systemd in a container, on a clean Debian root.

For root, on a machine with Debian's ``mmdebstrap`` and ``systemd-container``. The root is made once
and kept; each machine writes into a tmpfs above it, which is gone with it. A test that is killed
takes its machine along.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from broker import wait_until

PROGRAMS = ("mmdebstrap", "systemd-nspawn", "nsenter", "setpriv", "unshare", "ip")
SUITE = "bookworm"
PACKAGES = (
    *("systemd-sysv", "dbus", "python3"),
    # What tremorscope's own package wants; a machine of the test's has no network to get it from.
    *("libgl1", "libglib2.0-0"),
    *("python3-gi", "gir1.2-gst-plugins-base-1.0"),
    *("gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good"),
)
BOOTS_WITHIN_S = 60
# The kernel tells nspawn when the test has died, and nspawn has its init shut down. The mounts are in a
# namespace of nspawn's own, and end with it.
START = """
set -e
mount -t tmpfs -o size=3g,mode=755 tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/merged"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/merged"
: >"$2/merged/etc/machine-id"
exec systemd-nspawn --directory="$2/merged" "${@:3}"
"""


def lack() -> str | None:
    """Why there can be no machine here; None where there can."""
    if os.geteuid() != 0:
        return "a container with systemd of its own needs root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)}; .ci/run installs them"
    return None


def debian_root(cache: Path) -> Path:
    """A minimal Debian with PACKAGES, as Debian's own tools install it; made at the first call."""
    wanted = hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]
    root = cache / f"{SUITE}-{wanted}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of other files may want it at the same time
        if not root.exists():
            scratch = cache / f"{root.name}.new"
            shutil.rmtree(scratch, ignore_errors=True)
            subprocess.run(
                [
                    # In a namespace of its own: what it mounts ends with it.
                    *("unshare", "--mount"),
                    *("mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io"),
                    *(f"--include={','.join(PACKAGES)}", SUITE, str(scratch)),
                ],
                check=True,
                timeout=600,
                pass_fds=(lock.fileno(),),  # where the test is killed, this goes on and keeps it
            )
            scratch.rename(root)
    return root


class Machine:
    """Boots when entered; ``host`` is this machine as the container sees it, and only it is reached.

    ``root`` is its file system, as it sees it.
    """

    def __init__(self, lower: Path, folder: Path) -> None:
        self._lower, self._folder = lower, folder
        number = os.getpid()
        self._name = f"ts{number}"
        network = f"10.{200 + number // 16384 % 32}.{number // 64 % 256}"
        self.host = f"{network}.{number % 64 * 4 + 1}"
        self._own = f"{network}.{number % 64 * 4 + 2}"
        self._process: subprocess.Popen[bytes] | None = None
        self.init = 0
        """Process of its init, as this machine counts."""

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.init}/root")

    def __enter__(self) -> "Machine":
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _boot(self) -> None:
        console = (self._folder / "console").open("wb")
        with console:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig=TERM", "unshare", "--mount"),
                    *("bash", "-c", START, "bash", str(self._lower), str(self._folder)),
                    *("--quiet", "--boot", f"--machine={self._name}"),
                    *("--register=no", "--keep-unit"),
                    *("--link-journal=no", "--resolv-conf=off", "--timezone=off"),
                    *("--network-veth", "systemd.unit=multi-user.target"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        wait_until(self._has_init, "the container has an init", BOOTS_WITHIN_S)
        wait_until(
            lambda: self.asks("systemctl", "is-active", "multi-user.target") == "active",
            "the container has booted",
            BOOTS_WITHIN_S,
        )
        subprocess.run(["ip", "address", "add", f"{self.host}/30", "dev", self._link], check=True)
        subprocess.run(["ip", "link", "set", self._link, "up"], check=True)
        inside = ["nsenter", "--net", "--target", str(self.init), "ip"]
        subprocess.run([*inside, "address", "add", f"{self._own}/30", "dev", "host0"], check=True)
        subprocess.run([*inside, "link", "set", "host0", "up"], check=True)

    @property
    def _link(self) -> str:
        return f"ve-{self._name}"

    def _has_init(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail((self._folder / "console").read_text(errors="replace"))
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in children.read_text().split():
            with suppress(OSError):  # a step between nspawn and its init has ended
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    self.init = int(pid)
        return self.init > 0

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()  # nspawn has its init shut down
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def run(self, *command: str, timeout_s: float = 60) -> str:
        """What a command in the container prints; a failing one fails the test with all it told."""
        done = self._call(command, timeout_s)
        if done.returncode != 0:
            pytest.fail(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def asks(self, *command: str) -> str:
        """The same for a question whose answer may be a failure."""
        return self._call(command, 60).stdout.strip()

    def _call(self, command: Sequence[str], timeout_s: float) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*("nsenter", "--all", "--target", str(self.init), "--"), *command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"},
        )

    def shows(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.asks("systemctl", "show", "--value", f"--property={name}", unit)

    def journal(self, unit: str) -> str:
        return self.asks("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")
