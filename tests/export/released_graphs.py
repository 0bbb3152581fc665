"""The released networks, each traced once for all tests: tracing takes long."""

from functools import cache

import onnx

from export.onnx_graph import traced
from export.streaming import StreamingMagnifier
from magnifier import weights

NETWORKS = [path.stem for path in sorted(weights.RELEASED.glob("*.safetensors"))]


@cache
def traced_graph(network: str) -> tuple[StreamingMagnifier, onnx.ModelProto]:
    streaming = StreamingMagnifier(weights.load_network(weights.released(network))).eval()
    return streaming, traced(streaming)
