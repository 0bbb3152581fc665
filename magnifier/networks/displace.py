"""The default network."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magnifier.networks.blocks import Gate, stack
from magnifier.networks.protocol import Encoded, Magnifier

CHANNELS = 32
STRIDE = 4
WINDOWS = (3, 9)
"""Sides of the windows in which motion is estimated, in features of 4 px."""
LEAST_SLOPE = 0.1
"""Slopes well below this, in the features' own scale, are taken for noise."""


class _FlowManipulator(nn.Module):
    """The manipulator with a least-squares estimate of motion beside the plain path.

    Where brightness is constant, difference = -slope x motion, so the average of slope x difference
    over that of slope^2 is the motion (Lucas and Kanade, IJCAI 1981). Here the slopes are learned
    combinations of the features, half of them averaged over a narrow and half over a wide window.
    All of it is linear in the difference: temporal filter and gain keep their meaning.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before = Gate(CHANNELS, CHANNELS, 3, padding=1)
        self.slope = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.change = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.after = nn.Conv2d(2 * CHANNELS, CHANNELS, 3, padding=1, bias=False)

    def forward(self, features: Tensor, difference: Tensor, gain: Tensor) -> Tensor:
        slope = self.slope(features)
        change = _averaged(slope * self.change(difference))
        motion = change / (_averaged(slope * slope) + LEAST_SLOPE**2)
        plain = F.relu(self.before(difference))
        return cast(Tensor, self.after(torch.cat([plain, motion], 1) * (gain - 1)))


class Displace(Magnifier):
    """The default: displaces the current frame, and blends in what no frame shows.

    On the poster's trunk, the decoder's last layer gives a displacement and a redrawn picture; the
    current frame is sampled at x - displacement, so texture stays sharp, and the redrawn picture
    fills in where something was uncovered.
    """

    name = "displace"
    blocks = 36
    encoder_stride = STRIDE
    displaces = True

    def __init__(self, blocks: int = blocks) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, CHANNELS, 6, stride=STRIDE)
        self.manipulator = _FlowManipulator()
        self.decoder = stack(blocks, CHANNELS)
        self.head = nn.Conv2d(CHANNELS, 6 * STRIDE**2, 3, padding=1)
        with torch.no_grad():
            # No displacement, and seven eighths of the displaced frame: a fair first guess.
            self.head.weight[3 * STRIDE**2 :].zero_()
            cast(Tensor, self.head.bias)[3 * STRIDE**2 :].zero_()
            cast(Tensor, self.head.bias)[5 * STRIDE**2 :].fill_(2.0)

    def encode(self, frame: Tensor) -> Encoded:
        return Encoded(frame, self.encoder(padded(frame)))

    def magnify(self, current: Encoded, difference: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        frame, features, _ = current
        height, width = frame.shape[-2:]
        decoded = self.decoder(features + self.manipulator(features, difference, gain))
        # Three colours, displacement in units of 4 px, and the displaced frame's share as a logit.
        fine = F.pixel_shuffle(self.head(decoded), STRIDE)[..., :height, :width]
        redrawn, displacement, share = torch.split(fine, [3, 2, 1], dim=1)
        displacement_px = STRIDE * displacement
        share = torch.sigmoid(share)
        displaced = sampled_at(frame, displacement_px)
        return share * displaced + (1 - share) * redrawn, displacement_px


def padded(frame: Tensor) -> Tensor:
    """One pixel on the left and top, four on the right and bottom: ceil(size / 4) codes a side."""
    return F.pad(frame, (1, STRIDE, 1, STRIDE), mode="reflect")


def _averaged(x: Tensor) -> Tensor:
    """Half of the channels averaged over the narrow window, the other half over the wide one."""
    averages = [
        F.avg_pool2d(part, window, stride=1, padding=window // 2, count_include_pad=False)
        for part, window in zip(x.chunk(2, dim=1), WINDOWS, strict=True)
    ]
    return torch.cat(averages, dim=1)


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
