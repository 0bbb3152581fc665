"""Learning to remove: which ReLUs and residual blocks a network can do without.

The poster's first stage (Ha et al., arXiv 2403.01898). A part A becomes F(x) = (1 - w) A(x) + w x
with a learnable w, and L_rm = mean over the parts of (1 - w^p) rewards switching.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from magnifier.networks.blocks import ResidualBlock

Kind = Literal["relu", "block"]
KINDS: dict[Kind, type[nn.Module]] = {"relu": nn.ReLU, "block": ResidualBlock}


class Switch(nn.Module):
    """(1 - w) A(x) + w x: the part A at w = 0, nothing at w = 1."""

    def __init__(self, part: nn.Module, start: float) -> None:
        super().__init__()
        self.part = part
        self.w = nn.Parameter(torch.tensor(start))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, (1 - self.w) * self.part(x) + self.w * x)


def add_switches(module: nn.Module, kind: Kind, start: float) -> int:
    """Put a switch before every part of ``kind`` inside ``module``; returns how many."""
    found = [
        (parent, name)
        for parent in list(module.modules())
        for name, child in parent.named_children()
        if isinstance(child, KINDS[kind])
    ]
    for parent, name in found:
        setattr(parent, name, Switch(getattr(parent, name), start))
    return len(found)


def switches(module: nn.Module) -> dict[str, Switch]:
    """The switches inside ``module`` by name."""
    return {name: child for name, child in module.named_modules() if isinstance(child, Switch)}


def removal_loss(module: nn.Module, power: float) -> Tensor:
    """L_rm = mean of (1 - w^p): 1 when nothing is removed, 0 when everything is."""
    # A trace above 0, where the slope of w^p is infinite for p < 1.
    levels = [switch.w.clamp(1e-3, 1) for switch in switches(module).values()]
    return (1 - torch.stack(levels) ** power).mean()


def clamp_switches(module: nn.Module) -> None:
    """Bring every w back into [0, 1] after a step, or its gradient would stay zero out there."""
    with torch.no_grad():
        for switch in switches(module).values():
            switch.w.clamp_(0, 1)


def decide(module: nn.Module) -> None:
    """Take every w to the nearer of 0 and 1, and keep it there."""
    with torch.no_grad():
        for switch in switches(module).values():
            switch.w.round_()
            switch.w.requires_grad_(False)


def without_removed(module: nn.Module) -> int:
    """Replace every decided switch by its part or by nothing; returns how many parts are gone.

    The output stays the same. Raises ValueError for a w that is neither 0 nor 1.
    """
    removed = 0
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if not isinstance(child, Switch):
                continue
            w = child.w.item()
            if w not in (0.0, 1.0):
                raise ValueError(f"{name}: w is {w:.3f}; decide first")
            setattr(parent, name, nn.Identity() if w else child.part)
            removed += int(w)
    return removed
