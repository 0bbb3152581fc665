"""How good a network is, beside doing nothing: the unmagnified input."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from magnifier.networks import Magnifier
from magnifier.photographs import Picture
from magnifier.scene_folder import StoredScene


@dataclass(frozen=True, slots=True)
class Score:
    """SSIM against the truth, of the network's picture and of the current frame as it is."""

    id: str
    gain: float
    network_ssim: float
    input_ssim: float


def evaluate(
    network: Magnifier, scenes: list[StoredScene], tell: Callable[[Score], None]
) -> list[Score]:
    """The score of every scene."""
    scores = []
    for scene in scenes:
        reference, current, truth = scene.pictures()
        score = Score(
            id=scene.id,
            gain=scene.gain,
            network_ssim=similarity(magnify(network, reference, current, scene.gain), truth),
            input_ssim=similarity(current, truth),
        )
        scores.append(score)
        tell(score)
    return scores


def magnify(network: Magnifier, reference: Picture, current: Picture, gain: float) -> Picture:
    """The network's picture of ``current`` with ``gain`` times its motion since ``reference``."""
    with torch.inference_mode():
        factor = torch.full((1, 1, 1, 1), gain)
        output, _ = network(as_tensor(reference), as_tensor(current), factor)
    grey_levels = (output[0].permute(1, 2, 0) + 1) * 127.5
    picture: Picture = grey_levels.round().clamp(0, 255).to(torch.uint8).numpy()
    return picture


def as_tensor(picture: Picture) -> Tensor:
    """(height, width, 3) uint8 -> (1, 3, height, width) in [-1, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1


def similarity(picture: Picture, truth: Picture) -> float:
    """SSIM of Wang et al. 2004 (Gaussian window, sigma 1.5 px), mean over the colours, 1 = equal."""
    value = structural_similarity(  # type: ignore[no-untyped-call]
        picture,
        truth,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(np.asarray(value))
