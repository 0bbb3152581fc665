"""What several networks are made of."""

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["zeros", "reflect"]


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


def stack(count: int, channels: int, padding_mode: Padding = "zeros") -> nn.Sequential:
    """``count`` residual blocks in a row."""
    return nn.Sequential(*[ResidualBlock(channels, padding_mode) for _ in range(count)])


def doubled(x: Tensor) -> Tensor:
    """Twice the height and width, every value repeated."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
