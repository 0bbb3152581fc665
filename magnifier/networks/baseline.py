"""The network that the poster starts from."""

import torch
from torch import Tensor, nn

from magnifier.networks.blocks import Padding, Stack, doubled, multiplied, stack
from magnifier.networks.protocol import Encoded, Magnifier

CHANNELS = 32
STRIDE = 4
REFLECT: Padding = "reflect"


class Baseline(Magnifier):
    """Oh et al., "Learning-based Video Motion Magnification" (ECCV 2018): 41.2 GMAC at 384x384.

    Two branches, texture at H/4 and shape at H/2; only the shape is manipulated. ``blocks``,
    ``channels`` and ``latent_stride`` of the decoder's residual blocks are what the poster's second
    stage varies; other channels than 64 are entered and left through 1x1 convolutions, a
    latent stride of 4 through a strided convolution and a doubling.
    """

    name = "baseline"
    blocks = 9
    encoder_stride = 2

    def __init__(self, blocks: int = blocks, channels: int = 64, latent_stride: int = 2) -> None:
        super().__init__()
        self.encoder = _Encoder()
        self.manipulator = _Manipulator()
        self.texture_up = nn.Sequential(_convolution(CHANNELS, CHANNELS, 3), nn.ReLU())
        self.enter: nn.Module = nn.Identity()
        self.leave: nn.Module = nn.Identity()
        if latent_stride == STRIDE:
            self.enter = _convolution(2 * CHANNELS, channels, 3, stride=2)
            self.leave = nn.Sequential(
                nn.Upsample(scale_factor=2.0), _convolution(channels, 2 * CHANNELS, 3)
            )
        elif channels != 2 * CHANNELS:
            self.enter = nn.Conv2d(2 * CHANNELS, channels, 1)
            self.leave = nn.Conv2d(channels, 2 * CHANNELS, 1)
        self.decoder = stack(blocks, channels, REFLECT)
        self.fine = Stack(
            _convolution(2 * CHANNELS, 2 * CHANNELS, 3),
            nn.ReLU(),
            _convolution(2 * CHANNELS, CHANNELS, 3),
            nn.ReLU(),
        )
        self.redraw = _convolution(CHANNELS, 3, 7)

    def encode(self, frame: Tensor) -> Encoded:
        features, texture = self.encoder(frame)
        return Encoded(frame, features, texture)

    def magnify(self, current: Encoded, difference: Tensor, gain: Tensor) -> tuple[Tensor, None]:
        frame, features, texture = current
        assert texture is not None
        height, width = frame.shape[-2:]
        features = features + self.manipulator(difference, gain)
        # Odd sizes were rounded up when they were halved.
        rows, columns = features.shape[-2:]
        fine_texture = self.texture_up(doubled(texture))[..., :rows, :columns]
        both = torch.cat([fine_texture, features], dim=1)
        x = self.leave(self.decoder(self.enter(both)))
        x = self.redraw(self.fine(doubled(x)))
        return x[..., :height, :width], None


class _Encoder(nn.Module):
    """Frame -> shape (batch, 32, H/2, W/2) and texture (batch, 32, H/4, W/4)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _convolution(3, 16, 7),
            nn.ReLU(),
            _convolution(16, CHANNELS, 3, stride=2),
            nn.ReLU(),
            *stack(3, CHANNELS, REFLECT),
        )
        self.texture = nn.Sequential(
            _convolution(CHANNELS, CHANNELS, 3, stride=2), nn.ReLU(), *stack(2, CHANNELS, REFLECT)
        )
        self.shape = nn.Sequential(
            _convolution(CHANNELS, CHANNELS, 3), nn.ReLU(), *stack(2, CHANNELS, REFLECT)
        )

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(frame)
        return self.shape(x), self.texture(x)


class _Manipulator(nn.Module):
    """What is to be added to the current shape: the difference times (gain - 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Sequential(_convolution(CHANNELS, CHANNELS, 7), nn.ReLU())
        self.after = nn.Sequential(
            _convolution(CHANNELS, CHANNELS, 3), *stack(1, CHANNELS, REFLECT)
        )

    def forward(self, difference: Tensor, gain: Tensor) -> Tensor:
        added: Tensor = self.after(multiplied(self.before(difference), gain))
        return added


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=kernel // 2, padding_mode=REFLECT
    )
