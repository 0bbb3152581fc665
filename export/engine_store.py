"""Plans on the disk: whenever the power fails, the old engine is there, or the new one.

Two files cannot be replaced in one step. So a plan and its sidecar have names of their own, with the
beginning of the plan's SHA-256, and the engine's name is a link to the plan. Changing the link is the
one step that puts a new engine in the old one's place.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from atomic_file import replaced
from export.artifact import EngineSidecar, write_sidecar
from failure import Failure


@contextmanager
def one_build_at_a_time(folder: Path) -> Iterator[None]:
    """Holds ``folder`` for this process; the kernel lets go of it, however the process ends.

    Raises Failure when another build holds it, or when nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".build.lock").open("w")
    except OSError as error:
        raise Failure(
            f"{folder}: cannot be written ({error.strerror}); choose another folder with --out"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure(
                f"{folder}: another build is running there; wait until it has ended"
            ) from error
        yield


def publish(engine: Path, plan: bytes, sidecar: EngineSidecar) -> None:
    """Put ``plan`` in the place of ``engine``, then remove what it supersedes.

    The caller holds the folder. Raises Failure when the disk refuses; the old engine is then as it
    was, and nothing of the new one remains.
    """
    named = engine.with_name(f"{engine.stem}-{sidecar.sha256[:12]}{engine.suffix}")
    link = engine.with_name(f".{engine.stem}.{os.getpid()}.link")
    try:
        link.unlink(
            missing_ok=True
        )  # of a build that was killed, whose number this process has now
        with replaced(named) as scratch:
            scratch.write_bytes(plan)
        write_sidecar(named, sidecar)
        _to_disk(engine.parent)
        link.symlink_to(named.name)
        link.replace(engine)
        _to_disk(engine.parent)
    except OSError as error:
        raise Failure(
            f"{engine}: cannot be written ({error.strerror}); free some space or choose another folder"
        ) from error
    finally:
        _remove_superseded(engine)


def _remove_superseded(engine: Path) -> None:
    """Plans that the link does not name, and what builds that were killed left behind."""
    current = engine.resolve().name
    stem, suffix = re.escape(engine.stem), re.escape(engine.suffix)
    plan = re.compile(rf"({stem}-[0-9a-f]{{12}}{suffix})(\.json)?")
    # Graphs may lie in the same folder, and an export may be writing one and its sidecar there now.
    scratch = re.compile(r"\..+(\.\d+\.(engine|link|cache)|\.engine\.\d+\.json)")
    for path in engine.parent.iterdir():
        found = plan.fullmatch(path.name)
        if (found and found[1] != current) or scratch.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def _to_disk(folder: Path) -> None:
    """Names are content of their folder: without this a power cut may undo them out of order."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
