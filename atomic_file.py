"""Files that are either the old one or the new one, never a part of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from failure import Failure


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to; on leaving without an error it takes its place.

    The content is on the disk before the name changes. An error leaves the old file as it was and
    removes the new one. Raises Failure when the disk or the permissions refuse.
    """
    # The suffix stays last: encoders and savers choose their format by it.
    scratch = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        with scratch.open("rb") as written:
            os.fsync(written.fileno())
        scratch.replace(path)
    except OSError as error:
        raise Failure(
            f"{path}: cannot be written ({error.strerror or error}); "
            "free some space or choose another place"
        ) from error
    finally:
        with suppress(OSError):  # what it could not make, it need not remove
            scratch.unlink()
