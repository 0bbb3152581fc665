"""What became of the alerts of a trial, and of all trials of a row."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Trial:
    """One occurrence of a fault. Alerts are named by their event ids, in the order of creation."""

    created: Sequence[str]
    stored: Sequence[str]
    """Those that the outbox has taken: delivery is promised for these."""
    received: Sequence[str]
    """Each arrival at the consumer."""
    acknowledged: int = 0
    recovery_s: float | None = None
    """From the end of the fault until the broker had accepted every alert."""
    complaints: tuple[str, ...] = ()
    """What else was promised and not kept."""


@dataclass(slots=True)
class Row:
    """One fault, over all of its trials."""

    title: str
    wanted: str = "nothing lost"
    must_hold: bool = True
    """Whether it is a mark; else it shows what happens without one of our measures."""
    trials: int = 0
    created: int = 0
    stored: int = 0
    acknowledged: int = 0
    received: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    strange: int = 0
    """Arrivals that nobody created."""
    recoveries_s: list[float] = field(default_factory=list)
    complaints: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    impossible: str | None = None
    """Why this machine does not let the fault be made."""

    def add(self, trial: Trial) -> None:
        """Count one trial."""
        arrived = set(trial.received)
        self.trials += 1
        self.created += len(trial.created)
        self.stored += len(trial.stored)
        self.acknowledged += trial.acknowledged
        self.received += len(arrived)
        self.lost += len(set(trial.stored) - arrived)
        self.duplicated += len(trial.received) - len(arrived)
        self.out_of_order += out_of_order(trial.created, trial.received)
        self.strange += len(arrived - set(trial.created))
        if trial.recovery_s is not None:
            self.recoveries_s.append(trial.recovery_s)
        self.complaints.update(trial.complaints)

    @property
    def holds(self) -> bool:
        return self.trials > 0 and not (self.lost or self.strange or self.complaints)

    def recovery_s(self, percentile: float) -> float | None:
        if not self.recoveries_s:
            return None
        return float(np.percentile(self.recoveries_s, percentile))


def out_of_order(created: Sequence[str], received: Iterable[str]) -> int:
    """How many first arrivals came after one that was created later."""
    place = {name: number for number, name in enumerate(created)}
    newest, count = -1, 0
    for name in dict.fromkeys(received):
        number = place.get(name, -1)
        count += number < newest
        newest = max(newest, number)
    return count
