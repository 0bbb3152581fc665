"""How fast networks run on this machine, in one process of ONNX Runtime."""

import statistics
import time
from collections.abc import Mapping

import onnxruntime
import torch
from torch import Tensor, nn

from magnifier.networks import Magnifier
from magnifier.onnx_export import exported

RUNS = 7


class _Frame(nn.Module):
    """One frame, whose reference was encoded before."""

    def __init__(self, network: Magnifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor, reference: Tensor, gain: Tensor) -> Tensor:
        current = self.network.encode(frame)
        return self.network.magnify(current, current.features - reference, gain)[0]


def frame_s(networks: Mapping[str, Magnifier], size_px: int) -> dict[str, float]:
    """Median seconds a frame of ``size_px`` x ``size_px``, measured in turns."""
    prepared = {name: _session(network, size_px) for name, network in networks.items()}
    taken: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(RUNS + 1):
        for name, (session, feeds) in prepared.items():
            begun = time.perf_counter()
            session.run(None, feeds)
            taken[name].append(time.perf_counter() - begun)
    # The first run of each warms it up.
    return {name: statistics.median(each[1:]) for name, each in taken.items()}


def _session(
    network: Magnifier, size_px: int
) -> tuple[onnxruntime.InferenceSession, dict[str, object]]:
    frame = torch.rand(1, 3, size_px, size_px) * 2 - 1
    with torch.inference_mode():
        reference = network.encode(frame).features
    arguments = (frame, reference, torch.full((1, 1, 1, 1), 10.0))
    graph = exported(
        _Frame(network).eval(),
        arguments,
        inputs=("frame", "reference", "gain"),
        outputs=("magnified",),
    )
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_inputs()]
    return session, {name: each.numpy() for name, each in zip(names, arguments, strict=True)}
