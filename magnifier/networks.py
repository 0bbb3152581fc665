"""The magnifying networks: one linear encoder, one manipulator, one deep decoder at H/4.

The poster (Ha et al., "Revisiting Learning-based Video Motion Magnification for Real-time
Processing", arXiv 2403.01898) fixes the shape: a linear encoder, no residual blocks in encoder and
manipulator, 36 residual blocks of 32 channels at a quarter of the resolution. Kernel sizes are not
public; these are a reconstruction that meets its budget.

Frames are (batch, 3, height, width) in [-1, 1], blue-green-red, of any height and width: the encoder
pads at the right and the bottom by reflection, and the output is cut to the frame's size.
"""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from failure import Failure

CHANNELS = 32
BLOCKS = 36
STRIDE = 4
WINDOWS = (3, 9)
"""Sides of the windows in which motion is estimated, in features of 4 px."""
LEAST_SLOPE = 0.1
"""Slopes well below this, in the features' own scale, are taken for noise."""


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x))), 3x3. Starts close to the identity, so that deep stacks train."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.1)
            cast(Tensor, self.second.bias).zero_()

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.second(F.relu(self.first(x))))


class Magnifier(nn.Module):
    """What all networks share: encode each frame once, then magnify a difference of codes.

    ``gain`` g: motion in the output = g x motion in the input, so g = 1 shows the input.
    """

    name: str
    encoder_stride: int

    def encode(self, frame: Tensor) -> Tensor:
        """Frame -> features (batch, 32, ceil(height / encoder_stride), ...). Linear in the frame."""
        raise NotImplementedError

    def magnify(
        self, frame: Tensor, features: Tensor, difference: Tensor, gain: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Magnified frame, and the displacement of each pixel in px (batch, 2, height, width;
        x, y) where a network has one.

        ``features`` are those of ``frame``; ``difference`` is what a temporal filter made of the
        features of this frame and earlier ones; ``gain`` is (batch, 1, 1, 1).
        """
        raise NotImplementedError

    def forward(
        self, reference: Tensor, current: Tensor, gain: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Magnify the motion from ``reference`` to ``current`` (the static mode)."""
        features = self.encode(current)
        return self.magnify(current, features, features - self.encode(reference), gain)


class _Manipulator(nn.Module):
    """Multiplies the difference by (gain - 1): what is to be added to the current features."""

    def __init__(self, first_kernel: int) -> None:
        super().__init__()
        self.before = nn.Conv2d(CHANNELS, CHANNELS, first_kernel, padding=first_kernel // 2)
        self.after = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)

    def forward(self, difference: Tensor, gain: Tensor) -> Tensor:
        return cast(Tensor, self.after(F.relu(self.before(difference)) * (gain - 1)))


class _Gate(nn.Conv2d):
    """A convolution whose bias is at most zero, so that the ReLU behind it gives 0 for 0.

    It can hold back noise, and where nothing moves there is nothing for the gain to multiply.
    """

    def forward(self, x: Tensor) -> Tensor:
        bias = cast(Tensor, self.bias).clamp(max=0)
        return F.conv2d(x, self.weight, bias, padding=self.padding)


class _FlowManipulator(nn.Module):
    """The manipulator with a least-squares estimate of motion beside the plain path.

    Where brightness is constant, difference = -slope x motion, so the average of slope x difference
    over that of slope^2 is the motion (Lucas and Kanade, IJCAI 1981). Here the slopes are learned
    combinations of the features, half of them averaged over a narrow and half over a wide window.
    All of it is linear in the difference: temporal filter and gain keep their meaning.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before = _Gate(CHANNELS, CHANNELS, 3, padding=1)
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
    encoder_stride = STRIDE

    def __init__(self, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, CHANNELS, 6, stride=STRIDE)
        self.manipulator = _FlowManipulator()
        self.decoder = nn.Sequential(*[ResidualBlock(CHANNELS) for _ in range(blocks)])
        self.head = nn.Conv2d(CHANNELS, 6 * STRIDE**2, 3, padding=1)
        with torch.no_grad():
            # No displacement, and seven eighths of the displaced frame: a fair first guess.
            self.head.weight[3 * STRIDE**2 :].zero_()
            cast(Tensor, self.head.bias)[3 * STRIDE**2 :].zero_()
            cast(Tensor, self.head.bias)[5 * STRIDE**2 :].fill_(2.0)

    def encode(self, frame: Tensor) -> Tensor:
        return cast(Tensor, self.encoder(_pad(frame)))

    def magnify(
        self, frame: Tensor, features: Tensor, difference: Tensor, gain: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        height, width = frame.shape[-2:]
        decoded = self.decoder(features + self.manipulator(features, difference, gain))
        # Three colours, displacement in units of 4 px, and the displaced frame's share as a logit.
        fine = F.pixel_shuffle(self.head(decoded), STRIDE)[..., :height, :width]
        redrawn, displacement, share = torch.split(fine, [3, 2, 1], dim=1)
        displacement_px = STRIDE * displacement
        share = torch.sigmoid(share)
        displaced = _sample_at(frame, displacement_px)
        return share * displaced + (1 - share) * redrawn, displacement_px


class Proposed(Magnifier):
    """The poster's network: the deep decoder redraws the whole picture. 9.79 GMAC at 384x384."""

    name = "proposed"
    encoder_stride = 2

    def __init__(self, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, CHANNELS, 3, stride=2)
        self.manipulator = _Manipulator(first_kernel=7)
        self.halve = nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1)
        self.decoder = nn.Sequential(*[ResidualBlock(CHANNELS) for _ in range(blocks)])
        self.up_to_half = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.up_to_full = nn.Conv2d(CHANNELS, 16, 3, padding=1)
        self.redraw = nn.Conv2d(16, 3, 7, padding=3)

    def encode(self, frame: Tensor) -> Tensor:
        return cast(Tensor, self.encoder(F.pad(frame, (1, 1, 1, 1), mode="reflect")))

    def magnify(
        self, frame: Tensor, features: Tensor, difference: Tensor, gain: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        height, width = frame.shape[-2:]
        x = self.decoder(self.halve(features + self.manipulator(difference, gain)))
        x = F.relu(self.up_to_half(F.interpolate(x, scale_factor=2.0, mode="nearest")))
        x = F.relu(self.up_to_full(F.interpolate(x, scale_factor=2.0, mode="nearest")))
        return self.redraw(x)[..., :height, :width], None


NETWORKS: dict[str, Callable[[int], Magnifier]] = {"displace": Displace, "proposed": Proposed}


def build(name: str, blocks: int = BLOCKS) -> Magnifier:
    """The network of that name with random weights. Raises Failure for an unknown name."""
    if name not in NETWORKS:
        raise Failure(f'"{name}" is no network of tremorscope; choose from: {", ".join(NETWORKS)}')
    return NETWORKS[name](blocks)


def depth(tensors: dict[str, Tensor]) -> int:
    """How many decoder blocks the network has that these tensors are of."""
    return 1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("decoder."))


