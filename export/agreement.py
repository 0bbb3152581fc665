"""How alike two ways of computing the same magnified pictures are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Displacements = NDArray[np.floating[Any]]


@dataclass(slots=True)
class Agreement:
    """Fed with one frame after the other; ``expected`` and ``found`` are what both show of ``frame``."""

    similarity: Callable[[Picture, Picture], float] | None = None
    """SSIM of two pictures; a device has none."""
    largest_difference: float = 0.0
    """Grey levels."""
    _differences: list[float] = field(default_factory=list)
    _similarities: list[float] = field(default_factory=list)
    _shared: float = 0.0
    _expected: float = 0.0

    def add(
        self,
        frame: Picture,
        expected: Picture,
        found: Picture,
        moved: tuple[Displacements, Displacements] | None = None,
    ) -> None:
        """Pictures (height, width, 3) uint8; ``moved`` is by how much both ways displace the frame."""
        difference = np.abs(expected.astype(np.int16) - found)
        self.largest_difference = max(self.largest_difference, float(difference.max()))
        self._differences.append(float(difference.mean()))
        if self.similarity is not None:
            self._similarities.append(self.similarity(found, expected))
        if moved is None:
            right = (expected.astype(np.int16) - frame).astype(np.float64)
            shown = (found.astype(np.int16) - frame).astype(np.float64)
        else:
            right, shown = (each.astype(np.float64) for each in moved)
        self._shared += float((right * shown).sum())
        self._expected += float(np.square(right).sum())

    @property
    def frames(self) -> int:
        """How many were added."""
        return len(self._differences)

    @property
    def mean_difference(self) -> float:
        """Grey levels."""
        return fmean(self._differences)

    @property
    def ssim(self) -> float:
        """Mean SSIM of what was found against what was expected."""
        return fmean(self._similarities)

    @property
    def gain_error(self) -> float:
        """By what share too much (or, below zero, too little) the frames are displaced.

        The share of the expected displacement that is found, by least squares, minus 1; 0 where nothing
        moves. Where no displacement is known, it is the share of the expected change of the picture: a
        coarse figure, in which an error of the motion shows as a third or half of itself.
        """
        return self._shared / self._expected - 1 if self._expected else 0.0
