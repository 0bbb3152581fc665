"""What a benchmark says of a mark, and how it writes figures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was promised, and what was found."""

    what: str
    wanted: str
    found: str
    holds: bool
    why: str | None = None
    """Why it does not hold, where that is known."""


def rms(values: ArrayLike) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %"
