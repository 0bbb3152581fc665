"""Stage 1 of the poster: learning to remove, module by module.

How the poster's networks began is not public; here every run starts from the same trained baseline,
learns its switches in the first part of its steps, is rebuilt without what they removed, and recovers in
the rest.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from magnifier.arithmetic import POSTER_PX, cost
from magnifier.exploration import switching
from magnifier.exploration.brief import Laboratory, Score
from magnifier.methods import of_network
from magnifier.networks import Magnifier

MODULES = {
    "encoder": ("encoder",),
    "manipulator": ("manipulator",),
    "decoder": ("texture_up", "decoder", "fine"),
}
"""The baseline's modules by the poster's names."""
START = 0.1
"""Of every w: the network begins as it was, and no slope of w^p is zero."""
LAMBDA_RM, POWER = 0.1, 1.0
LAMBDAS_RM = (0.01, 0.1, 1.0)
POWERS = (0.5, 1.0, 2.0)
LEARNING_SHARE = 0.6
TRAVEL = 3.0
"""As far as a w would go that is always pushed the same way: three times from end to end."""


@dataclass(frozen=True, slots=True)
class Case:
    """Whose parts of which kind may be removed, and how strongly that is rewarded."""

    module: str
    kind: switching.Kind
    lambda_rm: float = LAMBDA_RM
    power: float = POWER


@dataclass(frozen=True, slots=True)
class Removal:
    """What came out: ``trajectory`` is every switch's w after each step, by the switch's name."""

    case: Case | None
    parts: int
    removed: int
    gmac: float
    score: Score
    trajectory: dict[str, list[float]]


def table_cases() -> list[Case]:
    """The rows of the poster's first table."""
    return [Case(module, kind) for module in MODULES for kind in ("relu", "block")]


def strength_cases() -> list[Case]:
    """What lambda_rm and p do, each varied alone, on the decoder's blocks."""
    strengths = [(each, POWER) for each in LAMBDAS_RM] + [(LAMBDA_RM, each) for each in POWERS]
    return [
        Case("decoder", "block", lambda_rm, power)
        for lambda_rm, power in dict.fromkeys(strengths)
        if (lambda_rm, power) != (LAMBDA_RM, POWER)
    ]


def run(
    laboratory: Laboratory,
    trained: Magnifier,
    case: Case | None,
    seed: int,
    tell: Callable[[], None],
) -> Removal:
    """One row; without a case, the trained network after as many steps with nothing removed."""
    network = copy.deepcopy(trained).train()
    trajectory: dict[str, list[float]] = {}
    parts = removed = 0
    learning = round(LEARNING_SHARE * laboratory.recipe.steps)
    if case is None:
        laboratory.train(network, seed, tell, steps=range(learning))
    else:
        module = nn.ModuleList(network.get_submodule(name) for name in MODULES[case.module])
        parts = switching.add_switches(module, case.kind, START)
        trajectory = {name: [] for name in switching.switches(module)}

        def note() -> None:
            switching.clamp_switches(module)
            for name, switch in switching.switches(module).items():
                trajectory[name].append(switch.w.item())

        laboratory.train(
            network,
            seed,
            tell,
            steps=range(learning),
            switch_rate_factor=TRAVEL / (laboratory.recipe.peak_rate * learning),
            beside=lambda: case.lambda_rm * switching.removal_loss(module, case.power),
            after=note,
        )
        switching.decide(module)
        removed = switching.without_removed(module)
    laboratory.train(network, seed, tell, steps=range(learning, laboratory.recipe.steps))
    spent = cost(network, POSTER_PX, POSTER_PX)
    return Removal(
        case=case,
        parts=parts,
        removed=removed,
        gmac=spent.multiply_accumulates / 1e9,
        score=laboratory.score(of_network(network.eval())),
        trajectory=trajectory,
    )
