"""Training: resumable, with atomic checkpoints, on scenes from a pool, by one process or several."""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from failure import Failure
from magnifier import networks, weights
from magnifier.losses import Task
from magnifier.networks.blocks import multiply_in_bfloat16
from magnifier.networks.quantised import fitting
from magnifier.pool import Batch, ScenePool
from magnifier.processes import Processes

CHECKPOINT = "checkpoint.safetensors"
CROPS_PER_SCENE = 32
"""So often every scene serves, each time cropped, turned and photographed anew."""
WEIGHT_DECAY = 1e-4
FITTING_BATCHES = 8
"""To choose the first scales of eight bits from."""
CURVE_EVERY = 250
"""Steps for each point of the learning curve."""
STATE_PREFIXES = ("network.", "average.", "first.", "second.")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run does. The learning rate rises over ``warmup_steps``, stays, and falls at the end."""

    batch: int = 8
    crop_px: int = 128
    steps: int = 40_000
    peak_rate: float = 1e-3
    warmup_steps: int = 200
    falling_share: float = 0.3
    average_decay: float = 0.999
    checkpoint_every_s: float = 120.0
    quantised: bool = False
    """The decoder's blocks in eight bits, fine-tuned from finished weights."""
    bfloat16: bool = False
    """Multiply in bfloat16 in the decoder, which is most of the work."""

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


ALONE = Processes()


def optimiser(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """AdamW; a group's learning rate is its ``rate_factor`` times that of the step."""
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY, fused=True)


