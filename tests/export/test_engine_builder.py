"""Engines from graphs: what is built, what falls back, what is refused, and what remains on the disk."""

import os
import shutil
import signal
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
        "frames_sha256": None,
        "wanted_precision": "fp16",
        "fallbacks": (),
        "tensorrt_version": tensorrt.__version__,
        "cuda_version": "12.6",
        "gpu": "Orin",
        "compute_capability": (8, 6),
        "board": "NVIDIA Jetson Orin Nano, Jetson Linux 36.4.3",
        "builder_flags": ("STRONGLY_TYPED",),
        "convolutions": {"fp16": 1},
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
        "fp16: Error Code 10: could not find any implementation for node first",
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


def test_what_a_killed_build_left_is_no_hindrance_and_an_export_is_left_alone(
    tmp_path: Path,
) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    engines = tmp_path / "engines"
    engines.mkdir()
    # In a container, the next process often has the same number.
    (engines / f".twofold-64x36-fp16.{os.getpid()}.link").symlink_to("nowhere.engine")
    others = ".twofold-64x36-int8-0123456789ab.engine"
    (engines / f"{others}.77.json").write_text("")
    exporting = engines / ".twofold-64x36-int8.onnx.77.json"
    exporting.write_text("")
    result = built(tmp_path, jetpack_6())
    assert checked_engine(result.path) == result.sidecar
    hidden = {name for name in names_in(engines) if name.startswith(".")}
    assert hidden == {".build.lock", exporting.name}


def test_too_little_memory_while_it_builds_does_not_end_in_a_bigger_precision(
    tmp_path: Path,
) -> None:
    add_graph(tmp_path / "graphs", "int8", b"huge")
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    with pytest.raises(
        Failure, match=r"int8.onnx: TensorRT ran out of memory \(Error Code 2: OutOf"
    ):
        built(tmp_path, jetpack_6(), "int8")
    assert names_in(tmp_path / "engines") == {".build.lock"}


def test_a_tensorrt_that_gives_no_timing_cache_builds_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    tensorrt = jetpack_6()
    tensorrt.keeps_timing_cache = False
    result = built(tmp_path, tensorrt)
    assert checked_engine(result.path) == result.sidecar
    assert "gives no timing cache" in caplog.text


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
