"""What training minimises."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from magnifier.networks import Encoded, Magnifier
from magnifier.pool import Batch
from magnifier.ssim import ssim

SIMILARITY_WEIGHT = 0.6
DISPLACEMENT_WEIGHT = 0.2
DISPLACEMENT_KNEE = 0.2
"""Below this a relative error of the displacement counts by its square."""
LEAST_MOTION_PX = 0.03
"""Of the input: about the smallest motion that is to be shown true to the gain."""
LEAST_DISPLACEMENT_PX = 0.5
"""However high the gain: what the eye no longer sees need not be right."""
SEPARATION_WEIGHT = 0.1


class Losses(NamedTuple):
    """The loss of a batch, and the mean SSIM of its pictures."""

    total: Tensor
    similarity: float


class Task(nn.Module):
    """A network whose output is its loss on a batch: what several processes share gradients of."""

    def __init__(self, network: Magnifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Losses:
        return task_loss(self.network, batch)


def task_loss(network: Magnifier, batch: Batch) -> Losses:
    """L1 and SSIM of the picture; with a displacement, its relative error; with two branches, their
    mixing.
    """
    reference = network.encode(batch.reference)
    current = network.encode(batch.current)
    output, displacement_px = network.magnify(
        current, current.features - reference.features, batch.gain
    )
    similarity = ssim(output, batch.magnified)
    loss = F.l1_loss(output, batch.magnified) + SIMILARITY_WEIGHT * (1 - similarity)
    if displacement_px is not None:
        loss = loss + DISPLACEMENT_WEIGHT * displacement_loss(displacement_px, batch)
    if current.texture is not None:
        mixing = separation_loss(network, batch, reference, current)
        loss = loss + SEPARATION_WEIGHT * mixing
    return Losses(loss, similarity.item())


def displacement_loss(displacement_px: Tensor, batch: Batch) -> Tensor:
    """The error of the displacement relative to its length: of the gain, as it were.

    What noise makes of a still scene grows with the gain, so the length below which errors no longer
    count more grows with it. A fixed one of half a pixel taught the network to leave out the small
    displacements of low gains.
    """
    truth_px = batch.fine_displacement_px()
    least_px = (LEAST_MOTION_PX * (batch.gain - 1)).clamp(LEAST_MOTION_PX, LEAST_DISPLACEMENT_PX)
    scale_px = truth_px.square().sum(dim=1, keepdim=True).sqrt() + least_px
    return F.smooth_l1_loss(displacement_px / scale_px, truth_px / scale_px, beta=DISPLACEMENT_KNEE)


def separation_loss(
    network: Magnifier, batch: Batch, reference: Encoded, current: Encoded
) -> Tensor:
    """Keeps texture and shape apart (Oh et al. 2018, equation 5).

    Texture must not see motion: L1(Va, Vb) + L1(V'b, V'Y). Shape must not see colour: L1(Mb, M'b).
    Primes are of frames with changed colours, the same change for both.
    """
    count = len(batch.current)
    contrast = batch.current.new_empty(count, 3, 1, 1).uniform_(0.7, 1.3)
    brightness = batch.current.new_empty(count, 3, 1, 1).uniform_(-0.2, 0.2)
    recoloured = network.encode(batch.current * contrast + brightness)
    magnified = network.encode(batch.magnified * contrast + brightness)
    textures = (reference.texture, current.texture, recoloured.texture, magnified.texture)
    a, b, b_recoloured, y_recoloured = (part for part in textures if part is not None)
    return (
        F.l1_loss(a, b)
        + F.l1_loss(b_recoloured, y_recoloured)
        + F.l1_loss(current.features, recoloured.features)
    )
