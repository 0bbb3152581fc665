"""Secrets that lie in files of their own, as systemd's credentials do."""

import os
from pathlib import Path

from failure import Failure

_CREDENTIAL = "credential:"


def credential(path: Path) -> Path | None:
    """Where systemd has put ``credential:NAME``; None when ``path`` is an ordinary one.

    Raises Failure when systemd has given no such credential.
    """
    if not str(path).startswith(_CREDENTIAL):
        return None
    name = str(path).removeprefix(_CREDENTIAL)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    given = Path(folder) / name if folder and name and "/" not in name else None
    if given is None or not given.exists():
        raise Failure(
            f"{path}: systemd has given no credential of this name; add LoadCredential={name}:FILE to the "
            "unit, or name the file itself"
        )
    return given


def password_in(path: Path, key: str) -> str:
    """What the file holds, without the line's end that an editor puts there.

    ``key`` is what the configuration calls it. Raises Failure when it cannot be read or is empty.
    """
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
