"""A half-precision graph in which chosen convolutions work in eight bits.

One QuantizeLinear/DequantizeLinear pair stands right before each such convolution and another on its
weights, and nowhere else. So every skip connection adds what it had before rounding: the residual stream
stays in half precision, which costs almost no quality, where rounding it at each of many blocks costs
most of it. TensorRT fuses convolution, ReLU and the next pair into one eight-bit layer, but not across
the Pad that the baseline has between them.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from failure import Failure

LARGEST = 127
SMALLEST_SCALE = float(np.finfo(np.float16).smallest_normal)
"""Smaller scales would be denormal numbers, which some hardware takes for zero."""


def layer_name(node: onnx.NodeProto) -> str:
    """ "decoder.3.first" of the convolution whose weights are "network.decoder.3.first.weight"."""
    name: str = node.input[1].removesuffix(".half")
    return name.removeprefix("network.").removesuffix(".weight")


def deep_layers(model: onnx.ModelProto) -> list[str]:
    """The convolutions of the decoder's residual blocks, which are most of the work."""
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    names = [layer_name(node) for node in convolutions]
    return [name for name in names if name.startswith("decoder.")]


def in_eight_bits(
    model: onnx.ModelProto, reaches: Mapping[str, float], *, rounded_stream: bool = False
) -> onnx.ModelProto:
    """A copy of ``model`` (of ``halved``) with the layers that ``reaches`` names in eight bits.

    ``reaches`` has, by layer, the absolute value that its input's scale reaches; more is clipped. With
    ``rounded_stream``, blocks add to what their first convolution reads, as networks learn to bear that
    were fine-tuned in eight bits.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    constants = {each.name: each for each in graph.initializer}
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, values: NDArray[np.generic]) -> str:
        graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    for node in graph.node:
        if node.op_type == "Conv" and layer_name(node) in reaches:
            layer = layer_name(node)
            scale = _scale(np.array(reaches[layer]))
            pair = [
                constant(f"{layer}.scale", scale),
                constant(f"{layer}.zero", np.array(0, np.int8)),
            ]
            codes, coarse = f"{layer}.input_codes", f"{layer}.input_coarse"
            nodes.append(helper.make_node("QuantizeLinear", [node.input[0], *pair], [codes]))
            nodes.append(helper.make_node("DequantizeLinear", [codes, *pair], [coarse]))
            weight = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
            scales = _scale(np.abs(weight).max(axis=(1, 2, 3)))
            levels = np.rint(weight / scales.astype(np.float64)[:, None, None, None])
            levels = levels.clip(-LARGEST, LARGEST).astype(np.int8)
            weights = [
                constant(f"{layer}.weight_codes", levels),
                constant(f"{layer}.weight_scales", scales),
                constant(f"{layer}.weight_zeros", np.zeros(len(scales), np.int8)),
            ]
            nodes.append(
                helper.make_node("DequantizeLinear", weights, [f"{layer}.weight_coarse"], axis=0)
            )
            node.input[0], node.input[1] = coarse, f"{layer}.weight_coarse"
        nodes.append(node)
    if rounded_stream and _add_to_what_is_read(nodes) != len(reaches) // 2:
        raise Failure(
            "an eight-bit stream is not to be had: the convolutions of this network's blocks read a padded "
            "copy of the stream, so its sums cannot read what they read; export the weights that these "
            "were fine-tuned from"
        )
    used = {name for node in nodes for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def _add_to_what_is_read(nodes: list[onnx.NodeProto]) -> int:
    """Every sum takes the rounded tensor where its block's first convolution does; how many do now."""
    changed = 0
    rounded = {
        node.input[0]: node.output[0].replace(".input_codes", ".input_coarse")
        for node in nodes
        if node.op_type == "QuantizeLinear" and node.output[0].endswith(".first.input_codes")
    }
    for node in nodes:
        if node.op_type == "Add":
            for place, name in enumerate(node.input):
                if name in rounded:
                    node.input[place] = rounded[name]
                    changed += 1
    return changed


def _scale(reach: NDArray[np.float64]) -> NDArray[np.float16]:
    scale: NDArray[np.float16] = np.maximum(reach / LARGEST, SMALLEST_SCALE).astype(np.float16)
    return scale
