"""The poster's network."""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from magnifier.networks.blocks import doubled, multiplied, stack
from magnifier.networks.protocol import Encoded, Magnifier

CHANNELS = 32


class Proposed(Magnifier):
    """The poster's network: the deep decoder redraws the whole picture. 9.79 GMAC at 384x384.

    Linear encoder, no residual blocks in encoder and manipulator, 36 blocks of 32 channels at a
    quarter of the resolution. Kernel sizes are not public: a reconstruction within its budget.
    """

    name = "proposed"
    blocks = 36
    encoder_stride = 2

    def __init__(self, blocks: int = blocks) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, CHANNELS, 3, stride=2)
        self.before = nn.Conv2d(CHANNELS, CHANNELS, 7, padding=3)
        self.after = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.halve = nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1)
        self.decoder = stack(blocks, CHANNELS)
        self.up_to_half = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.up_to_full = nn.Conv2d(CHANNELS, 16, 3, padding=1)
        self.redraw = nn.Conv2d(16, 3, 7, padding=3)

    def encode(self, frame: Tensor) -> Encoded:
        return Encoded(frame, self.encoder(F.pad(frame, (1, 1, 1, 1), mode="reflect")))

    def magnify(self, current: Encoded, difference: Tensor, gain: Tensor) -> tuple[Tensor, None]:
        height, width = current.frame.shape[-2:]
        added = self.after(multiplied(F.relu(self.before(difference)), gain))
        x = self.decoder(self.halve(current.features + added))
        x = F.relu(self.up_to_half(doubled(x)))
        x = F.relu(self.up_to_full(doubled(x)))
        return cast(Tensor, self.redraw(x)[..., :height, :width]), None
