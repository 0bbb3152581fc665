"""Training: resumable, with atomic checkpoints, on scenes from a pool."""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from failure import Failure
from magnifier import networks, weights
from magnifier.losses import task_loss
from magnifier.pool import Batch, ScenePool

CHECKPOINT = "checkpoint.safetensors"
STEPS_PER_SCENE = 4
"""Every scene serves about 32 times, each time cropped, turned and photographed anew."""
STATE_PREFIXES = ("network.", "average.", "first.", "second.")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run does. The learning rate rises over ``warmup_steps``, stays, and falls at the end."""

    blocks: int
    batch: int = 8
    crop_px: int = 128
    steps: int = 40_000
    peak_rate: float = 1e-3
    warmup_steps: int = 200
    falling_share: float = 0.3
    average_decay: float = 0.999
    checkpoint_every_s: float = 120.0

    def learning_rate(self, step: int) -> float:
        warm = min(1.0, (step + 1) / self.warmup_steps)
        falling = (step - (1 - self.falling_share) * self.steps) / (self.falling_share * self.steps)
        cool = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, falling))))
        return self.peak_rate * warm * max(0.01, cool)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after a step."""

    step: int
    steps: int
    loss: float
    similarity: float
    learning_rate: float


class Trainer:
    """A network, its moving average and its optimiser, which a checkpoint holds between runs."""

    def __init__(self, name: str, folder: Path, recipe: Recipe, start_from: Path | None) -> None:
        self.recipe = recipe
        self.step = 0
        self.earlier_steps = 0
        self.trained_s = 0.0
        self._checkpoint = folder / CHECKPOINT
        self.network = networks.build(name, recipe.blocks)
        if start_from is not None and not self._checkpoint.exists():
            tensors, facts = weights.read(start_from)
            self._fill(self.network, tensors, start_from)
            self.earlier_steps = weights.trained_steps(facts)
            self.trained_s = 3600 * float(facts.get("hours", 0))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=recipe.peak_rate,
            betas=(0.9, 0.99),
            weight_decay=1e-4,
            fused=True,
        )
        if self._checkpoint.exists():
            self._resume()

    def run(
        self, pool: ScenePool, minutes: float | None, tell: Callable[[Progress], None]
    ) -> Progress:
        """Train to the recipe's last step, or for ``minutes``, and leave a checkpoint."""
        begun = saved = time.monotonic()
        before_s = self.trained_s
        progress = Progress(self.step, self.recipe.steps, math.nan, math.nan, 0.0)
        while self.step < self.recipe.steps:
            if minutes is not None and time.monotonic() - begun > 60 * minutes:
                break
            if self.step % STEPS_PER_SCENE == 0:
                pool.refresh()
            progress = self._train_step(pool.draw(self.recipe.batch, self.recipe.crop_px))
            tell(progress)
            self.trained_s = before_s + time.monotonic() - begun
            if time.monotonic() - saved > self.recipe.checkpoint_every_s:
                self.save()
                saved = time.monotonic()
        self.save()
        return progress

    def _train_step(self, batch: Batch) -> Progress:
        rate = self.recipe.learning_rate(self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        loss, similarity = task_loss(self.network, batch)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        self.step += 1
        # The average follows closely at first, when the weights are still far from good.
        decay = min(self.recipe.average_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.network.parameters()), 1 - decay
            )
        return Progress(self.step, self.recipe.steps, loss.item(), similarity, rate)

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for key, parameter in self.network.named_parameters():
            moments = self._optimiser.state.get(parameter, {})
            if moments:
                tensors[f"first.{key}"] = moments["exp_avg"]
                tensors[f"second.{key}"] = moments["exp_avg_sq"]
        weights.save(self._checkpoint, tensors, self._facts())

    def save_average(self, path: Path) -> None:
        """Write the averaged weights alone: what is evaluated, exported and released."""
        weights.save(path, self.average.state_dict(), self._facts())

    def _facts(self) -> dict[str, str]:
        return {
            "network": self.network.name,
            "steps": str(self.step),
            "earlier_steps": str(self.earlier_steps),
            "hours": f"{self.trained_s / 3600:.2f}",
            "recipe": json.dumps({key: getattr(self.recipe, key) for key in Recipe.__slots__}),
        }

    def _resume(self) -> None:
        tensors, facts = weights.read(self._checkpoint)
        if facts.get("network") != self.network.name:
            raise Failure(
                f'{self._checkpoint}: is of the network "{facts.get("network")}", not of '
                f'"{self.network.name}"; choose another --work folder'
            )
        parts: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in STATE_PREFIXES}
        for key, value in tensors.items():
            prefix = next(prefix for prefix in STATE_PREFIXES if key.startswith(prefix))
            parts[prefix][key.removeprefix(prefix)] = value
        self._fill(self.network, parts["network."], self._checkpoint)
        # Blocks that were just added differ in their random first halves: take the same ones.
        self.average.load_state_dict(self.network.state_dict())
        self._fill(self.average, parts["average."], self._checkpoint)
        self.step = int(facts["steps"])
        self.earlier_steps = int(facts.get("earlier_steps", 0))
        self.trained_s = 3600 * float(facts["hours"])
        if networks.depth(parts["network."]) != self.recipe.blocks:
            return  # the optimiser's moments belong to the shallower network
        for key, parameter in self.network.named_parameters():
            if key in parts["first."]:
                self._optimiser.state[parameter] = {
                    "step": torch.tensor(float(self.step)),
                    # Laid out in memory as the parameter is, or every step would convert.
                    "exp_avg": torch.empty_like(parameter).copy_(parts["first."][key]),
                    "exp_avg_sq": torch.empty_like(parameter).copy_(parts["second."][key]),
                }

    def _fill(self, network: networks.Magnifier, tensors: dict[str, Tensor], source: Path) -> None:
        blocks = networks.depth(tensors)
        if blocks > self.recipe.blocks:
            raise Failure(
                f"{source}: has {blocks} decoder blocks, {self.recipe.blocks} were asked for; "
                "a network can only be made deeper"
            )
        networks.deepened(network, tensors)
