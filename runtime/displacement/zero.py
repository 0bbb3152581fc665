"""Where every region's displacement is counted from: its mean place in the pictures that its template was
learned from.

One noisy picture would be a poor zero: its error would be a constant share in every displacement, as
large as the noise of a single measurement (decision 009).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.displacement.box import Floats
from runtime.displacement.template_keeper import LEARNED_PICTURES


class Zero:
    """The zeros of some regions; all arrays are (regions, 2) for x and y."""

    def __init__(self, regions: int) -> None:
        self._count, self._sum_px, self._sum_px2 = np.zeros((3, regions, 2))
        self._may_end = np.zeros((regions, 2), bool)
        self.is_learned: NDArray[np.bool_] = np.zeros((regions, 2), bool)
        self.px: Floats = np.zeros((regions, 2))
        """The mean so far."""
        self.variance_px2: Floats = np.zeros((regions, 2))
        """Of that mean."""

    def restart(self, rows: Sequence[int]) -> None:
        """These regions have another first picture."""
        for values in (self._count, self._sum_px, self._sum_px2, self._may_end, self.is_learned):
            values[list(rows)] = 0
        self._divide()

    def learn(self, moved_px: Floats, noise_px: Floats, made: Sequence[int]) -> None:
        """Take what is measured (NaN is not) of what has not been learned yet.

        With these pictures the templates of the regions ``made`` are complete, and so are their zeros; only
        an axis that was missing takes longer.
        """
        if self.is_learned.all():
            return
        self._may_end[list(made)] = True
        takes = np.isfinite(moved_px) & ~self.is_learned
        self._count += takes
        self._sum_px += np.where(takes, moved_px, 0.0)
        self._sum_px2 += np.where(takes, np.square(noise_px), 0.0)
        self.is_learned |= (self._count >= LEARNED_PICTURES) & self._may_end
        self._divide()

    def _divide(self) -> None:
        count = np.maximum(self._count, 1)
        self.px, self.variance_px2 = self._sum_px / count, self._sum_px2 / np.square(count)