def deepened(network: Magnifier, tensors: dict[str, Tensor]) -> Magnifier:
    """Fill ``network`` with the tensors of a shallower one, spread over its decoder.

    Blocks without a counterpart get a zero second convolution, so the function stays the same, and
    a network can be trained shallow, where a step costs less, and then deepened.
    """
    shallow, deep = depth(tensors), depth(network.state_dict())
    filled = {key: value for key, value in tensors.items() if not key.startswith("decoder.")}
    places = {(deep * (2 * block + 1)) // (2 * shallow): block for block in range(shallow)}
    for key, value in network.state_dict().items():
        if not key.startswith("decoder."):
            continue
        _, place, rest = key.split(".", 2)
        if int(place) in places:
            filled[key] = tensors[f"decoder.{places[int(place)]}.{rest}"]
        else:
            filled[key] = torch.zeros_like(value) if rest.startswith("second") else value
    network.load_state_dict(filled)
    return network


def _pad(frame: Tensor) -> Tensor:
    """One pixel on the left and top, four on the right and bottom: ceil(size / 4) codes a side."""
    return F.pad(frame, (1, STRIDE, 1, STRIDE), mode="reflect")


def _averaged(x: Tensor) -> Tensor:
    """Half of the channels averaged over the narrow window, the other half over the wide one."""
    averages = [
        F.avg_pool2d(part, window, stride=1, padding=window // 2, count_include_pad=False)
        for part, window in zip(x.chunk(2, dim=1), WINDOWS, strict=True)
    ]
    return torch.cat(averages, dim=1)


def _sample_at(frame: Tensor, displacement_px: Tensor) -> Tensor:
    """frame(x - displacement(x)), bilinear, the border repeated. Both (batch, ., height, width)."""
    height, width = frame.shape[-2:]
    column = torch.arange(width, dtype=frame.dtype, device=frame.device)
    row = torch.arange(height, dtype=frame.dtype, device=frame.device)
    columns = column.view(1, 1, width) - displacement_px[:, 0]
    rows = row.view(1, height, 1) - displacement_px[:, 1]
    # grid_sample without aligned corners has pixel i at (2 i + 1) / size - 1.
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    return F.grid_sample(frame, grid, mode="bilinear", padding_mode="border", align_corners=False)
