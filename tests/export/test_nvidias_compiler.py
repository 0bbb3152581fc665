"""The released networks through NVIDIA's own compiler, which needs no GPU to build for one.

It is TensorRT-RTX: a parser, type check and compiler for GPUs of desktops, so its plans run on no
Jetson. It shows what a graph's layers compute in; it chooses no kernels, and so says nothing about
their speed. Into an INT8 convolution it fuses no ReLU, which TensorRT on a Jetson may well do.
"""

import importlib
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fake_builders import DEVICE, nvidias_compiler
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from released_graphs import NETWORKS, traced_graph
from rich.console import Console

from calibration import ranges
from export.artifact import Precision, Sidecar, checked_engine, sha256, write_sidecar
from export.build_progress import BuildProgress
from export.commands import released_ranges
from export.eight_bits import deep_layers, layer_name
from export.engine_builder import Built, Wanted, build
from export.engine_layers import holding, precision_of
from export.half_precision import ancestors
from export.onnx_graph import in_precision, simplified
from failure import Failure

if platform.machine() != "x86_64":
    pytest.skip("tensorrt_rtx has wheels for x86_64 only", allow_module_level=True)
tensorrt_rtx: Any = importlib.import_module("tensorrt_rtx")
pytestmark = [
    # It times nothing, so its timing caches are shells; the calls are those of TensorRT.
    pytest.mark.filterwarnings("ignore:.*Timing cache:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Use del obj instead:DeprecationWarning"),
]

SIZES_PX = [(640, 360), (1280, 720), (1920, 1080)]
BEYOND_PX = (3840, 2160)


@cache
def simplified_graph(network: str, size_px: tuple[int, int]) -> onnx.ModelProto:
    streaming, model = traced_graph(network)
    return simplified(model, streaming, size_px)


def of_one_size(
    network: str, size_px: tuple[int, int], precision: Precision = "fp32"
) -> onnx.ModelProto:
    """The graph of a released network, as export makes it."""
    measured = None if precision != "int8" else ranges.read(released_ranges(network))
    return in_precision(simplified_graph(network, size_px), precision, measured)


def store(
    folder: Path, model: onnx.ModelProto | bytes, wanted: Wanted, precision: Precision
) -> Path:
    path = wanted.graph(folder, precision)
    folder.mkdir(exist_ok=True)
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    sidecar = Sidecar(
        sha256=sha256(path),
        network=wanted.network,
        precision=precision,
        size_px=wanted.size_px,
        state_channels=32,
        state_stride=4,
        weights_sha256="0" * 64,
        tool_version="0",
    )
    write_sidecar(path, sidecar)
    return path


