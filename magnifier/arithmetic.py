"""What a network costs a frame: multiply-accumulates, parameters, bytes moved."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from magnifier.networks import Magnifier

POSTER_PX = 384
"""Width and height that the poster counts and measures at."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one frame, whose reference was encoded before: one encoder pass, as in the poster.

    ``moved_bytes``: every convolution reads its input and weights and writes its output once, what
    follows it being fused; 2 bytes a value (FP16).
    """

    multiply_accumulates: int
    parameters: int
    moved_bytes: int


@dataclass(frozen=True, slots=True)
class Convolution:
    """One of a frame's convolutions, by its name in the network; counts of values."""

    name: str
    multiply_accumulates: int
    read: int
    weights: int
    written: int


def cost(network: Magnifier, width_px: int, height_px: int) -> Cost:
    """The sum over all convolutions that run."""
    layers = convolutions(network, width_px, height_px)
    return Cost(
        multiply_accumulates=sum(layer.multiply_accumulates for layer in layers),
        parameters=sum(each.numel() for each in network.parameters()),
        moved_bytes=sum(2 * (layer.read + layer.weights + layer.written) for layer in layers),
    )


def features(network: Magnifier, width_px: int, height_px: int) -> int:
    """Values of the features that a temporal filter follows."""
    shapes_only = copy.deepcopy(network).to("meta")
    with torch.inference_mode(), torch.device("meta"):
        return shapes_only.encode(torch.empty(1, 3, height_px, width_px)).features.numel()


def convolutions(network: Magnifier, width_px: int, height_px: int) -> list[Convolution]:
    """Every convolution of a frame in the order they run, without running them: shapes only."""
    shapes_only = copy.deepcopy(network).to("meta")
    names = {layer: name for name, layer in shapes_only.named_modules()}
    found: list[Convolution] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        found.append(
            Convolution(
                name=names[layer],
                multiply_accumulates=layer.weight[0].numel() * output.numel(),
                read=inputs[0].numel(),
                weights=layer.weight.numel(),
                written=output.numel(),
            )
        )

    for layer in shapes_only.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode(), torch.device("meta"):
        encoded = shapes_only.encode(torch.empty(1, 3, height_px, width_px))
        shapes_only.magnify(encoded, torch.empty_like(encoded.features), torch.ones(1, 1, 1, 1))
    return found