def descend(optimiser: torch.optim.AdamW, loss: Tensor, rate: float) -> None:
    """One step down the loss, its gradient clipped to a length of 1."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)
        torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
    optimiser.step()


class Trainer:
    """A network, its moving average and its optimiser, which a checkpoint holds between runs."""

    def __init__(
        self,
        network: networks.Magnifier,
        folder: Path,
        recipe: Recipe,
        start_from: Path | None,
        processes: Processes = ALONE,
    ) -> None:
        if recipe.quantised and recipe.bfloat16:
            raise Failure("--quantised imitates eight bits exactly, which --bfloat16 would blur")
        self.recipe = recipe
        self.step = 0
        self.earlier_steps = 0
        self.core_s = 0.0
        """Processor time of the training so far: this process's cores, times the processes."""
        self.curve: list[tuple[int, float, float]] = []
        """Steps in all, core-hours, and mean SSIM of the crops trained on since the last point."""
        self._recent: list[float] = []
        self._processes = processes
        self._share = processes.share(recipe.batch)
        self._checkpoint = folder / CHECKPOINT
        self.network = network
        multiply_in_bfloat16(self.network, recipe.bfloat16)
        self._blocks = networks.depth(network.state_dict())
        if start_from is not None and not self._checkpoint.exists():
            tensors, facts = weights.read(start_from)
            self._check_network(facts, start_from, "choose other weights")
            self._fill(self.network, tensors, start_from)
            self.earlier_steps = weights.trained_steps(facts)
            self._count_on(facts)
        elif recipe.quantised and not self._checkpoint.exists():
            raise Failure("--quantised fine-tunes finished weights: name them with --start-from")
        if recipe.quantised:
            networks.quantised(self.network)
        self.network.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._optimiser = optimiser([{"params": list(self.network.parameters())}])
        if self._checkpoint.exists():
            self._resume()
        # Asked once by every process: one that asked again for its message would wait for ever.
        first_step = processes.agreed(self.step)
        if first_step != self.step:
            raise Failure(
                f"{self._checkpoint}: at step {self.step} here and at {first_step} in the first "
                "process; give all processes one shared --work folder"
            )
        self._task = processes.together(Task(self.network))

    def run(
        self, pool: ScenePool, minutes: float | None, tell: Callable[[Progress], None]
    ) -> Progress:
        """Train to the recipe's last step, or for ``minutes``, and leave a checkpoint."""
        if self.step == 0:
            if self.recipe.quantised:
                with fitting(self.network):
                    for _ in range(FITTING_BATCHES):
                        self._task(self._drawn(pool, slice(None)))
                self._processes.spread(self.network)
            # Random first weights are the first process's, in the average too.
            self.average.load_state_dict(self.network.state_dict())
        begun = saved = time.monotonic()
        before_core_s, begun_core_s = self.core_s, time.process_time()
        progress = Progress(self.step, self.recipe.steps, math.nan, math.nan, 0.0)
        while self.step < self.recipe.steps:
            if minutes is not None:
                late = time.monotonic() - begun > 60 * minutes
                if self._processes.agreed(late):
                    break
            crops = self.step * self.recipe.batch
            for _ in range(
                crops // CROPS_PER_SCENE, (crops + self.recipe.batch) // CROPS_PER_SCENE
            ):
                pool.refresh()
            progress = self._train_step(self._drawn(pool, self._share))
            tell(progress)
            spent_s = time.process_time() - begun_core_s
            self.core_s = before_core_s + self._processes.count * spent_s
            self._plot(progress)
            if time.monotonic() - saved > self.recipe.checkpoint_every_s:
                self.save()
                saved = time.monotonic()
        self.save()
        return progress

    def _drawn(self, pool: ScenePool, share: slice) -> Batch:
        whole = pool.draw(self.recipe.batch, self.recipe.crop_px)
        return whole.part(share, self._processes.device)

    def _plot(self, progress: Progress) -> None:
        self._recent.append(progress.similarity)
        if self.step % CURVE_EVERY == 0:
            similarity = round(sum(self._recent) / len(self._recent), 4)
            hours = round(self.core_s / 3600, 3)
            self.curve.append((self.earlier_steps + self.step, hours, similarity))
            self._recent.clear()

    def _train_step(self, batch: Batch) -> Progress:
        rate = self.recipe.learning_rate(self.step)
        loss, similarity = self._task(batch)
        descend(self._optimiser, loss, rate)
        self.step += 1
        # The average follows closely at first, when the weights are still far from good.
        decay = min(self.recipe.average_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.network.parameters()), 1 - decay
            )
        return Progress(self.step, self.recipe.steps, loss.item(), similarity, rate)

    def save(self) -> None:
        """Write the checkpoint, atomically, by the first process."""
        if not self._processes.first:
            return
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
            "core_hours": f"{self.core_s / 3600:.3f}",
            "quantised": "yes" if self.recipe.quantised else "no",
            "curve": json.dumps(self.curve),
            "recipe": json.dumps({key: getattr(self.recipe, key) for key in Recipe.__slots__}),
        }

    def _resume(self) -> None:
        tensors, facts = weights.read(self._checkpoint)
        self._check_network(facts, self._checkpoint, "choose another --work folder")
        parts: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in STATE_PREFIXES}
        for key, value in tensors.items():
            prefix = next(prefix for prefix in STATE_PREFIXES if key.startswith(prefix))
            parts[prefix][key.removeprefix(prefix)] = value
        if self.recipe.quantised and networks.depth(parts["network."]) != self._blocks:
            raise Failure(
                f"{self._checkpoint}: has {networks.depth(parts['network.'])} decoder blocks in eight "
                "bits; new ones would have no scales, so it goes on with as many"
            )
        self._fill(self.network, parts["network."], self._checkpoint)
        # Blocks that were just added differ in their random first halves: take the same ones.
        self.average.load_state_dict(self.network.state_dict())
        self._fill(self.average, parts["average."], self._checkpoint)
        self.step = int(facts["steps"])
        self.earlier_steps = int(facts.get("earlier_steps", 0))
        self._count_on(facts)
        if networks.depth(parts["network."]) != self._blocks:
            return  # the optimiser's moments belong to the shallower network
        for key, parameter in self.network.named_parameters():
            if key in parts["first."]:
                self._optimiser.state[parameter] = {
                    "step": torch.tensor(float(self.step), device=parameter.device),
                    # Laid out in memory as the parameter is, or every step would convert.
                    "exp_avg": torch.empty_like(parameter).copy_(parts["first."][key]),
                    "exp_avg_sq": torch.empty_like(parameter).copy_(parts["second."][key]),
                }

    def _check_network(self, facts: dict[str, str], source: Path, mend: str) -> None:
        if facts.get("network") != self.network.name:
            raise Failure(
                f'{source}: is of the network "{facts.get("network")}", not of '
                f'"{self.network.name}"; {mend}'
            )

    def _count_on(self, facts: dict[str, str]) -> None:
        self.core_s = 3600 * float(facts.get("core_hours", 0))
        self.curve = [tuple(point) for point in json.loads(facts.get("curve", "[]"))]

    def _fill(self, network: networks.Magnifier, tensors: dict[str, Tensor], source: Path) -> None:
        blocks = networks.depth(tensors)
        if blocks > self._blocks:
            raise Failure(
                f"{source}: has {blocks} decoder blocks, {self._blocks} were asked for; "
                "a network can only be made deeper"
            )
        networks.deepened(network, tensors)
