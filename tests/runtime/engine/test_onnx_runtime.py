import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail
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


TENSORRT, CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"


class GpuSession(onnxruntime.InferenceSession):  # type: ignore[misc]
    """Stands for an onnxruntime that was built for a GPU, and computes on the processor.

    It loads ``loads`` of what is asked; ``breaks`` cannot be set up at all, and at frame ``stops_at``
    the GPU fails, as ONNX Runtime's own code then sees it.
    """

    loads: ClassVar[tuple[str, ...]] = ()
    breaks: ClassVar[dict[str, Exception]] = {}
    stops_at: ClassVar[int | None] = None
    asked: ClassVar[list[Any]] = []

    def _create_inference_session(
        self, providers: list[Any], _: Any, disabled_optimizers: Any = None
    ) -> None:
        names = [each if isinstance(each, str) else each[0] for each in providers]
        self.asked.append(providers)
        for name in names:
            if name in self.breaks:
                raise self.breaks[name]
        super()._create_inference_session(["CPUExecutionProvider"], None, disabled_optimizers)
        self._fallback_providers = ["CPUExecutionProvider"]
        self.loaded = [name for name in names if name in (*self.loads, "CPUExecutionProvider")]
        stops_at = None if self.loaded == names[-1:] else self.stops_at
        self._sess = GpuRun(self._sess, stops_at)  # type: ignore[has-type]

    def get_providers(self) -> list[str]:
        return self.loaded


class GpuRun:
    """The session in C++, below ONNX Runtime's Python."""

    def __init__(self, session: Any, stops_at: int | None) -> None:
        self._session, self._stops_at, self._frame = session, stops_at, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        self._frame += 1
        if self._frame - 1 == self._stops_at:
            raise EPFail("[ONNXRuntimeError] : 11 : EP_FAIL : CUDA failure 700\nand more")
        return self._session.run(*arguments)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Says what onnxruntime offers, and of that loads, breaks and stops."""

    def offer(*offered: str, **changed: Any) -> None:
        monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
        available = [*offered, "CPUExecutionProvider"]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
        for name, value in ({"loads": offered, "asked": []} | changed).items():
            monkeypatch.setattr(GpuSession, name, value)
        monkeypatch.setattr(onnxruntime, "InferenceSession", GpuSession)

    return offer


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
    gpu: Callable[..., None],
    tmp_path: Path,
    offered: tuple[str, ...],
    loads: tuple[str, ...],
    told: str,
) -> None:
    gpu(*offered, loads=loads)
    engine = shipped()
    assert engine.description.endswith(f" {told}")
    ((*asked, last),) = GpuSession.asked
    assert [name for name, _ in asked] == [name for name in (TENSORRT, CUDA) if name in offered]
    assert last == "CPUExecutionProvider"
    if TENSORRT in offered:
        # Without a cache it would compile the graph at every start.
        assert asked[0][1]["trt_engine_cache_enable"]
        assert asked[0][1]["trt_engine_cache_path"] == str(tmp_path)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensorrt_keeps_to_the_precisions_in_the_graph(
    gpu: Callable[..., None], copy: Path, precision: str
) -> None:
    """Its provider builds strongly typed only while neither option is on."""
    write_sidecar(copy, precision=precision)
    gpu(TENSORRT)
    OnnxRuntimeEngine(copy, threads=1)
    (((_, options), _),) = GpuSession.asked
    assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == (False, False)


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        ((TENSORRT,), "on CUDA, else the processor (TensorRT failed: no plan)"),
        ((CUDA,), "on the processor (TensorRT failed: no plan; CUDA failed: no plan)"),
        ((TENSORRT, CUDA), "on the processor (TensorRT failed: no plan; CUDA failed: no plan)"),
    ],
)
@pytest.mark.parametrize("kind", [EPFail, RuntimeError])
def test_where_a_provider_fails_at_the_start_the_next_one_is_taken_and_that_is_told(
    gpu: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    breaks: tuple[str, ...],
    told: str,
    kind: type[Exception],
) -> None:
    gpu(TENSORRT, CUDA, breaks={name: kind("no plan\nand more") for name in breaks})
    engine = shipped()
    assert engine.description.endswith(f" {told}")
    assert "TensorRT failed: no plan" in caplog.text
    assert capsys.readouterr().out == ""  # ONNX Runtime prints when it changes by itself
    assert engine.step(picture(), 1.0, AT_ONCE).shape == (32, 48, 3)


def test_where_the_gpu_fails_at_a_frame_it_stops_and_changes_to_nothing(
    gpu: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    gpu(CUDA, stops_at=1)
    engine = shipped()
    engine.step(picture(), 1.0, AT_ONCE)
    with pytest.raises(Failure) as failure:
        engine.step(picture(), 20.0, BAND)
    assert str(failure.value) == (
        f"{SHIPPED}: ONNX Runtime cannot magnify a frame ([ONNXRuntimeError] : 11 : EP_FAIL : CUDA "
        "failure 700); start tremorscope again, and if that does not help, look for the GPU's driver "
        "in: sudo dmesg"
    )
    assert len(GpuSession.asked) == 1
    assert capsys.readouterr().out == ""


def test_the_graph_that_was_checked_is_loaded(monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    """Somebody changes the file just after it was read."""
    read = Path.read_bytes

    def spoiling(path: Path) -> bytes:
        content = read(path)
        if path == copy:
            copy.write_bytes(b"another graph")
        return content

    monkeypatch.setattr(Path, "read_bytes", spoiling)
    assert OnnxRuntimeEngine(copy, threads=1).step(picture(), 1.0, AT_ONCE).shape == (32, 48, 3)


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
