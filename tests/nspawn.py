"""A machine of the test's own: real systemd in a container, on a clean Debian root.

For root, on a machine with Debian's ``mmdebstrap`` and ``systemd-container``. The root is made once
and kept; each machine writes into a tmpfs above it, which is gone with it.
"""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from broker import wait_until

PROGRAMS = ("mmdebstrap", "systemd-nspawn", "nsenter", "ip")
SUITE = "bookworm"
PACKAGES = (
    *("systemd-sysv", "dbus", "python3"),
    # What tremorscope's own package wants; a machine of the test's has no network to get it from.
    *("libgl1", "libglib2.0-0"),
    *("python3-gi", "gir1.2-gst-plugins-base-1.0"),
    *("gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good"),
)
BOOTS_WITHIN_S = 60


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
    if not root.exists():
        cache.mkdir(parents=True, exist_ok=True)
        scratch = cache / f"{root.name}.{os.getpid()}"
        subprocess.run(
            [
                *("mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io"),
                *(f"--include={','.join(PACKAGES)}", SUITE, str(scratch)),
            ],
            check=True,
            timeout=600,
        )
        scratch.rename(root)
    return root


class Machine:
    """Boots when entered; ``host`` is this machine as the container sees it, and only it is reached."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._lower, self._folder = root, folder
        self.root = folder / "root"
        number = os.getpid()
        self._name = f"ts{number}"
        network = f"10.{200 + number // 16384 % 32}.{number // 64 % 256}"
        self.host = f"{network}.{number % 64 * 4 + 1}"
        self._own = f"{network}.{number % 64 * 4 + 2}"
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> "Machine":
        self._folder.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", "size=3g,mode=755", "tmpfs", str(self._folder))
        try:
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _boot(self) -> None:
        upper, work = self._folder / "upper", self._folder / "work"
        for folder in (upper, work, self.root):
            folder.mkdir()
        layers = f"lowerdir={self._lower},upperdir={upper},workdir={work}"
        _mount("-t", "overlay", "-o", layers, "overlay", str(self.root))
        (self.root / "etc/machine-id").write_text("")
        console = (self._folder / "console").open("wb")
        with console:
            self._process = subprocess.Popen(
                [
                    *("systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}"),
                    *(f"--machine={self._name}", "--register=no", "--keep-unit"),
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
        inside = ["nsenter", "--net", "--target", str(self._init), "ip"]
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
                    self._init = int(pid)
        return self._init > 0

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()  # nspawn has its init shut down
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for place in (self.root, self._folder):
            # What ran in the container may hold its root for a moment longer.
            deadline = time.monotonic() + 10
            while os.path.ismount(place):
                done = subprocess.run(["umount", str(place)], capture_output=True, check=False)
                if done.returncode != 0:
                    if time.monotonic() > deadline:
                        subprocess.run(["umount", "--lazy", str(place)], check=False)
                        break
                    time.sleep(0.1)

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
            [*("nsenter", "--all", "--target", str(self._init), "--"), *command],
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


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
