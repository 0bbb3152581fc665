"""What a camera adds to a rendered frame: noise and eight bits. In torch, which is fast at it."""

import torch
from torch import Tensor

LIMIT = 3.0
"""Largest noise at mid-grey, in grey levels."""


def noisy(levels: Tensor, sigma: Tensor | float, random: torch.Generator) -> Tensor:
    """Poisson-like noise: standard deviation ``sigma`` grey levels at mid-grey, by sqrt(level)."""
    noise = torch.randn(levels.shape, generator=random)
    return levels + noise * sigma * (levels.clamp(min=1) / 127.5).sqrt()


def quantised(levels: Tensor, random: torch.Generator) -> Tensor:
    """Whole grey levels 0..255 with uniform dither: motion below a level survives on average."""
    return (levels + torch.rand(levels.shape, generator=random)).floor_().clamp_(0, 255)
