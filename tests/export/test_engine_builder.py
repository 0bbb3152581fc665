"""Engines from graphs: what is built, what falls back, what is refused, and what remains on the disk."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fake_builders import (
    DEVICE,
    Severity,
    jetpack_6,
    jetpack_6_0,
    jetpack_7,
    without_the_flag,
)
from rich.console import Console

from export.artifact import Precision, Sidecar, checked_engine, sha256, write_sidecar
from export.build_progress import BuildProgress
from export.engine_builder import Built, Wanted, build, summary
from export.engine_store import one_build_at_a_time
from failure import Failure

SIZE_PX = (64, 36)


def add_graph(folder: Path, precision: Precision, content: bytes) -> Path:
    path = Wanted("twofold", SIZE_PX, precision).graph(folder, precision)
    folder.mkdir(exist_ok=True)
    path.write_bytes(content)
    sidecar = Sidecar(
        sha256=sha256(path),
        network="twofold",
        precision=precision,
        size_px=SIZE_PX,
        state_channels=32,
        state_stride=4,
        weights_sha256="0" * 64,
        tool_version="0",
    )
    write_sidecar(path, sidecar)
    return path


def built(
    folder: Path,
    tensorrt: Any,
    precision: Precision = "fp16",
    console: Console | None = None,
    **device: Any,
) -> Built:
    """Of the graphs in ``folder``/graphs, into ``folder``/engines."""
    return build(
        tensorrt,
        replace(DEVICE, **device),
        Wanted("twofold", SIZE_PX, precision),
        folder / "graphs",
        folder / "engines",
        BuildProgress(console or Console(file=StringIO())),
    )


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


@pytest.mark.parametrize("shape", [jetpack_6, jetpack_7, without_the_flag])
def test_an_engine_is_built_by_each_tensorrt_and_its_sidecar_says_everything(
    tmp_path: Path, shape: Any
) -> None:
    graph = add_graph(tmp_path / "graphs", "fp16", b"graph")
    tensorrt = shape()
    result = built(tmp_path, tensorrt)
    assert result.path == tmp_path / "engines" / "twofold-64x36-fp16.engine"
    assert result.path.read_bytes() == b"plan of graph"
    sidecar = checked_engine(result.path)
    assert sidecar == result.sidecar
    assert sidecar.model_dump(exclude={"sha256", "build_s"}) == {
        "sidecar_version": 1,
        "network": "twofold",
        "precision": "fp16",
        "state_channels": 32,
        "state_stride": 4,
        "tool_version": version("tremorscope"),
        "size_px": SIZE_PX,
        "graph_sha256": sha256(graph),
        "weights_sha256": "0" * 64,
        "wanted_precision": "fp16",
        "fallbacks": (),
        "tensorrt_version": tensorrt.__version__,
        "cuda_version": "12.6",
        "gpu": "Orin",
        "compute_capability": (8, 6),
        "board": "NVIDIA Jetson Orin Nano, Jetson Linux 36.4.3",
        "builder_flags": ("STRONGLY_TYPED",),
    }
    assert tensorrt.config.workspace == DEVICE.free_memory_bytes // 2
    assert summary(result).endswith("Convolutions: 1 in fp16.")


def test_a_tensorrt_without_strong_typing_is_refused(tmp_path: Path) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    with pytest.raises(Failure, match=r"8\.6\.2 is too old.*JetPack 6\.1"):
        built(tmp_path, jetpack_6_0())


def test_what_tensorrt_refuses_falls_back_and_the_sidecar_says_why(tmp_path: Path) -> None:
    add_graph(tmp_path / "graphs", "int8", b"unsupported")
    add_graph(tmp_path / "graphs", "fp16", b"costly")
    add_graph(tmp_path / "graphs", "fp32", b"graph")
    lines = StringIO()
    result = built(tmp_path, jetpack_6(), "int8", Console(file=lines, width=500))
    assert result.path.name == "twofold-64x36.engine"
    assert result.sidecar.wanted_precision == "int8"
    assert result.sidecar.fallbacks == (
        "int8: node node_det [Det]: is not supported",
        "fp16: Error Code 2: OutOfMemory (no workspace)",
    )
    assert "refuses twofold-64x36-int8.onnx: node node_det [Det]" in lines.getvalue()
    assert "not int8: int8: node node_det [Det]: is not supported; fp16: Error" in summary(result)


def test_where_all_are_refused_the_last_reason_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    add_graph(tmp_path / "graphs", "int8", b"unsupported")
    add_graph(tmp_path / "graphs", "fp32", b"")
    with pytest.raises(Failure, match=r"builds none of the graphs .*fp32: holds no network"):
        built(tmp_path, jetpack_6(), "int8")
    assert names_in(tmp_path / "engines") == {".build.lock"}


def test_a_graph_that_is_missing_tampered_or_misnamed_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no such graph"):
        built(tmp_path, jetpack_6())
    graph = add_graph(tmp_path / "graphs", "fp16", b"graph")
    graph.write_bytes(b"graph of another")
    with pytest.raises(Failure, match="SHA-256"):
        built(tmp_path, jetpack_6())
    other = add_graph(tmp_path / "graphs", "int8", b"graph")
    shutil.copy(other, graph)
    shutil.copy(f"{other}.json", f"{graph}.json")
    with pytest.raises(Failure, match=r"says twofold, \(64, 36\) px, int8, which is not what its"):
        built(tmp_path, jetpack_6())
    with pytest.raises(Failure, match="no such graph"):
        built(tmp_path, jetpack_6(), "fp32")


def test_a_tampered_fallback_is_refused_too(tmp_path: Path) -> None:
    add_graph(tmp_path / "graphs", "int8", b"unsupported")
    add_graph(tmp_path / "graphs", "fp16", b"graph").write_bytes(b"graph of another")
    with pytest.raises(Failure, match="SHA-256"):
        built(tmp_path, jetpack_6(), "int8")


def test_too_little_memory_is_told_before_a_build_begins(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"0\.9 GB of memory are free.*64x36 px may take 1\.1 GB"):
        built(tmp_path, None, free_memory_bytes=900_000_000)


def test_one_build_at_a_time(tmp_path: Path) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    with (
        one_build_at_a_time(tmp_path / "engines"),
        pytest.raises(Failure, match="another build is running"),
    ):
        built(tmp_path, jetpack_6())
    built(tmp_path, jetpack_6())


def test_a_new_engine_takes_the_place_of_the_old_one_and_others_stay(tmp_path: Path) -> None:
    for precision in ("fp16", "fp32"):
        add_graph(tmp_path / "graphs", precision, b"graph")
        built(tmp_path, jetpack_6(), precision)
    add_graph(tmp_path / "graphs", "fp16", b"graph again")
    for _ in range(2):  # the same plan again is no harm
        result = built(tmp_path, jetpack_6())
        assert result.path.read_bytes() == b"plan of graph again"
        assert checked_engine(result.path) == result.sidecar
    found = names_in(tmp_path / "engines")
    assert len([name for name in found if name.startswith("twofold-64x36-fp16")]) == 3
    assert len([name for name in found if name.startswith("twofold-64x36")]) == 3 + 3
    assert found - {name for name in found if name.startswith("twofold")} == {
        ".build.lock",
        "timing-10.3.0-orin-sm86.cache",
    }


def raise_a_runtime_error() -> None:
    raise RuntimeError("not a timing cache")


@pytest.mark.parametrize("how", ["none", "raises", "empty"])
def test_a_broken_timing_cache_costs_time_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    tensorrt = jetpack_6()

    def empty_with_a_complaint() -> Any:
        tensorrt.logger.log(Severity.WARNING, "Failed to deserialize timing cache.")
        return tensorrt.config.create_timing_cache(b"")

    tensorrt.refuse_timing_cache = {
        "none": lambda: None,
        "raises": raise_a_runtime_error,
        "empty": empty_with_a_complaint,
    }[how]
    cache = tmp_path / "engines" / "timing-10.3.0-orin-sm86.cache"
    for content in (None, b"cache and more"):
        built(tmp_path, tensorrt)
        assert cache.read_bytes() == (content or b"cache") + b" and more"
    assert not caplog.records
    cache.write_bytes(b"garbage")
    built(tmp_path, tensorrt)
    assert [record.getMessage() for record in caplog.records] == [
        f"{cache}: TensorRT cannot use it; measuring again"
    ]
    assert cache.read_bytes() == b"cache and more"


def test_ctrl_c_ends_the_build_and_does_not_fall_back(tmp_path: Path) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    add_graph(tmp_path / "graphs", "fp32", b"graph")

    class Interrupting(StringIO):
        def write(self, text: str) -> int:
            if "1 of 2" in text:
                os.kill(os.getpid(), signal.SIGINT)
            return super().write(text)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        built(tmp_path, jetpack_6(), console=Console(file=Interrupting()))
    assert signal.getsignal(signal.SIGINT) is before
    assert names_in(tmp_path / "engines") == {".build.lock"}


def test_a_terminal_shows_bars(tmp_path: Path) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    shown = StringIO()
    built(tmp_path, jetpack_6(), console=Console(file=shown, force_terminal=True, width=100))
    assert "Building engine" in shown.getvalue()


# A process that is killed. Python tells each of its steps on the file system to an audit hook, so
# that it can be killed before the first, the second, and so on until the build reaches its end.


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
