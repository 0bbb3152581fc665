"""A newcomer's way, command by command, on a clean Debian: ``python -m benchmarks.newcomer``.

Two computers, one after the other: a workstation, from nothing to the end of ``make demo`` and to the
package, and a device, from that package to the first telemetry at a broker. Each is a minimal Debian 12 with
systemd in a container, which shares this machine's network, and the configuration of its pip and
uv with the certificates that they trust. For root, with Debian's mmdebstrap and systemd-container.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from atomic_file import replaced
from failure import Failure
from machine import processor
from runtime.demo.demo import read_truth

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs/newcomer.md"
PYTHON = "3.11"
"""Debian 12's."""
INCLUDED = "systemd-sysv,dbus,ca-certificates"
BOOTS_WITHIN_S = 60.0
COMMAND_TIMEOUT_S = 1800.0
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

DEMO = (
    "apt-get update",
    "apt-get install -y git make python3-venv libgl1 libglib2.0-0",
    "git clone tremorscope.bundle tremorscope",
    "cd tremorscope && make demo",
)
PACKAGE = (f"cd tremorscope && make deb DEVICE_PYTHON={PYTHON} MACHINE=x86_64",)
BROKER_PORT = 18830
"""Not 1883, where this machine's own broker may be."""
BROKER = f"""\
listener {BROKER_PORT} 127.0.0.1
allow_anonymous false
password_file /etc/mosquitto/passwords
"""
PASSWORD = "under the bridge"
CLIP = "/var/lib/tremorscope/footbridge.mp4"
INSTALLATION = (
    "apt-get update",
    "apt-get install -y ./tremorscope_*_amd64.deb",
    "tremorscope demo",
)
SERVICE = (
    "apt-get install -y mosquitto mosquitto-clients",
    f"mosquitto_passwd -b -c /etc/mosquitto/passwords bridge '{PASSWORD}'",
    "chown mosquitto /etc/mosquitto/passwords",
    "systemctl restart mosquitto",
    f"cp /opt/tremorscope/environment.*/lib/python*/site-packages/runtime/demo/sample/footbridge.mp4 {CLIP}",
    "cp /etc/tremorscope/example.toml /etc/tremorscope/bridge.toml",
    "tremorscope validate /etc/tremorscope/bridge.toml",
    "mkdir -p /etc/tremorscope/credentials/bridge",
    f"umask 077; echo '{PASSWORD}' > /etc/tremorscope/credentials/bridge/mqtt-password",
    "systemctl enable --now tremorscope@bridge",
    f"mosquitto_sub -h 127.0.0.1 -p {BROKER_PORT} -u bridge -P '{PASSWORD}' -C 1 "
    "-t 'tremorscope/bridge/telemetry/#'",
)
"""After the fourth the broker runs; the sixth is followed by an editor."""


@dataclass
class Way:
    """Commands with the seconds that they took, and the load average after the last."""

    steps: list[tuple[str, float]] = field(default_factory=list)
    load: float = 0.0

    def rows(self) -> list[str]:
        taken_s = sum(seconds for _, seconds in self.steps)
        return [
            "| command | s |",
            "| --- | ---: |",
            *(
                f"| `{command.replace('|', chr(92) + '|')}` | {seconds:.1f} |"
                for command, seconds in self.steps
            ),
            f"| all; load average {self.load:.1f} at the end | {taken_s:.0f} |",
        ]


