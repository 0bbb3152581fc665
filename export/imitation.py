"""Half precision, imitated in float32 for a processor that has none.

ONNX Runtime computes half-precision nodes on the CPU in float32 and leaves out the rounding between
them, at every level of optimisation. What overflows on a GPU, or loses its last bits there, would
therefore look right. Here every value that a GPU stores in half precision is rounded to 11 bits and
becomes infinite beyond 65,504. Sums inside a convolution stay in float32, as tensor cores add; so do
the products of codes and scales in front of an eight-bit convolution, which a GPU never stores.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SPLIT = "imitation.upper_bits"
"""2^13 + 1: x s - (x s - x) keeps the upper 11 of 24 bits (Dekker, Numer. Math. 18, 1971)."""
LARGE, SMALL = "imitation.large", "imitation.small"
"""2^112 and its inverse: 2^16 and more becomes infinite."""
LEAST, MOST = "imitation.least", "imitation.most"
"""What is infinite would become no number while it is rounded."""
CONSTANTS = {
    SPLIT: 2.0**13 + 1,
    LARGE: 2.0**112,
    SMALL: 2.0**-112,
    LEAST: -(2.0**17),
    MOST: 2.0**17,
}
EXACT = ("Concat", "DepthToSpace", "DequantizeLinear", "Pad", "Relu", "Slice", "Split", "Transpose")
"""Give no value that is not there already, or one that is not stored."""


def imitated(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 copy of ``model`` that rounds where it has half precision; itself where it has none."""
    half = _half_tensors(model)
    if not half:
        return model
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
            if attribute.t.data_type == TensorProto.FLOAT16:
                values = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(values, attribute.t.name))
        nodes.append(node)
        if node.op_type in EXACT:
            continue
        for place, name in enumerate(node.output):
            if name in half:
                node.output[place] = f"{name}.unrounded"
                nodes += _rounded(node.output[place], name)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for name, value in CONSTANTS.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    return model


def _half_tensors(model: onnx.ModelProto) -> set[str]:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {
        each.name
        for each in graph.value_info
        if each.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    outside = (*graph.input, *graph.output)
    assert all(each.type.tensor_type.elem_type != TensorProto.FLOAT16 for each in outside)
    return found


def _rounded(source: str, target: str) -> list[onnx.NodeProto]:
    steps = [f"{target}.{step}" for step in ("finite", "split", "lower", "rounded", "large")]
    finite, split, lower, rounded, large = steps
    return [
        helper.make_node("Clip", [source, LEAST, MOST], [finite]),
        helper.make_node("Mul", [finite, SPLIT], [split]),
        helper.make_node("Sub", [split, finite], [lower]),
        helper.make_node("Sub", [split, lower], [rounded]),
        helper.make_node("Mul", [rounded, LARGE], [large]),
        helper.make_node("Mul", [large, SMALL], [target]),
    ]
