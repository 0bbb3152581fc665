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


def cost(network: Magnifier, width_px: int, height_px: int) -> Cost:
    """Count the convolutions that run, without running them: shapes only."""
    shapes_only = copy.deepcopy(network).to("meta")
    multiply_accumulates = moved = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal multiply_accumulates, moved
        assert isinstance(layer, nn.Conv2d)
        multiply_accumulates += layer.weight[0].numel() * output.numel()
        moved += 2 * (inputs[0].numel() + layer.weight.numel() + output.numel())

    for layer in shapes_only.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode(), torch.device("meta"):
        encoded = shapes_only.encode(torch.empty(1, 3, height_px, width_px))
        shapes_only.magnify(encoded, torch.empty_like(encoded.features), torch.ones(1, 1, 1, 1))
    parameters = sum(each.numel() for each in network.parameters())
    return Cost(multiply_accumulates, parameters, moved)
