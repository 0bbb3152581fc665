"""The magnifying networks, by name, and how one is made deeper.

``baseline`` is what the poster starts from (Ha et al., "Revisiting Learning-based Video Motion
Magnification for Real-time Processing", arXiv 2403.01898), ``proposed`` what it arrives at, and
``twofold`` the default here, with another manipulator and head.
"""

import torch
from torch import Tensor

from failure import Failure
from magnifier.networks.baseline import Baseline
from magnifier.networks.proposed import Proposed
from magnifier.networks.protocol import Encoded, Magnifier
from magnifier.networks.quantised import quantised
from magnifier.networks.twofold import Twofold

__all__ = ["NETWORKS", "Encoded", "Magnifier", "build", "deepened", "depth", "quantised"]

NETWORKS: dict[str, type[Twofold | Proposed | Baseline]] = {
    network.name: network for network in (Twofold, Proposed, Baseline)
}


def build(name: str, blocks: int | None = None) -> Magnifier:
    """The network of that name with random weights. Raises Failure for an unknown name."""
    if name not in NETWORKS:
        raise Failure(f'"{name}" is no network of tremorscope; choose from: {", ".join(NETWORKS)}')
    return NETWORKS[name](blocks or NETWORKS[name].blocks)


def depth(tensors: dict[str, Tensor]) -> int:
    """How many decoder blocks the network has that these tensors are of."""
    return 1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("decoder."))


def deepened(network: Magnifier, tensors: dict[str, Tensor]) -> Magnifier:
    """Fill ``network`` with the tensors of a shallower one, spread over its decoder.

    Blocks without a counterpart get a zero second convolution, so the function stays the same, and
    a network can be trained shallow, where a step costs less, and then deepened.
    """
    shallow, deep = depth(tensors), depth(network.state_dict())
    filled = {key: value for key, value in tensors.items() if not key.startswith("decoder.")}
    places = {(deep * (2 * block + 1)) // (2 * shallow): block for block in range(shallow)}
    for key, value in network.state_dict().items():
        if not key.startswith("decoder."):
            continue
        _, place, rest = key.split(".", 2)
        if int(place) in places:
            filled[key] = tensors[f"decoder.{places[int(place)]}.{rest}"]
        else:
            filled[key] = torch.zeros_like(value) if rest.startswith("second") else value
    network.load_state_dict(filled)
    return network
