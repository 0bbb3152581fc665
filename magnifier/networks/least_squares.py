"""The manipulator that estimates motion before the gain multiplies it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magnifier.networks.blocks import Gate, multiplied

GROUPS = 4
"""Groups of channels; each gives an estimate of its own."""
WINDOWS = (3, 9)
"""Sides of the windows in which motion is estimated, in features of 4 px."""
LEAST_SLOPE = 0.1
"""Slopes well below this, in the features' own scale, are taken for noise."""
LEAST_DETERMINANT = 1e-3
LEAST_SEEN = 0.005
"""Of motion, in features of 4 px: about what noise makes of stillness."""


class LeastSquaresManipulator(nn.Module):
    """The poster's manipulator with a least-squares estimate of motion beside its plain path.

    Where brightness is constant, difference = slopes . motion, but for its sign, for every feature in
    a window; the motion that fits best solves two equations (Lucas and Kanade, IJCAI 1981). Slopes are
    learned combinations of the features. The estimate is linear in the difference: temporal filter and
    gain keep their meaning. How well each window knows its motion is added, which the gain does not touch.

    The decoder is also told where motion stands out of the noise before it is multiplied: a fifth of a
    pixel is clearly seen when the gain has doubled it, and noise when it has become that by 50.

    A straight path leads from the estimates to a first displacement, so that small motions keep their
    proportion whatever the decoder's nonlinear layers do.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = Gate(channels, channels, 3, padding=1)
        self.slope_x = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.slope_y = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.change = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        estimates = 2 * GROUPS * len(WINDOWS)
        self.after = nn.Conv2d(channels + 2 * estimates, channels, 3, padding=1, bias=False)
        self.trust = nn.Conv2d(estimates, channels, 3, padding=1)
        self.straight = nn.Conv2d(estimates, 2, 3, padding=1, bias=False)
        nn.init.zeros_(self.straight.weight)

    def forward(self, features: Tensor, difference: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        """What is to be added to the features, (batch, channels, height, width), and the displacement
        in features (batch, 2, height, width; x, y).
        """
        x, y = self.slope_x(features), self.slope_y(features)
        change = self.change(difference)
        sums = torch.cat([_summed(a * b) for a, b in _pairs(x, y, change)], 1)
        motions, trusts = [], []
        for window in WINDOWS:
            motion, trust = _solved(_averaged(sums, window))
            motions.append(motion)
            trusts.append(trust)
        unmultiplied = torch.cat(motions, 1)
        motion = multiplied(unmultiplied, gain)
        plain = multiplied(F.relu(self.before(difference)), gain)
        # Nothing at gain 1, nor where nothing moves.
        seen = F.softsign(unmultiplied / LEAST_SEEN) * (1 - 1 / gain)
        added = self.after(torch.cat([plain, motion, seen], 1)) + self.trust(torch.cat(trusts, 1))
        return added, self.straight(motion)


def _pairs(x: Tensor, y: Tensor, change: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(x, x), (y, y), (x, y), (x, change), (y, change)]


def _summed(product: Tensor) -> Tensor:
    """The mean of each group of channels: (batch, channels, ...) -> (batch, GROUPS, ...)."""
    return torch.stack([group.mean(1) for group in product.chunk(GROUPS, 1)], 1)


def _averaged(sums: Tensor, window: int) -> Tensor:
    """The mean over a window, rows and columns apart because that is faster."""
    half = window // 2
    across = F.avg_pool2d(sums, (1, window), 1, (0, half), count_include_pad=False)
    return F.avg_pool2d(across, (window, 1), 1, (half, 0), count_include_pad=False)


def _solved(averages: Tensor) -> tuple[Tensor, Tensor]:
    """Motion, and how well it is known: the strength of the slopes, and how they differ in direction.

    Every average is of GROUPS channels, in the order of ``_pairs``.
    """
    xx, yy, xy, x_change, y_change = averages.chunk(5, 1)
    trace = xx + yy + 2 * LEAST_SLOPE**2
    # Divided by the trace, so that half precision holds the determinant.
    a, b, c = (xx + LEAST_SLOPE**2) / trace, (yy + LEAST_SLOPE**2) / trace, xy / trace
    determinant = (a * b - c * c).clamp(min=LEAST_DETERMINANT)
    scale = 1 / (trace * determinant)
    motion = [(b * x_change - c * y_change) * scale, (a * y_change - c * x_change) * scale]
    return torch.cat(motion, 1), torch.cat([(xx + yy) / trace, 4 * determinant], 1)
