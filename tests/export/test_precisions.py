"""Half precision and eight bits: which layers are in what, and that the picture stays."""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from released_graphs import remembered

from export import quantisation
from export.agreement import Agreement
from export.eight_bits import deep_layers, in_eight_bits, layer_name
from export.graph_session import GraphSession, Run
from export.half_precision import ancestors, halved
from export.onnx_graph import moving_texture, simplified
from export.qdq_linter import faults
from export.quantisation import Judgement, collected, excess, expected, judgement, quantised
from export.streaming import StreamingMagnifier
from failure import Failure
from magnifier import networks
from magnifier.evaluation import similarity

NAMES = ("twofold", "proposed", "baseline")
RUNS = [Run(moving_texture((64, 48), 4), gain) for gain in (5.0, 20.0, 10.0, 20.0)]


class Exported:
    """A shallow network's float32 graph, whose last layers move and change something."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(2)
        network = networks.build(name, blocks=2)
        for parameter in network.parameters():
            parameter.data += 0.02 * torch.randn_like(parameter)
        streaming = StreamingMagnifier(network).eval()
        self.stride = network.encoder_stride
        self.model = simplified(remembered(streaming), streaming, None)


@cache
def unspoilt(name: str) -> Exported:
    """For tests that change nothing of it: to export takes seconds."""
    return Exported(name)


@pytest.fixture(params=NAMES)
def exported(request: pytest.FixtureRequest) -> Exported:
    return unspoilt(request.param)


def types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    found = {each.name: each.type.tensor_type.elem_type for each in values}
    return found | {each.name: each.data_type for each in graph.initializer}


def test_behind_the_filter_convolutions_are_in_half_precision(exported: Exported) -> None:
    half = halved(exported.model)
    onnx.checker.check_model(half, full_check=True)
    of = types(half)
    filtering = ancestors(half.graph, ("fast_next", "slow_next"))
    for node in half.graph.node:
        if node.op_type == "Conv":
            full = node.output[0] in filtering
            wanted = TensorProto.FLOAT if full else TensorProto.FLOAT16
            assert {of[name] for name in (*node.input, *node.output)} == {wanted}
        if node.op_type == "GridSample":
            assert {of[name] for name in node.input} == {TensorProto.FLOAT}
    for name in ("fast", "slow", "fast_next", "slow_next"):
        assert of[name] == TensorProto.FLOAT


def test_the_stream_between_blocks_has_no_cast(exported: Exported) -> None:
    nodes = halved(exported.model).graph.node
    seconds = ("decoder.0.second", "decoder.1.second")
    ends = {
        node.output[0] for node in nodes if node.op_type == "Conv" and layer_name(node) in seconds
    }
    sums = {node.output[0] for node in nodes if ends.intersection(node.input)}
    assert len(sums) == 2
    assert not any(node.op_type == "Cast" and node.input[0] in sums for node in nodes)


def test_half_precision_shows_the_same_picture(exported: Exported) -> None:
    exact = GraphSession(exported.model, exported.stride)
    found = judgement(expected(exact, RUNS), GraphSession(halved(exported.model), exported.stride))
    assert found.ssim > 0.999
    assert found.gain_error < 0.002


def test_every_deep_convolution_is_in_eight_bits_and_nothing_else(exported: Exported) -> None:
    half = halved(exported.model)
    deep = deep_layers(half)
    assert len(deep) == 4
    coarse = in_eight_bits(half, dict.fromkeys(deep, 3.0))
    onnx.checker.check_model(coarse, full_check=True)
    assert faults(coarse, deep) == []
    makers = {name: node for node in coarse.graph.node for name in node.output}
    convolutions = [node for node in coarse.graph.node if node.op_type == "Conv"]
    fed = [node for node in convolutions if node.input[0].endswith("input_coarse")]
    assert len(fed) == 4
    assert len(convolutions) > 4
    for node in fed:
        assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
    # The stream past the blocks is never rounded: a sum reads what stood before the pair.
    for node in coarse.graph.node:
        if node.op_type == "Add":
            assert not any(name.endswith("input_coarse") for name in node.input)


def test_rounding_is_what_the_scales_say() -> None:
    exported = unspoilt("twofold")
    half = halved(exported.model)
    coarse = in_eight_bits(half, {"decoder.1.first": 2.54})
    constants = {each.name: numpy_helper.to_array(each) for each in coarse.graph.initializer}
    assert constants["decoder.1.first.scale"] == np.float16(0.02)
    codes, scales = (constants[f"decoder.1.first.weight_{part}"] for part in ("codes", "scales"))
    weight = next(
        numpy_helper.to_array(each)
        for each in exported.model.graph.initializer
        if each.name == "network.decoder.1.first.weight"
    )
    assert np.abs(codes).max(axis=(1, 2, 3)).min() >= 126
    off = np.abs(codes * scales.astype(np.float64)[:, None, None, None] - weight)
    assert (off <= 0.6 * scales.astype(np.float64)[:, None, None, None]).all()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ("zero", "zero point"),
        ("unsigned", "uint8"),
        ("float", "float32"),
        ("stream", "flow past"),
        ("relu", "rounded before the ReLU"),
        ("none", "no zero point"),
        ("channels", "one scale, not one for each channel"),
        ("axis", "on axis 0"),
        ("codes", "is read as codes by a Cast"),
        ("bias", "its bias is dequantised"),
        ("one side", "only one of input and weights"),
        ("few", "has 8 channels, too few"),
        ("missing", "decoder.1.second: is not in eight bits"),
        ("head", "redraw: is in eight bits, and is to stay"),
    ],
)
def test_what_tensorrt_would_not_fuse_is_found(spoil: str, complaint: str) -> None:
    half = halved(unspoilt("proposed").model)
    deep = deep_layers(half)
    eight = {"missing": deep[:-1], "head": [*deep, "redraw"]}.get(spoil, deep)
    coarse = in_eight_bits(half, dict.fromkeys(eight, 3.0))
    graph = coarse.graph
    constants = {each.name: each for each in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    first = makers["decoder.0.first.input_codes"]
    convolution = next(
        n for n in graph.node if n.op_type == "Conv" and "decoder.0.first.input_coarse" in n.input
    )
    if spoil in ("missing", "head"):
        pass
    elif spoil == "none":
        del first.input[2]
    elif spoil == "channels":
        scales = np.full(32, 0.1, np.float16)
        constants["decoder.0.first.scale"].CopyFrom(
            numpy_helper.from_array(scales, "decoder.0.first.scale")
        )
    elif spoil == "axis":
        makers["decoder.0.first.weight_coarse"].attribute[0].i = 1
    elif spoil == "codes":
        graph.node.append(helper.make_node("Cast", [first.output[0]], ["c"], to=TensorProto.FLOAT))
    elif spoil == "bias":
        convolution.input[2] = "decoder.1.first.input_coarse"
    elif spoil == "one side":
        convolution.input[0] = first.input[0]
    elif spoil == "few":
        name = "decoder.0.first.weight_codes"
        narrow = numpy_helper.to_array(constants[name])[:, :8].copy()
        constants[name].CopyFrom(numpy_helper.from_array(narrow, name))
    elif spoil in ("zero", "unsigned", "float"):
        name = "decoder.0.first.scale" if spoil == "float" else "decoder.0.first.zero"
        values: dict[str, NDArray[np.generic]] = {
            "zero": np.array(3, np.int8),
            "unsigned": np.array(0, np.uint8),
            "float": np.array(0.1, np.float32),
        }
        constants[name].CopyFrom(numpy_helper.from_array(values[spoil], name))
    elif spoil == "stream":
        source = next(n.input[0] for n in graph.node if "decoder.0.first.input_codes" in n.output)
        add = next(n for n in graph.node if n.op_type == "Add" and source in n.input)
        add.input[list(add.input).index(source)] = "decoder.0.first.input_coarse"
    else:
        pair = ["decoder.0.second.scale", "decoder.0.second.zero"]
        graph.node.append(helper.make_node("QuantizeLinear", [convolution.output[0], *pair], ["c"]))
    assert any(complaint in fault for fault in faults(coarse, deep))


def test_scales_come_from_what_the_layers_saw() -> None:
    exported = unspoilt("twofold")
    reaches = collected(exported.model, exported.stride, RUNS[:2])
    assert set(reaches) == {"entropy", "percentile", "min-max"}
    name = "decoder.1.second"
    node = next(
        each
        for each in exported.model.graph.node
        if each.op_type == "Conv" and layer_name(each) == name
    )
    watched = GraphSession(exported.model, exported.stride, [node.input[0]])
    both = [*RUNS[:2], *(replace(run, gain=4 * run.gain) for run in RUNS[:2])]
    seen = [np.abs(out[node.input[0]]).max() for run in both for out in watched.play(run)]
    assert reaches["min-max"][name] == max(seen)
    assert 0 < reaches["percentile"][name] <= reaches["min-max"][name]
    assert 0 < reaches["entropy"][name] <= 1.01 * reaches["min-max"][name]


def test_scales_that_reach_too_far_for_small_motion_are_made_narrower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exported = unspoilt("twofold")
    right = collected(exported.model, exported.stride, RUNS[::2])
    far = {
        method: {name: 64 * reach for name, reach in found.items()}
        for method, found in right.items()
    }
    monkeypatch.setattr(quantisation, "collected", lambda *_: far)
    found = quantised(exported.model, exported.stride, RUNS, print)
    assert found.divisor == max(quantisation.DIVISORS)
    for name, reach in found.reaches.items():
        assert reach == far[found.method][name] / found.divisor
    assert excess(found.tried[found.method, found.divisor]) < excess(found.tried[found.method, 1])


def test_a_layer_that_eight_bits_ruin_goes_back_to_half_precision() -> None:
    """One channel that is hundreds of times as large takes the steps of all others."""
    exported = Exported("twofold")
    for each in exported.model.graph.initializer:
        values = numpy_helper.to_array(each).copy()
        if each.name == "network.decoder.0.first.bias":
            values[0] += 2000
        elif each.name == "network.decoder.0.second.weight":
            values[:, 0] = 0
            values *= 4
        else:
            continue
        each.CopyFrom(numpy_helper.from_array(values, each.name))
    steps: list[str] = []
    found = quantised(exported.model, exported.stride, RUNS, steps.append)
    assert excess(found.tried[found.method, found.divisor]) > 1
    assert [layer.name for layer in found.returned] == ["decoder.0.second"]
    assert "decoder.0.second" not in found.reaches
    assert excess(found.chosen) <= 1
    assert "without decoder.0.second" in steps


def test_agreement_tells_how_much_of_the_motion_is_shown() -> None:
    random = np.random.default_rng(1)
    frame = random.integers(60, 190, (24, 32, 3)).astype(np.uint8)
    change = random.integers(-40, 40, frame.shape)
    found = Agreement(similarity)
    found.add(frame, (frame + change).astype(np.uint8), (frame + change // 2).astype(np.uint8))
    assert found.frames == 1
    assert found.gain_error == pytest.approx(-0.5, abs=0.02)
    assert found.ssim < 0.99
    assert found.largest_difference == 20


def test_where_the_displacement_is_known_its_error_is_told_in_full() -> None:
    frame = moving_texture((64, 48), 1)[0]
    displacement_px = np.full((1, 2, 12, 16), 9.0)
    found = Agreement()
    found.add(frame, frame, frame, (displacement_px, 0.9 * displacement_px))
    assert found.gain_error == pytest.approx(-0.1)


def test_where_every_layer_is_ruined_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    exported = unspoilt("twofold")
    monkeypatch.setattr(quantisation, "excess", lambda found: 0.5 if found is first else 2.0)
    first: Judgement | None = None

    def counted(*arguments: Any) -> Judgement:
        nonlocal first
        judged = judgement(*arguments)
        first = first or judged
        return judged

    monkeypatch.setattr(quantisation, "judgement", counted)
    with pytest.raises(Failure, match="every layer in eight bits costs too much"):
        quantised(exported.model, exported.stride, RUNS, print)
    monkeypatch.setattr(quantisation, "excess", lambda _: 2.0)
    with pytest.raises(Failure, match="half precision alone changes"):
        quantised(exported.model, exported.stride, RUNS, print)


def test_a_layer_that_nothing_passes_is_neither_noisy_nor_returned() -> None:
    exported = Exported("twofold")
    for each in exported.model.graph.initializer:
        if each.name in ("network.decoder.1.second.weight", "network.decoder.1.second.bias"):
            zeros = np.zeros_like(numpy_helper.to_array(each))
            each.CopyFrom(numpy_helper.from_array(zeros, each.name))
    found = quantised(exported.model, exported.stride, RUNS, print)
    dead = next(layer for layer in found.layers if layer.name == "decoder.1.second")
    assert dead.snr_db == math.inf
    assert dead not in found.returned


def test_a_stream_in_eight_bits_is_refused_where_blocks_read_a_padded_copy() -> None:
    half = halved(unspoilt("baseline").model)
    with pytest.raises(Failure, match="an eight-bit stream is not to be had"):
        in_eight_bits(half, dict.fromkeys(deep_layers(half), 3.0), rounded_stream=True)
