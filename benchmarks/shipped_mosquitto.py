"""The Mosquitto configuration of ``dashboards/mosquitto``, put where a test or a benchmark may run it.

The very files: only folders, ports and the system's user are replaced.
"""

import getpass
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from failure import Failure

SHIPPED = Path(__file__).parents[1] / "dashboards" / "mosquitto"


def program(name: str) -> str:
    """Where ``mosquitto`` or ``mosquitto_passwd`` is; raises Failure where it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Failure(f"{name} is not installed; install Debian's mosquitto")
    return found


def install(
    folder: Path,
    users: Mapping[str, str],
    *,
    port: int,
    tls: tuple[int, Path, Path, Path] | None = None,
) -> Path:
    """Lay the shipped files out below ``folder`` as they would be below ``/etc`` and ``/var``.

    Args:
        folder: an empty one, or one of an earlier call.
        users: name and password of everybody who may come in.
        port: of the listener on this machine.
        tls: port of the network's listener, the authority's certificate, the broker's certificate and
            key; None: it stays closed, as it does for whoever copies only ``mosquitto.conf``.

    Returns:
        the configuration to start ``mosquitto -c`` with.
    """
    etc, kept = folder / "etc", folder / "lib"
    for each in (etc / "conf.d", etc / "certs", kept):
        each.mkdir(parents=True, exist_ok=True)
    replaced = {"/etc/mosquitto": str(etc), "/var/lib/mosquitto": str(kept)}
    text = _replaced(SHIPPED / "mosquitto.conf", replaced | {"listener 1883": f"listener {port}"})
    # As root Mosquitto would become a user who cannot read a temporary folder.
    configuration = etc / "mosquitto.conf"
    configuration.write_text(f"user {getpass.getuser()}\n{text}")
    shutil.copy(SHIPPED / "acl", etc / "acl")
    (etc / "acl").chmod(0o600)
    write_passwords(etc / "passwords", users)
    if tls is not None:
        tls_port, authority, certificate, key = tls
        for source, name in (
            (authority, "ca.pem"),
            (certificate, "broker.pem"),
            (key, "broker.key"),
        ):
            shutil.copy(source, etc / "certs" / name)
        (etc / "conf.d" / "tls.conf").write_text(
            _replaced(
                SHIPPED / "tls.conf",
                replaced | {"\nlistener 8883\n": f"\nlistener {tls_port} 127.0.0.1\n"},
            )
        )
    return configuration


def write_passwords(path: Path, users: Mapping[str, str]) -> None:
    """A password file with the passwords' hashes; they are in nobody's argument list."""
    path.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
    path.chmod(0o600)
    subprocess.run([program("mosquitto_passwd"), "-U", path], check=True, capture_output=True)


def _replaced(path: Path, replaced: Mapping[str, str]) -> str:
    text = path.read_text()
    for given, instead in replaced.items():
        text = text.replace(given, instead)
    return text
