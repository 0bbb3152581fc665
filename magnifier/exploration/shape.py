"""Stage 2 of the poster: depth, channels and resolution of the decoder, of the baseline otherwise."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from magnifier.arithmetic import POSTER_PX, Cost, cost
from magnifier.exploration.brief import Laboratory, Score
from magnifier.methods import of_network
from magnifier.networks.baseline import Baseline

FULL_HD_PX = (1920, 1080)


@dataclass(frozen=True, slots=True)
class Shape:
    """Blocks and channels of the decoder, and the stride of the grid that its blocks work on."""

    blocks: int
    channels: int
    latent_stride: int

    @property
    def name(self) -> str:
        return f"{self.blocks}x{self.channels} at H/{self.latent_stride}"

    def network(self) -> Baseline:
        return Baseline(self.blocks, self.channels, self.latent_stride)


EQUAL_COST = (Shape(9, 64, 2), Shape(36, 32, 2), Shape(144, 16, 2))
"""Depth against channels at 41.2 GMAC: the poster's second table."""
RESOLUTION = (Shape(9, 64, 4), Shape(36, 32, 4))
"""The same at half the latent resolution."""
DEPTH = (Shape(9, 32, 4), Shape(18, 32, 4))
"""Depth alone, beside 36 of the row above."""
SHAPES = EQUAL_COST + RESOLUTION + DEPTH


@dataclass(frozen=True, slots=True)
class Row:
    """One score for each seed; the cost of a frame at the poster's size and at full HD."""

    shape: Shape
    cost: Cost
    full_hd_cost: Cost
    frame_s: float
    """Measured in ONNX Runtime at the poster's size."""
    scores: tuple[Score, ...]


def run(
    laboratory: Laboratory, shape: Shape, seeds: range, frame_s: float, tell: Callable[[], None]
) -> Row:
    """Train the shape from random weights, once for each seed, and score it."""
    scores = []
    for seed in seeds:
        torch.manual_seed(seed)
        network = shape.network()
        laboratory.train(network, seed, tell)
        scores.append(laboratory.score(of_network(network.eval())))
    network = shape.network()
    return Row(
        shape=shape,
        cost=cost(network, POSTER_PX, POSTER_PX),
        full_hd_cost=cost(network, *FULL_HD_PX),
        frame_s=frame_s,
        scores=tuple(scores),
    )
