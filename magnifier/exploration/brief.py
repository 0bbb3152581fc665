"""Short, seeded training of equal budget, so that architectures can be compared."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from magnifier.comparison import Distance, quality
from magnifier.exploration import switching
from magnifier.losses import task_loss
from magnifier.methods import Method
from magnifier.networks import Magnifier
from magnifier.networks.blocks import multiply_in_bfloat16
from magnifier.photographs import Picture
from magnifier.pool import ScenePool
from magnifier.scene_folder import StoredScene
from magnifier.training import Recipe, descend, optimiser

POOL_SCENES = 512


@dataclass(frozen=True, slots=True)
class Score:
    """Means over the evaluation scenes."""

    ssim: float
    lpips: float


def descent(network: Magnifier, switch_rate_factor: float) -> torch.optim.AdamW:
    """The optimiser, with a rate for switches that is so many times that of the weights."""
    switched = [switch.w for switch in switching.switches(network).values()]
    others = [each for each in network.parameters() if all(each is not w for w in switched)]
    fast = {"params": switched, "rate_factor": switch_rate_factor, "weight_decay": 0.0}
    return optimiser([{"params": others}, fast])


@dataclass(frozen=True, slots=True)
class Laboratory:
    """What every run of an exploration has in common: what it learns from and is scored on."""

    folder: Path
    """Of the scenes that are learned from, rendered once and then always the same."""
    scenes: list[StoredScene]
    lpips: Distance
    recipe: Recipe

    def fill(self, photographs: list[Picture], tell: Callable[[], None]) -> None:
        """Render the scenes that are missing; ``tell`` is called after each."""
        filled = len(self._pool([], seed=0))
        for number in range(filled, POOL_SCENES):
            # A seed for each, so that a filling that was interrupted goes on with new ones.
            self._pool(photographs, seed=(0, number)).refresh()
            tell()

    def train(
        self,
        network: Magnifier,
        seed: int,
        tell: Callable[[], None],
        *,
        steps: range | None = None,
        switch_rate_factor: float = 1.0,
        beside: Callable[[], Tensor] | None = None,
        after: Callable[[], None] | None = None,
    ) -> None:
        """All of the recipe's steps or some, with the same crops and noise for the same seed.

        ``beside`` gives a loss to be added to the task's; ``after`` is called after each step.
        """
        steps = steps or range(self.recipe.steps)
        torch.manual_seed(seed)  # what the losses draw
        pool = self._pool([], seed=(seed, steps.start))
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        multiply_in_bfloat16(network, self.recipe.bfloat16)
        learning = descent(network, switch_rate_factor)
        for step in steps:
            batch = pool.draw(self.recipe.batch, self.recipe.crop_px)
            loss = task_loss(network, batch).total
            if beside is not None:
                loss = loss + beside()
            descend(learning, loss, self.recipe.learning_rate(step))
            if after is not None:
                after()
            tell()
        multiply_in_bfloat16(network, False)

    def score(self, method: Method) -> Score:
        """Mean SSIM and LPIPS of a method on the evaluation scenes."""
        found = []
        for scene in self.scenes:
            reference, current, truth = scene.pictures()
            found.append(quality(method(reference, current, scene.gain), truth, self.lpips))
        return Score(fmean(each.ssim for each in found), fmean(each.lpips for each in found))

    def _pool(self, photographs: list[Picture], seed: int | tuple[int, int]) -> ScenePool:
        random = np.random.default_rng(seed)
        return ScenePool(self.folder, photographs, random=random, slots=POOL_SCENES)
