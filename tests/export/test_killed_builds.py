"""What remains of a build that is killed, or whose disk is full."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_builders import (
    jetpack_6,
)
from test_engine_builder import add_graph, built, names_in

from export.artifact import checked_engine
from failure import Failure


def killed_build(folder: Path, before_step: int) -> bool:
    """Whether a child that builds was killed before this step on the file system."""
    child = os.fork()
    if child == 0:
        steps = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal steps
            if event.startswith(("open", "os.", "fcntl.")) and "engines" in str(arguments):
                steps += 1
                if steps == before_step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            built(folder, jetpack_6())
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


@pytest.mark.parametrize("old", [b"", b"graph before"])
def test_a_build_that_is_killed_at_any_step_leaves_the_old_engine_or_the_new(
    tmp_path: Path, old: bytes
) -> None:
    engines = tmp_path / "engines"
    engine = engines / "twofold-64x36-fp16.engine"
    if old:
        add_graph(tmp_path / "graphs", "fp16", old)
        built(tmp_path, jetpack_6())
        shutil.copytree(engines, tmp_path / "before", symlinks=True)
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    found = []
    step = 1
    while True:
        shutil.rmtree(engines, ignore_errors=True)
        if old:
            shutil.copytree(tmp_path / "before", engines, symlinks=True)
        if not killed_build(tmp_path, step):
            break
        if engine.exists():
            checked_engine(engine)
            found.append(engine.read_bytes())
        else:
            assert not old
        result = built(tmp_path, jetpack_6())
        assert engine.read_bytes() == b"plan of graph"
        assert names_in(engines) == {
            engine.name,
            f"{engine.stem}-{result.sidecar.sha256[:12]}.engine",
            f"{engine.stem}-{result.sidecar.sha256[:12]}.engine.json",
            "timing-10.3.0-orin-sm86.cache",
            ".build.lock",
        }
        step += 1
    assert step > 10
    assert set(found) == {b"plan of graph"} | ({b"plan of " + old} if old else set())


def test_a_build_that_dies_while_it_writes_leaves_the_old_engine(tmp_path: Path) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    old = built(tmp_path, jetpack_6())
    add_graph(tmp_path / "graphs", "fp16", b"graph " + bytes(100_000))
    child = os.fork()
    if child == 0:
        # The kernel ends the process when a file grows beyond the limit, in the middle of the plan.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        built(tmp_path, jetpack_6())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGXFSZ
    left = [each for each in (tmp_path / "engines").iterdir() if each.stat().st_size == 30_000]
    assert len(left) == 1
    assert checked_engine(old.path) == old.sidecar
    new = built(tmp_path, jetpack_6())
    assert checked_engine(new.path) == new.sidecar
    assert not left[0].exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """``tmp_path``/engines, with room for one megabyte."""
    folder = tmp_path / "engines"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a tmpfs, and mounting one is not allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_while_the_plan_is_written_leaves_the_old_engine(
    tmp_path: Path, small_disk: Path
) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    old = built(tmp_path, jetpack_6())
    before = names_in(small_disk)
    tensorrt = jetpack_6()
    tensorrt.plan_of = lambda content: content + bytes(2_000_000)  # more than was to be expected
    add_graph(tmp_path / "graphs", "fp16", b"graph again")
    with pytest.raises(Failure, match=r"cannot be written \(No space left on device\)"):
        built(tmp_path, tensorrt)
    assert names_in(small_disk) == before
    assert checked_engine(old.path) == old.sidecar


def test_a_disk_without_room_is_told_before_a_build_begins(
    tmp_path: Path, small_disk: Path
) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph" + bytes(500_000))
    with pytest.raises(Failure, match=r"1 MB are free, an engine may take 2 MB"):
        built(tmp_path, jetpack_6())
    assert names_in(small_disk) == {".build.lock"}


def test_a_timing_cache_that_cannot_be_written_does_not_lose_the_engine(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    (tmp_path / "engines" / "timing-10.3.0-orin-sm86.cache" / "in the way").mkdir(parents=True)
    result = built(tmp_path, jetpack_6())
    assert checked_engine(result.path) == result.sidecar
    assert "the next build measures again" in caplog.text
