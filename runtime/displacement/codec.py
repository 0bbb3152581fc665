"""What a video codec adds to the errors of displacement, as its key frames tell.

A codec that makes pictures from others sends only what has changed by enough. What it shows lags behind, or
stands still, and no such picture tells by how much. A key frame is drawn anew: there the displacement jumps
from one error to another, which has nothing to do with the first. What the squares of such jumps have more than
those of ordinary differences, which hold motion and noise, is the sum of both errors' variances; half of it
is one's.

First and second differences of the displacement are compared. Some motion is left in either by chance, and most
of the time more in one of them: so the smaller answer is taken.
"""

from collections.abc import Sequence

import numpy as np

from runtime.displacement.box import Floats

_MOST_JUMPS, _MOST_STEPS = 64, 4096  # that the means go back over: bit rate and light change


class CodecError:
    """Follows the regions of one camera; arrays are (regions, 2) for x and y."""

    def __init__(self, regions: int) -> None:
        self._before_px = np.full((2, regions, 2), np.nan)  # in the last frame, and the one before
        self._jumps_px2, self._steps_px2 = np.zeros((2, 2, regions, 2))  # of both differences
        self._jumps, self._steps = np.zeros((2, regions, 2))
        self._predicts = self._drew_anew = False

    def variance_px2(
        self, moved_px: Floats, *, predicted: bool, began: Sequence[int] = ()
    ) -> Floats | None:
        """Of the codec's error, by what is known so far; None where no picture was ``predicted`` yet.

        To be called with each frame's places, NaN where missing; places of regions that ``began`` with it
        are counted from somewhere else than before. 0 before the first key frame.
        """
        self._predicts |= predicted
        if not self._predicts:
            return None
        self._before_px[:, list(began)] = np.nan
        last_px, older_px = self._before_px
        squares = np.square(np.stack([moved_px - last_px, moved_px - 2 * last_px + older_px]))
        known = np.isfinite(squares).all(axis=0)
        if not predicted:
            _average(self._jumps_px2, self._jumps, squares, known, _MOST_JUMPS)
        elif not self._drew_anew:  # a jump is in the second difference after it, too
            _average(self._steps_px2, self._steps, squares, known, _MOST_STEPS)
        self._before_px = np.stack([moved_px, last_px])
        self._drew_anew = not predicted
        excess = np.maximum(self._jumps_px2 - self._steps_px2, 0.0).min(axis=0)
        # Few jumps tell their variance badly: as Student's distribution is wider than the normal one.
        excess *= 1 + 1 / np.maximum(self._jumps, 1)
        return np.where((self._jumps > 0) & (self._steps > 0), excess / 2, 0.0)


def _average(means: Floats, counts: Floats, values: Floats, known: Floats, most: int) -> None:
    """Take values, (2, regions, 2), into means over about the last ``most`` of them, in place."""
    counts += known
    weights = known / np.clip(counts, 1, most)
    means += weights * np.where(known, values - means, 0.0)