def built(folder: Path, wanted: Wanted, console: Console | None = None) -> Built:
    return build(
        nvidias_compiler(tensorrt_rtx),
        DEVICE,
        wanted,
        folder / "graphs",
        folder / "engines",
        BuildProgress(console or Console(file=StringIO())),
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("size_px", SIZES_PX, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_released_network_becomes_an_engine_of_every_precision(
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    network: str,
    size_px: tuple[int, int],
    precision: Precision,
) -> None:
    wanted = Wanted(network, size_px, precision)
    model = of_one_size(network, size_px, precision)
    store(tmp_path / "graphs", model, wanted, precision)
    result = built(tmp_path, wanted)
    record_property("build_s", result.sidecar.build_s)
    assert checked_engine(result.path).fallbacks == ()
    assert "TF32" not in result.sidecar.builder_flags
    layers = result.plan.layers
    filtering = ancestors(model.graph, ("fast_next", "slow_next"))
    deep = set(deep_layers(traced_graph(network)[1]))
    assert len(deep) == 2 * traced_graph(network)[0].network.blocks
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        computed: Precision = "fp16" if precision != "fp32" else "fp32"
        if node.output[0] in filtering:
            computed = "fp32"
        elif node.input[0].endswith(".input_coarse"):
            computed = "int8"
            deep.discard(node.input[0].removesuffix(".input_coarse"))
        assert precision_of(layers, node.name) == computed, node.name
    assert precision != "int8" or not deep  # every convolution of the deep decoder


def test_a_size_beyond_full_hd_is_built_as_well(tmp_path: Path) -> None:
    wanted = Wanted("twofold", BEYOND_PX, "int8")
    store(tmp_path / "graphs", of_one_size("twofold", BEYOND_PX, "int8"), wanted, "int8")
    result = built(tmp_path, wanted)
    assert checked_engine(result.path).size_px == BEYOND_PX
    assert result.sidecar.convolutions["int8"] == len(deep_layers(traced_graph("twofold")[1]))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_block_is_fused(tmp_path: Path, network: str) -> None:
    """A convolution with its ReLU, and another with the addition."""
    wanted = Wanted(network, (640, 360), "fp32")
    model = of_one_size(network, wanted.size_px)
    store(tmp_path / "graphs", model, wanted, "fp32")
    layers = built(tmp_path, wanted).plan.layers
    for node in model.graph.node:
        if node.op_type == "Conv" and layer_name(node).startswith("decoder."):
            (layer,) = holding(layers, node.name)
            follows = "add" if layer_name(node).endswith(".second") else "relu"
            assert any(follows in name for name in layer.nodes)


def graph_of(nodes: list[Any], inputs: Any, outputs: Any, constants: Any = ()) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def quantised_block() -> onnx.ModelProto:
    """Two INT8 convolutions with FP16 scales; the skip connection stays in FP16."""
    channels = 32
    draw = np.random.default_rng(1)
    constants: dict[str, NDArray[np.generic]] = {
        "scale": np.array(0.02, np.float16),
        "zero": np.array(0, np.int8),
        "scales": np.full(channels, 0.01, np.float16),
        "zeros": np.zeros(channels, np.int8),
        "bias": np.zeros(channels, np.float16),
    }
    nodes = [helper.make_node("Cast", ["x"], ["half"], name="first", to=TensorProto.FLOAT16)]
    reads = "half"
    for at in "ab":
        weights = draw.integers(-127, 127, (channels, channels, 3, 3))
        constants[f"weights_{at}"] = weights.astype(np.int8)
        scaled = ["scale", "zero"]
        nodes += [
            helper.make_node(
                "QuantizeLinear", [reads, *scaled], [f"q_{at}"], name=f"quantize_{at}"
            ),
            helper.make_node(
                "DequantizeLinear", [f"q_{at}", *scaled], [f"dq_{at}"], name=f"dequantize_{at}"
            ),
            helper.make_node(
                "DequantizeLinear",
                [f"weights_{at}", "scales", "zeros"],
                [f"w_{at}"],
                name=f"dequantize_weights_{at}",
                axis=0,
            ),
            helper.make_node(
                "Conv",
                [f"dq_{at}", f"w_{at}", "bias"],
                [f"sum_{at}"],
                name=f"conv_{at}",
                pads=[1] * 4,
            ),
            helper.make_node("Relu", [f"sum_{at}"], [f"relu_{at}"], name=f"relu_{at}"),
        ]
        reads = f"relu_{at}"
    nodes += [
        helper.make_node("Add", ["sum_b", "half"], ["added"], name="skip"),
        helper.make_node("Cast", ["added"], ["y"], name="last", to=TensorProto.FLOAT),
    ]
    nodes = [node for node in nodes if node.name != "relu_b"]
    shape = [1, channels, 36, 64]
    return graph_of(
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )


def operator(name: str, data_type: int, **attributes: Any) -> onnx.ModelProto:
    """A graph of one node."""
    out_shape = [1] if name == "Det" else [3, 1, 3]
    return graph_of(
        [helper.make_node(name, ["x"], ["y"], name="the_node", **attributes)],
        [helper.make_tensor_value_info("x", data_type, [1, 3, 3])],
        [helper.make_tensor_value_info("y", data_type, out_shape)],
    )


def test_convolutions_between_q_and_dq_compute_in_int8(tmp_path: Path) -> None:
    wanted = Wanted("block", (64, 36), "int8")
    store(tmp_path / "graphs", quantised_block(), wanted, "int8")
    result = built(tmp_path, wanted)
    assert sorted(result.plan.convolutions) == ["conv_a", "conv_b"]
    for at in "ab":
        assert precision_of(result.plan.layers, f"conv_{at}") == "int8"
        (layer,) = (
            each for each in holding(result.plan.layers, f"conv_{at}") if "int8" in each.inputs
        )
        assert {f"dequantize_{at}", f"dequantize_weights_{at}"} < set(layer.nodes)
    (skip,) = holding(result.plan.layers, "skip")
    assert "fp16" in skip.inputs
    assert "int8" not in skip.inputs


def test_an_operator_that_it_does_not_know_falls_back(tmp_path: Path) -> None:
    wanted = Wanted("twofold", (640, 360), "int8")
    whole = of_one_size("twofold", wanted.size_px)
    store(tmp_path / "graphs", operator("Det", TensorProto.FLOAT), wanted, "int8")
    bytes_first = operator("Transpose", TensorProto.UINT8, perm=[2, 0, 1])
    store(tmp_path / "graphs", bytes_first, wanted, "fp16")
    store(tmp_path / "graphs", whole, wanted, "fp32")
    result = built(tmp_path, wanted)
    assert result.sidecar.precision == "fp32"
    first, second = result.sidecar.fallbacks
    assert first == "int8: node the_node [Det]: is not supported"
    assert second.startswith("fp16: node the_node [Transpose]: ")
    assert "UInt8" in second


@pytest.mark.parametrize("length", [0, 0.01, 0.5, 0.99])
def test_a_graph_that_was_cut_short_before_its_sidecar_was_made_is_refused(
    tmp_path: Path, length: float
) -> None:
    wanted = Wanted("twofold", (640, 360), "fp32")
    content = of_one_size("twofold", wanted.size_px).SerializeToString()
    store(tmp_path / "graphs", content[: int(len(content) * length)], wanted, "fp32")
    with pytest.raises(Failure, match=r"fp32: (holds no network|.*Failed to parse)"):
        built(tmp_path, wanted)


def test_a_broken_timing_cache_is_told_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = Wanted("block", (64, 36), "int8")
    store(tmp_path / "graphs", quantised_block(), wanted, "int8")
    built(tmp_path, wanted)
    assert not caplog.records
    (cache,) = (tmp_path / "engines").glob("timing-*.cache")
    whole = cache.read_bytes()
    cache.write_bytes(b"garbage" * 20)
    built(tmp_path, wanted)
    assert "TensorRT cannot use it" in caplog.text
    assert cache.read_bytes() == whole


def test_ctrl_c_stops_the_compiler(tmp_path: Path) -> None:
    wanted = Wanted("block", (64, 36), "int8")
    store(tmp_path / "graphs", quantised_block(), wanted, "int8")

    class Interrupting(StringIO):
        def write(self, text: str) -> int:
            if " of " in text:
                signal.raise_signal(signal.SIGINT)
            return super().write(text)

    with pytest.raises(KeyboardInterrupt):
        built(tmp_path, wanted, Console(file=Interrupting()))
    assert not list((tmp_path / "engines").glob("*.engine"))


def test_a_process_that_is_killed_while_it_compiles_leaves_the_old_engine(tmp_path: Path) -> None:
    wanted = Wanted("twofold", (640, 360), "fp32")
    model = of_one_size("twofold", wanted.size_px)
    store(tmp_path / "graphs", model, wanted, "fp32")
    old = built(tmp_path, wanted)
    script = (
        "import sys; from pathlib import Path; from rich.console import Console; "
        "from test_nvidias_compiler import Wanted, built; "
        "built(Path(sys.argv[1]), Wanted('twofold', (640, 360), 'fp32'), Console())"
    )
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-u", "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).resolve().parents[2]}"},
    )
    assert child.stdout is not None
    line = next(line for line in child.stdout if " of " in line)  # the compiler is at work
    child.kill()
    assert child.wait() == -signal.SIGKILL, line
    child.stdout.close()
    assert checked_engine(old.path) == old.sidecar
    new = built(tmp_path, wanted)
    assert checked_engine(new.path) == new.sidecar
