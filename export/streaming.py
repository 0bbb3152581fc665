"""The network as a device runs it: one call a frame, bytes in and bytes out, state handed back."""

import torch
from torch import Tensor, nn

from magnifier.networks import Magnifier

INPUTS = ("frame", "gain", "follow", "fast", "slow")
OUTPUTS = ("magnified", "fast_next", "slow_next")
DISPLACEMENT = "displacement_px"
"""The further output of a network that displaces, for one pixel of every CELL_PX x CELL_PX."""
CELL_PX = 4


def output_names(network: Magnifier) -> tuple[str, ...]:
    """What the graph of ``network`` gives, in order."""
    return (*OUTPUTS, DISPLACEMENT) if network.displaces else OUTPUTS


class StreamingMagnifier(nn.Module):
    """A network behind a temporal filter that serves every mode.

    Two first-order low-passes run on the encoder's features, and their difference is magnified:
    fast <- fast + follow[0] (features - fast); slow <- slow + follow[1] (features - slow), where
    the difference takes the slow one before its update. With follow = (1, 1) that is the frame
    minus the one before (dynamic), with (1, small) minus a slowly following reference (static), with
    two time constants a band-pass. The encoder is linear, so this equals filtering pixels; features
    are the smaller of the two.
    """

    def __init__(self, network: Magnifier) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, frame: Tensor, gain: Tensor, follow: Tensor, fast: Tensor, slow: Tensor
    ) -> tuple[Tensor, ...]:
        """``frame`` (height, width, 3) uint8; ``gain`` (1,), ``follow`` (2,) float32; the states
        (1, 32, ceil(height / stride), ...) float32. Returns the magnified frame, both states, and
        where the network displaces, by how many px (x, y) every fourth pixel of every fourth row
        was: (1, 2, ceil(height / 4), ceil(width / 4)), a map of where the structure vibrates.
        """
        image = frame.float().permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
        current = self.network.encode(image)
        fast_next = fast + follow[0] * (current.features - fast)
        slow_next = slow + follow[1] * (current.features - slow)
        output, displacement_px = self.network.magnify(
            current, fast_next - slow, gain.view(1, 1, 1, 1)
        )
        levels = torch.clamp((output + 1) * 127.5, 0, 255).round()
        magnified = levels.squeeze(0).permute(1, 2, 0).to(torch.uint8)
        if displacement_px is None:
            return magnified, fast_next, slow_next
        return magnified, fast_next, slow_next, displacement_px[..., ::CELL_PX, ::CELL_PX]
