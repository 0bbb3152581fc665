"""A password that lies in a file of its own, as systemd's credentials do."""

from pathlib import Path

from failure import Failure


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
