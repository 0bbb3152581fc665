"""Whether TensorRT can fuse every Q/DQ pair of a graph; ONNX Runtime would run the graph either way."""

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from export.eight_bits import layer_name

LEAST_CHANNELS = 16
"""TensorRT's eight-bit kernels pad fewer channels, and lose what eight bits win."""


def faults(
    model: onnx.ModelProto, layers: Collection[str], *, rounded_stream: bool = False
) -> list[str]:
    """One sentence for each thing that keeps TensorRT from fusing, or that its parser refuses.

    ``layers`` are those that are to be in eight bits, and no others. Only where a network was trained so
    (``rounded_stream``) may sums read rounded values.
    """
    return list(_Linter(model.graph, layers, rounded_stream).faults())


class _Linter:
    def __init__(
        self, graph: onnx.GraphProto, layers: Collection[str], rounded_stream: bool
    ) -> None:
        self._layers = layers
        self._rounded_stream = rounded_stream
        self._found: set[str] = set()
        self._nodes = list(graph.node)
        self._constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def faults(self) -> Iterator[str]:
        for node in self._nodes:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                yield from self._of_pair(node)
            if node.op_type == "Conv":
                yield from self._of_convolution(node)
        for layer in sorted(set(self._layers) - self._found):
            yield f"{layer}: is not in eight bits"

    def _of_pair(self, node: onnx.NodeProto) -> Iterator[str]:
        if len(node.input) != 3:
            yield f"{node.input[0]}: has no zero point, so its codes are uint8; only int8 has kernels"
            return
        source, scale_name, zero_name = node.input
        scale, zero = self._constants[scale_name], self._constants[zero_name]
        if zero.dtype != np.int8:
            yield f"{source}: codes are {zero.dtype}, only int8 has kernels"
        if zero.any():
            yield f"{source}: has a zero point, which TensorRT refuses"
        if scale.dtype != np.float16:
            yield f"{source}: its scale is {scale.dtype}, so what follows would not be half precision"
        if source in self._constants:
            axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
            if axes != [0]:
                yield f"{source}: weights have one scale for each output channel, on axis 0"
        elif scale.ndim:
            yield f"{source}: what flows has one scale, not one for each channel"
        if node.op_type == "QuantizeLinear":
            for reader in self._readers.get(node.output[0], []):
                if reader.op_type != "DequantizeLinear":
                    yield f"{source}: is read as codes by a {reader.op_type}"
        else:
            readers = {reader.op_type for reader in self._readers.get(node.output[0], [])}
            if not readers <= ({"Conv", "Add"} if self._rounded_stream else {"Conv"}):
                yield f"{source}: rounded values flow past the convolution they were rounded for"

    def _of_convolution(self, node: onnx.NodeProto) -> Iterator[str]:
        dequantised = [self._is_dequantised(name) for name in node.input]
        if dequantised[2:] == [True]:
            yield f"{node.output[0]}: its bias is dequantised, which TensorRT's parser refuses"
        if dequantised[0] != dequantised[1]:
            yield f"{node.output[0]}: only one of input and weights is in eight bits"
        readers = self._readers.get(node.output[0], [])
        if any(dequantised[:2]):
            layer = _layer(node)
            self._found.add(layer)
            if layer not in self._layers:
                yield f"{layer}: is in eight bits, and is to stay in half precision"
        if dequantised[0]:
            if any(reader.op_type == "QuantizeLinear" for reader in readers):
                yield f"{node.output[0]}: is rounded before the ReLU or sum that follows is fused"
            if dequantised[1]:
                weights = self._constants[self._makers[node.input[1]].input[0]]
            if dequantised[1] and weights.shape[1] < LEAST_CHANNELS:
                yield f"{node.output[0]}: has {weights.shape[1]} channels, too few for eight bits"

    def _is_dequantised(self, name: str) -> bool:
        return name in self._makers and self._makers[name].op_type == "DequantizeLinear"


def _layer(node: onnx.NodeProto) -> str:
    """By its weights, which ``in_eight_bits`` has renamed."""
    return layer_name(node).removesuffix(".weight_coarse")
