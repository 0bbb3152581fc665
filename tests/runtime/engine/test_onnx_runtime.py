import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
from pictures import AT_ONCE, BAND, picture

from export.artifact import sha256, sidecar_path
from failure import Failure
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine


def shipped() -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(SHIPPED, threads=1)


def write_sidecar(graph: Path, **changed: Any) -> Path:
    """The shipped sidecar beside another graph, with its SHA-256 and whatever else is changed."""
    content = json.loads(sidecar_path(SHIPPED).read_bytes())
    sidecar_path(graph).write_text(json.dumps(content | {"sha256": sha256(graph)} | changed))
    return graph


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The shipped graph and its sidecar, to be spoilt."""
    graph = tmp_path / "copy.onnx"
    shutil.copy(SHIPPED, graph)
    return write_sidecar(graph)


def test_the_shipped_graph_says_what_it_is() -> None:
    version = onnxruntime.__version__
    assert shipped().description == f"twofold fp32 in ONNX Runtime {version} on the processor"


@pytest.mark.parametrize("size", [(16, 16), (17, 22), (33, 47), (62, 41), (8, 8), (9, 31)])
def test_a_picture_of_any_size_comes_back_in_its_size(size: tuple[int, int]) -> None:
    width, height = size
    engine = shipped()
    for gain, follow in ((1.0, AT_ONCE), (20.0, BAND)):
        magnified = engine.step(picture(width, height), gain, follow)
        assert magnified.shape == (height, width, 3)
        assert magnified.dtype == np.uint8


def test_gain_1_changes_a_picture_little() -> None:
    frame = picture(96, 80)
    difference = np.abs(shipped().step(frame, 1.0, AT_ONCE).astype(float) - frame)
    assert difference.mean() < 2.0
    assert np.ptp(frame) > 100, "the picture has something to lose"


def test_a_still_picture_is_not_changed_by_the_gain() -> None:
    engine, frame = shipped(), picture(96, 80)
    first = engine.step(frame, 1.0, AT_ONCE)
    np.testing.assert_array_equal(engine.step(frame, 50.0, AT_ONCE), first)


def test_the_state_carries_over_and_a_reset_forgets_it() -> None:
    engine, before, now = shipped(), picture(), picture(moved_px=0.3)
    engine.step(before, 1.0, AT_ONCE)
    moved = engine.step(now, 20.0, AT_ONCE)
    engine.step(before, 1.0, AT_ONCE)
    np.testing.assert_array_equal(engine.step(now, 20.0, AT_ONCE), moved)
    engine.reset()
    forgotten = engine.step(now, 20.0, AT_ONCE)
    np.testing.assert_array_equal(forgotten, shipped().step(now, 20.0, AT_ONCE))
    assert np.abs(forgotten.astype(float) - moved).mean() > 2.0


def test_another_size_starts_anew() -> None:
    engine, fresh = shipped(), shipped()
    engine.step(picture(48, 32), 1.0, AT_ONCE)
    for gain, moved_px in ((1.0, 0.0), (20.0, 0.3)):
        frame = picture(64, 40, moved_px)
        np.testing.assert_array_equal(engine.step(frame, gain, BAND), fresh.step(frame, gain, BAND))


def test_a_graph_for_one_size_refuses_another(copy: Path) -> None:
    write_sidecar(copy, size_px=(48, 32))
    engine = OnnxRuntimeEngine(copy, threads=1)
    assert engine.step(picture(48, 32), 1.0, AT_ONCE).shape == (32, 48, 3)
    with pytest.raises(Failure) as failure:
        engine.step(picture(64, 40), 1.0, AT_ONCE)
    assert f"{copy}: was written for 48x32 px, the magnified area is 64x40 px" in str(failure.value)
    assert "tremorscope export --size 64x40" in str(failure.value)


def without_graph(graph: Path) -> None:
    graph.unlink()


def without_sidecar(graph: Path) -> None:
    sidecar_path(graph).unlink()


def with_another_version(graph: Path) -> None:
    write_sidecar(graph, sidecar_version=99)


def with_one_byte_changed(graph: Path) -> None:
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)


def cut_short(graph: Path) -> None:
    graph.write_bytes(graph.read_bytes()[:-1000])


def no_onnx(graph: Path) -> None:
    graph.write_bytes(b"This is a text.\n" * 100)
    write_sidecar(graph)


def other_inputs(graph: Path) -> None:
    number = onnx.helper.make_tensor_value_info("number", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Abs", ["number"], ["result"])
    opset = onnx.helper.make_opsetid("", 19)
    made = onnx.helper.make_graph([node], "other", [number], [result])
    onnx.save(onnx.helper.make_model(made, opset_imports=[opset], ir_version=9), graph)
    write_sidecar(graph)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without_graph, "no such graph; make one with: tremorscope export"),
        (without_sidecar, "has no sidecar copy.onnx.json, so nothing vouches for it"),
        (with_another_version, "is not a sidecar of a graph, or of another version"),
        (with_one_byte_changed, "the file was changed or cut short: copy both again"),
        (cut_short, "the file was changed or cut short: copy both again"),
        (no_onnx, f"ONNX Runtime {onnxruntime.__version__} cannot load it"),
        (other_inputs, "is not a streaming graph (its inputs are number)"),
    ],
)
def test_a_graph_that_cannot_be_used_is_told_in_one_sentence(
    copy: Path, spoil: Callable[[Path], None], told: str
) -> None:
    spoil(copy)
    with pytest.raises(Failure) as failure:
        OnnxRuntimeEngine(copy)
    sentence = str(failure.value)
    assert sentence.startswith((f"{copy}: ", f"{sidecar_path(copy)}: "))
    assert told in sentence
    assert "tremorscope export" in sentence
    assert "\n" not in sentence


class GpuSession(onnxruntime.InferenceSession):  # type: ignore[misc]
    """Stands for an onnxruntime that was built for a GPU: it loads ``loads`` of what is asked."""

    loads: tuple[str, ...] = ()
    asked: ClassVar[list[Any]] = []

    def __init__(self, graph: bytes, options: Any, providers: list[Any]) -> None:
        self.asked[:] = providers
        super().__init__(graph, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        return [*self.loads, "CPUExecutionProvider"]


TENSORRT, CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"


@pytest.mark.parametrize(
    ("offered", "loads", "told"),
    [
        ((CUDA,), (CUDA,), "on CUDA, else the processor"),
        ((CUDA, TENSORRT), (TENSORRT, CUDA), "on TensorRT, else CUDA, else the processor"),
        ((CUDA, TENSORRT), (CUDA,), "on CUDA, else the processor (TensorRT did not load)"),
        ((TENSORRT, CUDA), (), "on the processor (TensorRT and CUDA did not load)"),
        (("AzureExecutionProvider",), (), "on the processor"),
    ],
)
def test_it_takes_a_gpu_where_onnx_runtime_has_one_and_says_what_runs(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    offered: tuple[str, ...],
    loads: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: [*offered, "CPUExecutionProvider"]
    )
    monkeypatch.setattr(GpuSession, "loads", loads)
    monkeypatch.setattr(onnxruntime, "InferenceSession", GpuSession)
    engine = shipped()
    assert engine.description.endswith(f" {told}")
    *gpu, last = GpuSession.asked
    assert [name for name, _ in gpu] == [name for name in (TENSORRT, CUDA) if name in offered]
    assert last == "CPUExecutionProvider"
    if TENSORRT in offered:
        # Without a cache it would compile the graph at every start.
        assert gpu[0][1]["trt_engine_cache_enable"]
        assert gpu[0][1]["trt_engine_cache_path"] == str(tmp_path)


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_a_provider_that_does_not_load_leaves_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"]
    )
    engine = shipped()
    assert engine.description.endswith(" on the processor (CUDA did not load)")
    assert engine.step(picture(), 1.0, AT_ONCE).shape == (32, 48, 3)


def test_it_may_be_closed_twice() -> None:
    engine = shipped()
    engine.step(picture(), 1.0, AT_ONCE)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="was closed"):
        engine.step(picture(), 1.0, AT_ONCE)
