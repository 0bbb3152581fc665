"""What the TensorRT engine refuses to load or run, and the sentence that says so."""

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_cuda import FakeGpu
from fake_tensorrt import OLD, installed, plan_of, write_plan
from pictures import AT_ONCE, picture

from export.artifact import sha256, sidecar_path
from failure import Failure
from runtime.engine.onnx_runtime import SHIPPED
from runtime.engine.tensorrt import TensorRtEngine


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    gpu = installed(monkeypatch, OLD)
    yield gpu
    gc.collect()
    gpu.check()


def plan_in(folder: Path, **changed: Any) -> Path:
    """For 48x32 px; ``changed`` are facts of the sidecar."""
    return write_plan(folder / "twofold.engine", plan_of(48, 32, OLD), OLD, **changed)


def refused(plan: Path) -> str:
    """The sentence that the plan is refused with."""
    with pytest.raises(Failure) as failure:
        TensorRtEngine(plan)
    sentence = str(failure.value)
    assert "\n" not in sentence
    assert "tremorscope build" in sentence
    return sentence


@pytest.mark.usefixtures("gpu")
def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    engine = TensorRtEngine(plan_in(tmp_path))
    with pytest.raises(Failure) as failure:
        engine.step(picture(64, 40), 1.0, AT_ONCE)
    engine.close()
    assert "was built for 48x32 px, the magnified area is 64x40 px" in str(failure.value)
    assert "tremorscope export, tremorscope build" in str(failure.value)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"tensorrt_version": "10.16.2.10"},
            "was built with TensorRT 10.16.2.10 on sm_87 (Orin), this is TensorRT 10.3.0.30 on "
            "sm_87 (Orin); build it again: tremorscope build --model twofold --size 48x32 "
            "--precision fp32 --graphs /",
        ),
        (
            {"compute_capability": (11, 0), "gpu": "Thor"},
            "was built with TensorRT 10.3.0.30 on sm_110 (Thor), this is TensorRT 10.3.0.30 on "
            "sm_87 (Orin); build it again: tremorscope build --model",
        ),
        ({"gpu": "Orin Nano"}, "on sm_87 (Orin Nano), this is TensorRT 10.3.0.30 on sm_87 (Orin)"),
        ({"sha256": "0" * 64}, "the file was changed or cut short"),
    ],
)
def test_a_plan_of_another_device_is_refused_before_it_is_loaded(
    gpu: FakeGpu, tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    assert told in refused(plan_in(tmp_path, **changed))
    assert "engines" not in gpu.held


def without_sidecar(plan: Path) -> None:
    sidecar_path(plan).unlink()


def with_one_byte_changed(plan: Path) -> None:
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 1
    plan.write_bytes(content)


def cut_short(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-1])


def without_plan(plan: Path) -> None:
    plan.unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without_sidecar, "nothing vouches for it"),
        (with_one_byte_changed, "the file was changed or cut short"),
        (cut_short, "the file was changed or cut short"),
        (without_plan, "no such engine"),
    ],
)
def test_a_plan_that_nothing_vouches_for_never_reaches_the_gpu(
    gpu: FakeGpu, tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    plan = plan_in(tmp_path)
    spoil(plan)
    assert told in refused(plan)
    assert gpu.calls == []


@pytest.mark.usefixtures("gpu")
def test_a_plan_of_another_graph_than_the_one_beside_it_is_refused(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    graph = plan.with_suffix(".onnx")
    graph.write_bytes(SHIPPED.read_bytes())
    TensorRtEngine(plan).close()
    graph.write_bytes(b"another graph")
    assert (
        f"was built from a graph with SHA-256 {sha256(SHIPPED)[:12]}..., twofold.onnx beside it "
        f"has {sha256(graph)[:12]}..."
    ) in refused(plan)


@pytest.mark.usefixtures("gpu")
def test_a_plan_that_tensorrt_refuses_is_told_with_its_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = write_plan(tmp_path / "twofold.engine", b"no plan", OLD)
    sentence = refused(plan)
    assert sentence.startswith(f"{plan}: TensorRT cannot load the plan (IRuntime::deserialize")
    assert "magicTag" in caplog.text


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        ({"frame": ("INPUT", (1, 3, 32, 48), "UINT8")}, "its tensor frame (1, 3, 32, 48) is none"),
        ({"frame": ("INPUT", (-1, -1, 3), "UINT8")}, "its tensor frame (-1, -1, 3) is none"),
        ({"fast": ("INPUT", (1, 32, 8, 12), "HALF")}, "its tensor fast"),
        ({"magnified": ("INPUT", (32, 48, 3), "UINT8")}, "its tensor magnified"),
        ({"mask": ("INPUT", (32, 48), "UINT8")}, "its tensor mask (32, 48) is none"),
        ({"mask": ("OUTPUT", (32, 48), "INT4")}, "its tensor mask (32, 48) is none"),
        ({"slow_next": None, "follow": None}, "has no tensor follow, slow_next"),
    ],
)
def test_a_plan_whose_tensors_do_not_fit_is_refused(
    gpu: FakeGpu, tmp_path: Path, tensor: dict[str, Any], told: str
) -> None:
    content = plan_of(48, 32, OLD, **tensor)
    assert told in refused(write_plan(tmp_path / "twofold.engine", content, OLD))
    assert "cuMemAlloc" not in gpu.calls


@pytest.mark.usefixtures("gpu")
def test_a_sidecar_of_another_size_than_its_plan_is_refused(tmp_path: Path) -> None:
    sentence = refused(plan_in(tmp_path, size_px=(64, 32)))
    assert "its tensor frame (32, 48, 3) is none of a streaming graph for 64x32 px" in sentence


def test_without_tensorrt_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(Failure, match=r"python3-libnvinfer.*--system-site-packages"):
        TensorRtEngine(tmp_path / "twofold.engine")


def test_without_pycuda_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(monkeypatch, OLD)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(Failure, match=r"nvcc on PATH .* CPATH .* LIBRARY_PATH"):
        TensorRtEngine(tmp_path / "twofold.engine")


def test_pycuda_without_the_gpus_driver_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(monkeypatch, OLD)
    # As pycuda 2026.1 fails on a machine without a GPU.
    lack = "libcuda.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "driver.py").write_text(f"raise ImportError({lack!r})")
    package: Any = ModuleType("pycuda")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.delitem(sys.modules, "pycuda.driver")
    with pytest.raises(Failure) as failure:
        TensorRtEngine(tmp_path / "twofold.engine")
    assert str(failure.value).startswith(f"pycuda cannot be loaded ({lack}); ")
    assert "--runtime nvidia" in str(failure.value)
