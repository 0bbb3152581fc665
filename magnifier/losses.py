"""What training minimises."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from magnifier.networks import Encoded, Magnifier
from magnifier.pool import Batch
from magnifier.ssim import ssim

SIMILARITY_WEIGHT = 0.6
DISPLACEMENT_WEIGHT = 0.0375
"""Per px of error."""
SEPARATION_WEIGHT = 0.1


class Losses(NamedTuple):
    """The loss of a batch, and the mean SSIM of its pictures."""

    total: Tensor
    similarity: float


def task_loss(network: Magnifier, batch: Batch) -> Losses:
    """L1 and SSIM of the picture; with a displacement, its error; with two branches, their mixing."""
    reference = network.encode(batch.reference)
    current = network.encode(batch.current)
    output, displacement_px = network.magnify(
        current, current.features - reference.features, batch.gain
    )
    similarity = ssim(output, batch.magnified)
    loss = F.l1_loss(output, batch.magnified) + SIMILARITY_WEIGHT * (1 - similarity)
    if displacement_px is not None:
        error = F.smooth_l1_loss(displacement_px, batch.fine_displacement_px())
        loss = loss + DISPLACEMENT_WEIGHT * error
    if current.texture is not None:
        mixing = separation_loss(network, batch, reference, current)
        loss = loss + SEPARATION_WEIGHT * mixing
    return Losses(loss, similarity.item())


def separation_loss(
    network: Magnifier, batch: Batch, reference: Encoded, current: Encoded
) -> Tensor:
    """Keeps texture and shape apart (Oh et al. 2018, equation 5).

    Texture must not see motion: L1(Va, Vb) + L1(V'b, V'Y). Shape must not see colour: L1(Mb, M'b).
    Primes are of frames with changed colours, the same change for both.
    """
    count = len(batch.current)
    contrast = torch.empty(count, 3, 1, 1).uniform_(0.7, 1.3)
    brightness = torch.empty(count, 3, 1, 1).uniform_(-0.2, 0.2)
    recoloured = network.encode(batch.current * contrast + brightness)
    magnified = network.encode(batch.magnified * contrast + brightness)
    textures = (reference.texture, current.texture, recoloured.texture, magnified.texture)
    a, b, b_recoloured, y_recoloured = (part for part in textures if part is not None)
    return (
        F.l1_loss(a, b)
        + F.l1_loss(b_recoloured, y_recoloured)
        + F.l1_loss(current.features, recoloured.features)
    )
