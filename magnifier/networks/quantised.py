"""A decoder whose blocks imitate eight bits, the residual stream between them included.

Quantisation-aware training: rounding is imitated in float32 and what it loses is learned around. Scales
are symmetric, for each output channel of weights and for the whole of what flows, as TensorRT takes
them; those of what flows are learned, with the gradient of LSQ (Esser et al., "Learned Step Size
Quantization", ICLR 2020) to their logarithm.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from magnifier.networks.blocks import ResidualBlock, Stack
from magnifier.networks.protocol import Magnifier

LARGEST = 127
QUANTILE = 0.9999
"""Of the absolute values that a first scale reaches; what lies beyond is clipped."""
SMALLEST_LOG_SCALE = -20.0


class Quantiser(nn.Module):
    """Rounds to the nearest of 255 multiples of a learned scale."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(SMALLEST_LOG_SCALE))
        self.fitting = False

    def forward(self, x: Tensor) -> Tensor:
        if self.fitting:
            self._fit(x.detach())
            return x
        return rounded(x, self.log_scale.exp())

    def _fit(self, x: Tensor) -> None:
        """Widen the scale so that it reaches values like these."""
        values = x.abs().flatten()
        reach = values.kthvalue(max(1, round(QUANTILE * values.numel()))).values
        log_scale = (reach / LARGEST).log()
        self.log_scale.data.copy_(torch.maximum(self.log_scale, log_scale))


class QuantisedBlock(nn.Module):
    """A residual block of which every multiplication and what it adds to are of eight bits."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.first, self.second = block.first, block.second
        self.stream, self.inner = Quantiser(), Quantiser()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stream(x)
        inner = self.inner(F.relu(_convolved(x, self.first)))
        return x + _convolved(inner, self.second)


def quantised(network: Magnifier) -> Magnifier:
    """``network`` with every block of its decoder in eight bits; scales are not yet chosen."""
    blocks = [QuantisedBlock(cast(ResidualBlock, block)) for block in network.decoder]
    network.decoder = Stack(*blocks)
    return network


def in_float(network: Magnifier) -> Magnifier:
    """A copy of a quantised network whose blocks round nothing."""
    network = copy.deepcopy(network)
    network.decoder = Stack(*(_in_float(cast(QuantisedBlock, block)) for block in network.decoder))
    return network


def reaches(network: Magnifier) -> dict[str, float]:
    """By convolution, such as "decoder.3.first", the largest value that its input's scale reaches."""
    found = {}
    for number, block in enumerate(network.decoder):
        assert isinstance(block, QuantisedBlock)
        for name, quantiser in (("first", block.stream), ("second", block.inner)):
            found[f"decoder.{number}.{name}"] = LARGEST * quantiser.log_scale.exp().item()
    return found


def _in_float(block: QuantisedBlock) -> ResidualBlock:
    plain = ResidualBlock(block.first.in_channels)
    plain.first, plain.second = block.first, block.second
    return plain


@contextmanager
def fitting(network: Magnifier) -> Iterator[None]:
    """Inside, nothing is rounded: scales are chosen from what flows through the network."""
    quantisers = [part for part in network.modules() if isinstance(part, Quantiser)]
    for part in quantisers:
        part.fitting = True
    try:
        with torch.no_grad():
            yield
    finally:
        for part in quantisers:
            part.fitting = False


def rounded(x: Tensor, scale: Tensor) -> Tensor:
    """Multiples of ``scale`` from -127 to 127 times it; the gradient passes through the rounding."""
    level = (x / scale).clamp(-LARGEST, LARGEST)
    return (level + (level.round() - level).detach()) * scale


def _convolved(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    weight = convolution.weight
    scale = weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-8) / LARGEST
    coarse = {"weight": rounded(weight, scale)}
    return cast(Tensor, functional_call(convolution, coarse, (x,)))
