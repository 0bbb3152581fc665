"""What every magnifying network does: encode each frame once, then magnify a difference of codes."""

from typing import NamedTuple

from torch import Tensor, nn


class Encoded(NamedTuple):
    """A frame (batch, 3, height, width) in [-1, 1], blue-green-red, and what the encoder made of it.

    ``features`` are what temporal filters run on; ``texture`` is what else the decoder needs, where
    a network has a second branch.
    """

    frame: Tensor
    features: Tensor
    texture: Tensor | None = None


class Magnifier(nn.Module):
    """Frames may have any height and width; the output has the frame's.

    ``gain`` g: motion in the output = g x motion in the input, so g = 1 shows the input.
    """

    name: str
    blocks: int
    """Residual blocks of the decoder, where not told otherwise."""
    encoder_stride: int
    displaces: bool = False
    """Whether ``magnify`` tells the displacement."""
    decoder: nn.Sequential

    def encode(self, frame: Tensor) -> Encoded:
        """Features of (batch, 32, ceil(height / encoder_stride), ceil(width / encoder_stride))."""
        raise NotImplementedError

    def magnify(
        self, current: Encoded, difference: Tensor, gain: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Magnified frame, and the displacement of each pixel in px (batch, 2, height, width;
        x, y) where a network has one.

        ``difference`` is what a temporal filter made of the features of this frame and earlier ones;
        ``gain`` is (batch, 1, 1, 1).
        """
        raise NotImplementedError

    def forward(
        self, reference: Tensor, current: Tensor, gain: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Magnify the motion from ``reference`` to ``current`` (the static mode)."""
        now = self.encode(current)
        return self.magnify(now, now.features - self.encode(reference).features, gain)
