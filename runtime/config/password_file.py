"""Secrets that lie in files of their own, as systemd's credentials do."""

import os
from pathlib import Path

from failure import Failure

_CREDENTIAL = "credential:"


def credential(path: Path) -> Path | None:
    """Where systemd has put ``credential:NAME``; None when ``path`` is an ordinary one.

    Outside a service there are none, and ``path`` stays as it is: a configuration can be checked there, and
    ``password_in`` refuses it. Raises Failure when systemd has given others, or only an empty line, which
    tremorscope@.service sets for a file that is missing.
    """
    if not str(path).startswith(_CREDENTIAL):
        return None
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return path
    name = str(path).removeprefix(_CREDENTIAL)
    given = Path(folder) / name if name and "/" not in name else None
    if given is None or not given.exists() or given.read_bytes().strip() == b"":
        raise Failure(
            f"{path}: systemd has given no credential of this name; write it into /etc/tremorscope/credentials/"
            f"CAMERA/{name}, or add LoadCredential={name}:FILE to the unit, and restart it"
        )
    return given


def password_in(path: Path, key: str) -> str:
    """What the file holds, without the line's end that an editor puts there.

    ``key`` is what the configuration calls it. Raises Failure when it cannot be read or is empty.
    """
    if str(path).startswith(_CREDENTIAL):
        raise Failure(
            f"{key}: {path} is there in a service alone, where systemd gives it; name a file instead"
        )
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise Failure(
            f"{key}: {path} cannot be read ({error.strerror}); put the password into it, and let the "
            "daemon's user read it"
        ) from None
    except UnicodeDecodeError:
        raise Failure(f"{key}: {path} is not UTF-8; save it as UTF-8") from None
    if not password:
        raise Failure(f"{key}: {path} is empty; put the password into it")
    return password
