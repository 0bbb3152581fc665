"""The default network."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magnifier.networks.blocks import stack
from magnifier.networks.least_squares import LeastSquaresManipulator
from magnifier.networks.protocol import Encoded, Magnifier

CHANNELS = 32
STRIDE = 4
PARTS = (3, 2, 2, 1, 1)
"""Channels of the head: redrawn colours, two displacements, the first one's share, the redrawn's."""


class Twofold(Magnifier):
    """The default (decision 006): displaces the current frame twice, and redraws what it lacks.

    Behind a trunk like the poster's, of 24 blocks, the last layer gives two displacements for every
    pixel; the current frame is sampled at x - displacement, so texture stays sharp. Two, because a
    pixel at a border, or of a still background behind something that moves, has two places to come
    from. What neither shows is redrawn.
    """

    name = "twofold"
    blocks = 24
    encoder_stride = STRIDE
    displaces = True

    def __init__(self, blocks: int = blocks) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, CHANNELS, 6, stride=STRIDE)
        self.manipulator = LeastSquaresManipulator(CHANNELS)
        self.decoder = stack(blocks, CHANNELS)
        self.head = nn.Conv2d(CHANNELS, sum(PARTS) * STRIDE**2, 3, padding=1)
        with torch.no_grad():
            # Almost no displacement, and most of the first displaced frame: a fair first guess.
            bias = cast(Tensor, self.head.bias).view(sum(PARTS), -1)
            self.head.weight[PARTS[0] * STRIDE**2 :].mul_(0.1)
            bias[PARTS[0] :].zero_()
            bias[-2].fill_(2.0)
            bias[-1].fill_(-2.0)

    def encode(self, frame: Tensor) -> Encoded:
        return Encoded(frame, self.encoder(padded(frame)))

    def magnify(self, current: Encoded, difference: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        frame, features, _ = current
        height, width = frame.shape[-2:]
        added, straight = self.manipulator(features, difference, gain)
        decoded = self.decoder(features + added)
        fine = F.pixel_shuffle(self.head(decoded), STRIDE)[..., :height, :width]
        straight = F.interpolate(straight, scale_factor=float(STRIDE), mode="bilinear")
        redrawn, first, second, first_share, redrawn_share = torch.split(fine, list(PARTS), dim=1)
        # Displacements are given in units of 4 px, shares as logits.
        first_px = STRIDE * (first + straight[..., :height, :width])
        second_px = STRIDE * second
        first_share, redrawn_share = torch.sigmoid(first_share), torch.sigmoid(redrawn_share)
        displaced = _blended(sampled_at(frame, second_px), sampled_at(frame, first_px), first_share)
        # Where both are small, the two blended pictures look like one at the blended displacement.
        displacement_px = _blended(second_px, first_px, first_share)
        return _blended(displaced, redrawn, redrawn_share), displacement_px


def padded(frame: Tensor) -> Tensor:
    """One pixel on the left and top, four on the right and bottom: ceil(size / 4) codes a side."""
    return F.pad(frame, (1, STRIDE, 1, STRIDE), mode="reflect")


def sampled_at(frame: Tensor, displacement_px: Tensor) -> Tensor:
    """frame(x - displacement(x)), bilinear, the border repeated. Both (batch, ., height, width)."""
    height, width = frame.shape[-2:]
    column = torch.arange(width, dtype=frame.dtype, device=frame.device)
    row = torch.arange(height, dtype=frame.dtype, device=frame.device)
    columns = column.view(1, 1, width) - displacement_px[:, 0]
    rows = row.view(1, height, 1) - displacement_px[:, 1]
    # grid_sample without aligned corners has pixel i at (2 i + 1) / size - 1.
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    return F.grid_sample(frame, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _blended(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """``share`` of the other; written out, because torch.lerp becomes six nodes of a graph."""
    return one + share * (other - one)
