"""Half precision on a processor: rounded and bounded as on a GPU."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from released_graphs import NETWORKS, traced_graph

from export.graph_session import GraphSession
from export.half_precision import halved
from export.imitation import imitated
from export.onnx_graph import simplified
from export.streaming import DISPLACEMENT

COUNT = 4


def through(model: onnx.ModelProto, values: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(imitated(model).SerializeToString())
    (found,) = session.run(None, {"x": values})
    given_back: NDArray[np.float32] = found
    return given_back


def graph(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Of ``x`` in float32, cast to ``half``, and of ``y``, cast from ``end``."""
    ends = (
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["end"], ["y"], to=TensorProto.FLOAT),
    )
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [COUNT]) for name in "xy")
    whole = helper.make_graph([ends[0], *nodes, ends[1]], "graph", [x], [y])
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@given(st.lists(st.floats(-70_000, 70_000, width=32), min_size=COUNT, max_size=COUNT))
def test_values_are_rounded_and_overflow_as_numpy_does_it(values: list[float]) -> None:
    given_values = np.array(values, np.float32)
    found = through(graph(helper.make_node("Relu", ["half"], ["end"])), given_values)
    with np.errstate(over="ignore"):
        expected = np.maximum(given_values.astype(np.float16).astype(np.float32), 0)
    # Below 2^-14 half precision has fewer bits, which is not imitated.
    assert np.allclose(found, expected, rtol=0, atol=2.0**-25)


def test_what_overflows_between_two_nodes_is_not_forgotten() -> None:
    twice = helper.make_node("Add", ["half", "half"], ["sum"])
    back = helper.make_node("Sub", ["sum", "half"], ["end"])
    found = through(graph(twice, back), np.array([1, 30_000, 40_000, 60_000], np.float32))
    assert found.tolist() == [1, 30_000, np.inf, np.inf]


def test_a_graph_without_half_precision_is_left_alone() -> None:
    model = simplified(traced_graph("twofold")[1], traced_graph("twofold")[0], (64, 48))
    assert imitated(model) is model


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("levels", [(0, 255), (255, 0)], ids=["on", "off"])
def test_a_lamp_at_the_largest_gain_leaves_a_picture(network: str, levels: tuple[int, int]) -> None:
    streaming, model = traced_graph(network)
    model = simplified(model, streaming, (64, 48))
    before, after = (np.full((48, 64, 3), level, np.uint8) for level in levels)
    stride = streaming.network.encoder_stride
    exact, half = GraphSession(model, stride), GraphSession(halved(model), stride)
    shown = []
    for session in (exact, half):
        session.begin(before)
        outputs = session.step(after, 500, (1.0, 0.05))
        if DISPLACEMENT in outputs:
            assert np.isfinite(outputs[DISPLACEMENT]).all()
        shown.append(outputs["magnified"].astype(np.float64))
    assert np.abs(shown[0] - shown[1]).mean() < 1
