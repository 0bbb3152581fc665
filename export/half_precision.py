"""A graph in which everything behind the temporal filter multiplies in half precision.

Encoder and filter stay in float32: what they hand on are small differences of large numbers. So do the
solution for the motion, the places that are sampled (half precision has steps of half a pixel at the
right border of a wide picture), and the blending of the result.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FILTERED = ("fast_next", "slow_next")
DATA_INPUTS = {
    "Concat": None,
    "DepthToSpace": (0,),
    "Pad": (0, 2),
    "Relu": (0,),
    "Resize": (0,),
    "Slice": (0,),
    "Split": (0,),
}
"""What only moves or cuts values goes on in their precision; its inputs that are values, None for all."""


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` (float32) for which TensorRT, strongly typed, uses half precision."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    casts = _Casts(model.graph)
    before_filter = ancestors(model.graph, FILTERED)
    convolved: set[str] = set()
    for node in list(model.graph.node):
        places = _places(node, casts.half, convolved, before_filter)
        for place in range(len(node.input)):
            if place in places:
                casts.want_half(node, place)
            elif node.input[place] in casts.half:
                casts.want_float(node, place)
        if places:
            casts.half.update(node.output)
        if places and node.op_type == "Conv":
            convolved.update(node.output)
        casts.nodes.append(node)
    for output in model.graph.output:
        assert output.name not in casts.half, f"{output.name} would change its type"
    casts.finish()
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def ancestors(graph: onnx.GraphProto, names: tuple[str, ...]) -> set[str]:
    """The outputs of every node that the tensors ``names`` depend on."""
    makers = {output: node for node in graph.node for output in node.output}
    found: set[str] = set()
    waiting = [name for name in names if name in makers]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [source for source in makers[name].input if source in makers]
    return found


def _places(
    node: onnx.NodeProto, half: set[str], convolved: set[str], before_filter: set[str]
) -> tuple[int, ...]:
    """Which inputs of ``node`` are to be in half precision; none where it stays in float32."""
    every = tuple(range(len(node.input)))
    if node.op_type == "Conv":
        return () if node.output[0] in before_filter else every
    if node.op_type == "Add":
        # A sum with what a convolution gives is fused into it, in its precision.
        return every if convolved.intersection(node.input) else ()
    if node.op_type not in DATA_INPUTS:
        return ()
    places = DATA_INPUTS[node.op_type] or every
    return places if all(node.input[place] in half for place in places[:1]) else ()


class _Casts:
    """Puts casts where precisions meet, one for each tensor, and converts constants."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {each.name: each for each in graph.initializer}
        self._made: set[str] = set()
        self.half: set[str] = set()
        """Names of the tensors that are in half precision."""
        self.nodes: list[onnx.NodeProto] = []

    def want_half(self, node: onnx.NodeProto, place: int) -> None:
        name = node.input[place]
        if not name or name in self.half:
            return
        node.input[place] = f"{name}.half"
        if name not in self._constants:
            self._cast(name, f"{name}.half", TensorProto.FLOAT16)
        elif f"{name}.half" not in self._made:
            values = numpy_helper.to_array(self._constants[name]).astype(np.float16)
            self._graph.initializer.append(numpy_helper.from_array(values, f"{name}.half"))
            self._made.add(f"{name}.half")

    def want_float(self, node: onnx.NodeProto, place: int) -> None:
        name = node.input[place]
        node.input[place] = f"{name}.float"
        self._cast(name, f"{name}.float", TensorProto.FLOAT)

    def _cast(self, name: str, result: str, to: int) -> None:
        if result not in self._made:
            self.nodes.append(helper.make_node("Cast", [name], [result], name=result, to=to))
            self._made.add(result)

    def finish(self) -> None:
        """Hand the nodes to the graph, without constants that nothing uses any more."""
        del self._graph.node[:]
        self._graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        kept = [each for each in self._graph.initializer if each.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)
