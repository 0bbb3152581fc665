"""What several networks are made of."""

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["zeros", "reflect"]

MOST_MULTIPLIED = 128.0
"""Twice what the largest magnified motions that are trained on give."""


def multiplied(values: Tensor, gain: Tensor) -> Tensor:
    """(gain - 1) x values, up to what a decoder can bear.

    A lamp that is switched on gives thousands of times what it was trained on, which half precision
    does not hold: not even the picture around it would be left.
    """
    return (values * (gain - 1)).clamp(-MOST_MULTIPLIED, MOST_MULTIPLIED)


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x))), 3x3. Starts close to the identity, so that deep stacks train."""

    def __init__(self, channels: int, padding_mode: Padding = "zeros") -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode)
        with torch.no_grad():
            self.second.weight.mul_(0.1)
            cast(Tensor, self.second.bias).zero_()

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.second(self.relu(self.first(x))))


class Stack(nn.Sequential):
    """Layers in a row, which can be told to multiply in bfloat16 while they are trained.

    Processors with matrix units (AMX) then train faster. What runs from one residual block to the
    next stays float32, as sums of both types are.
    """

    multiplies_in_bfloat16 = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.multiplies_in_bfloat16:
            return cast(Tensor, super().forward(x))  # type: ignore[no-untyped-call]
        with torch.autocast(x.device.type, torch.bfloat16):
            return cast(Tensor, super().forward(x)).float()  # type: ignore[no-untyped-call]


def multiply_in_bfloat16(network: nn.Module, wanted: bool) -> None:
    """Tell every stack of the network how to multiply."""
    for layer in network.modules():
        if isinstance(layer, Stack):
            layer.multiplies_in_bfloat16 = wanted


def stack(count: int, channels: int, padding_mode: Padding = "zeros") -> Stack:
    """``count`` residual blocks in a row."""
    return Stack(*[ResidualBlock(channels, padding_mode) for _ in range(count)])


class Gate(nn.Conv2d):
    """A convolution whose bias is at most zero, so that the ReLU behind it gives 0 for 0.

    It can hold back noise, and where nothing moves there is nothing for the gain to multiply.
    """

    def forward(self, x: Tensor) -> Tensor:
        bias = cast(Tensor, self.bias).clamp(max=0)
        return F.conv2d(x, self.weight, bias, padding=self.padding)


def doubled(x: Tensor) -> Tensor:
    """Twice the height and width, every value repeated."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