class Debian:
    """A clean one that has booted. ``root`` is its file system."""

    def __init__(self, init: int) -> None:
        self.root = Path(f"/proc/{init}/root")
        self._init = init
        self._environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **_index_settings(self.root),
        }

    def run(self, command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """What it prints; Failure with the end of it where it fails or does not end."""
        try:
            done = subprocess.run(
                [
                    *("nsenter", "--all", "--target", str(self._init), "--"),
                    *("bash", "-c", f"cd && {command}"),
                ],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failure(
                f"{command}: has not ended within {timeout_s:.0f} s; try it by hand"
            ) from None
        if done.returncode != 0:
            raise Failure(f"{command}: failed, look at its last lines:\n{done.stdout[-3000:]}")
        return done.stdout

    def go(self, way: Way, *commands: str) -> None:
        """Run commands one after the other, and note what each took."""
        for command in commands:
            begun_s = time.monotonic()
            self.run(command)
            way.steps.append((command, time.monotonic() - begun_s))
            way.load = os.getloadavg()[0]
            typer.echo(f"{way.steps[-1][1]:8.1f} s  {command}")


def _index_settings(root: Path) -> dict[str, str]:
    """pip's and uv's configuration of this machine, with the files that it names."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    pairs = [line.split("=", 1) for line in told.stdout.splitlines()]
    settings = {
        f"PIP_{key.rpartition('.')[2].upper().replace('-', '_')}": " ".join(
            ast.literal_eval(value).split()
        )
        for key, value in pairs
    } | {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "UV_")) or name in CERTIFICATES
    }
    for name, value in settings.items():
        if Path(value).is_file():
            # Not at its own place, which may be a Debian package's.
            copied = Path("usr/local/share", name)
            shutil.copy(value, root / copied)
            settings[name] = f"/{copied}"
    return settings


@contextmanager
def booted(clean: Path) -> Iterator[Debian]:
    """A copy of the clean Debian, gone at the end."""
    name = f"newcomer{os.getpid()}"
    with subprocess.Popen(
        [
            *("setpriv", "--pdeathsig=TERM", "systemd-nspawn", "--quiet", "--boot", "--ephemeral"),
            *(f"--directory={clean}", f"--machine={name}", "--register=no", "--keep-unit"),
            *("--link-journal=no", "--resolv-conf=copy-host", "systemd.unit=multi-user.target"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as nspawn:
        try:
            debian = Debian(_init_of(nspawn))
            debian.run("until systemctl is-active --quiet multi-user.target; do sleep .1; done", 60)
            yield debian
        finally:
            nspawn.terminate()  # has the init shut down


def _init_of(nspawn: "subprocess.Popen[bytes]") -> int:
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    deadline_s = time.monotonic() + BOOTS_WITHIN_S
    while nspawn.poll() is None and time.monotonic() < deadline_s:
        for pid in children.read_text().split():
            with suppress(OSError):  # a step between nspawn and its init has ended
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return int(pid)
        time.sleep(0.05)
    raise Failure("the container has not started; try: systemd-nspawn --boot, with the same folder")


def configuration() -> str:
    """What a newcomer would type for the sample clip in place of a camera."""
    truth = read_truth()
    name, region = max(truth.regions.items(), key=lambda one: one[1].amplitude_y_px)
    return f"""\
name = "bridge"
[camera]
source = "{CLIP}"
[[regions]]
name = "{name}"
x = {region.x}
y = {region.y}
width = {region.width}
height = {region.height}
[mqtt]
host = "127.0.0.1"
port = {BROKER_PORT}
username = "bridge"
password_file = "credential:mqtt-password"
"""


def workstation(clean: Path, package: Path) -> tuple[Way, Way]:
    """From nothing to the demo's end, and on to the package, which is copied into ``package``."""
    demo, packed = Way(), Way()
    with booted(clean) as debian:
        bundle = debian.root / "root/tremorscope.bundle"
        subprocess.run(
            ["git", "bundle", "create", "--quiet", str(bundle), "HEAD"], cwd=REPOSITORY, check=True
        )
        debian.go(demo, *DEMO)
        debian.go(packed, *PACKAGE)
        for one in (debian.root / "root/tremorscope/dist").glob("*.deb"):
            shutil.copy(one, package)
    return demo, packed


def device(clean: Path, package: Path) -> tuple[Way, Way]:
    """From the package to the first telemetry."""
    installed, service = Way(), Way()
    with booted(clean) as debian:
        for one in package.glob("*.deb"):
            shutil.copy(one, debian.root / "root")
        debian.go(installed, *INSTALLATION)
        broker = debian.root / "etc/mosquitto/conf.d/bridge.conf"
        broker.parent.mkdir(parents=True)
        broker.write_text(BROKER)
        debian.go(service, *SERVICE[:6])
        (debian.root / "etc/tremorscope/bridge.toml").write_text(configuration())
        debian.go(service, *SERVICE[6:])
    return installed, service


def page(demo: Way, packed: Way, installed: Way, service: Way, debian_s: float) -> str:
    sections = [
        ("A workstation: from nothing to the demo", "The bundle stands for the repository.", demo),
        ("A workstation: the package", "After the demo, whose environment it uses.", packed),
        ("A device: from the package to the demo", "The package lies in the folder.", installed),
        (
            "A device: from the package to its first telemetry",
            "After that, with a broker of its own and the sample clip in place of a camera. Before the "
            "first command, an editor wrote `/etc/mosquitto/conf.d/bridge.conf`; after the sixth, it "
            "changed `bridge.toml`. The last command ends with the first message.\n\n"
            f"```\n{BROKER}```\n\n```toml\n{configuration()}```",
            service,
        ),
    ]
    lines = [
        "# A newcomer's way, command by command",
        "",
        f"Written by `python -m benchmarks.newcomer` on {date.today().isoformat()}; {processor()}. Each table "
        "tells the load average at its end: where it is more than about 1, its own part, other work ran "
        "beside it and took its time from these. Downloads are those of this machine's network.",
        "",
        "Each computer begins as a minimal Debian 12 with systemd, in a container, for root; elsewhere "
        "`sudo` comes before most commands. Nothing but these commands was done, and each of them succeeded. "
        f"Making that Debian took {debian_s:.0f} s, which are not in the tables; reading and typing are not "
        "in them either. What each step is for is told in [the README](../README.md) and in "
        "[install.md](install.md).",
    ]
    for title, text, way in sections:
        lines += ["", f"## {title}", "", text, "", *way.rows()]
    return "\n".join(lines) + "\n"


def main(
    folder: Annotated[Path, typer.Option(help="Where the clean Debian is made.")] = REPOSITORY
    / "work/machines",
    out: Annotated[Path, typer.Option(help="Page to write.")] = PAGE,
) -> None:
    """Write how long a newcomer waits."""
    clean = folder / "newcomer"
    shutil.rmtree(clean, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    begun_s = time.monotonic()
    # In a namespace of its own: what it mounts ends with it.
    debian = ("unshare", "--mount", "mmdebstrap", "--quiet", "--variant=minbase")
    subprocess.run([*debian, f"--include={INCLUDED}", "bookworm", str(clean)], check=True)
    debian_s = time.monotonic() - begun_s
    try:
        with tempfile.TemporaryDirectory() as package:
            demo, packed = workstation(clean, Path(package))
            installed, service = device(clean, Path(package))
    except Failure as failure:
        typer.echo(str(failure), err=True)
        raise typer.Exit(1) from None
    finally:
        shutil.rmtree(clean, ignore_errors=True)
    with replaced(out) as scratch:
        scratch.write_text(page(demo, packed, installed, service, debian_s))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
