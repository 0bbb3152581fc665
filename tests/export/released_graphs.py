"""Networks that are traced once for all tests: tracing takes ten seconds, whatever the network."""

import hashlib
from functools import cache

import onnx
import pytest

from export import onnx_graph, quantize
from export.onnx_graph import traced
from export.streaming import StreamingMagnifier
from magnifier import weights

NETWORKS = [path.stem for path in sorted(weights.RELEASED.glob("*.safetensors"))]
_remembered: dict[str, onnx.ModelProto] = {}


@cache
def traced_graph(network: str) -> tuple[StreamingMagnifier, onnx.ModelProto]:
    """A released network."""
    streaming = StreamingMagnifier(weights.load_network(weights.released(network))).eval()
    return streaming, traced(streaming)


def remembered(streaming: StreamingMagnifier) -> onnx.ModelProto:
    """What ``traced`` made of the same network with the same weights, the first time."""
    summed = hashlib.sha256(streaming.network.name.encode())
    for name, tensor in sorted(streaming.state_dict().items()):
        summed.update(name.encode() + tensor.contiguous().numpy().tobytes())
    key = summed.hexdigest()
    if key not in _remembered:
        _remembered[key] = traced(streaming)
    model = onnx.ModelProto()
    model.CopyFrom(_remembered[key])
    return model


@pytest.fixture
def traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports in a test take what an earlier test has traced of the same weights."""
    for module in (onnx_graph, quantize):
        monkeypatch.setattr(module, "traced", remembered)
