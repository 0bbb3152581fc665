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


def row(mark: Mark) -> str:
    """A line of a Markdown table: the mark, what was wanted, what was found, the verdict."""
    why = f"; {mark.why}" if mark.why is not None and not mark.holds else ""
    verdict = "holds" if mark.holds else "**fails**"
    return f"| {mark.what} | {mark.wanted} | {mark.found}{why} | {verdict} |"


def rms(values: ArrayLike) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %"
