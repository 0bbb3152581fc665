"""What is seen of a training run: a progress bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from magnifier.pool import ScenePool
from magnifier.training import Progress as Step
from magnifier.training import Trainer

LINE_EVERY_S = 60.0
SMOOTHING = 0.02


@contextmanager
def display(
    trainer: Trainer, pool: ScenePool, *, visible: bool
) -> Iterator[Callable[[Step], None]]:
    """Fill the pool with its first scenes, then give the function that training tells its steps to."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    similarity = 0.0
    told_at = time.monotonic()
    told_step = trainer.step
    with Progress(*columns, disable=not (visible and sys.stdout.isatty())) as bar:
        task = bar.add_task("rendering scenes", total=pool.first_fill, completed=len(pool))
        while len(pool) < pool.first_fill:
            pool.refresh()
            bar.advance(task)
        bar.remove_task(task)
        task = bar.add_task("training", total=trainer.recipe.steps, completed=trainer.step)

        def tell(step: Step) -> None:
            nonlocal similarity, told_at, told_step
            weight = SMOOTHING if similarity else 1.0
            similarity += weight * (step.similarity - similarity)
            words = f"SSIM {similarity:.3f}, learning rate {step.learning_rate:.1e}"
            bar.update(task, completed=step.step, description=words)
            now = time.monotonic()
            if visible and bar.disable and now - told_at > LINE_EVERY_S:
                pace_s = (now - told_at) / (step.step - told_step)
                print(f"step {step.step}/{step.steps}: {words}, {pace_s:.2f} s a step", flush=True)
                told_at, told_step = now, step.step

        yield tell
