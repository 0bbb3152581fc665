"""What a video codec adds to the errors of displacement, as its key frames tell.

A codec that makes pictures from others sends only what has changed by enough. What it shows lags behind, or
stands still, and no such picture tells by how much. A key frame is drawn anew: there the displacement jumps
from one error to another, which has nothing to do with the first. What the squares of such jumps have more than
those of ordinary differences, which hold motion and noise, is the sum of both errors' variances; half of it
is one's. Noise is in it that the codec holds still from key frame to key frame: ordinary differences tell what
is new in each picture, and what there is more in a picture's noise is taken out again.

First and second differences of the displacement are compared. Some motion is left in either by chance, and most
of the time more in one of them: so the smaller answer is taken.
"""

from collections.abc import Sequence

import numpy as np

from runtime.displacement.box import Floats

_MOST_JUMPS = 16  # that the means go back over: motion, bit rate and light change
_LONGEST_STEP = 1.5  # times the last: after a longer one, what moved meanwhile is no jump


class CodecError:
    """Follows the regions of one camera; arrays are (regions, 2) for x and y."""

    def __init__(self, regions: int) -> None:
        self._before_px = np.full((2, regions, 2), np.nan)  # in the last frame, and the one before
        # Squares of both differences: sums since the key frame, and means over key frames.
        self._sums_px2, self._steps_px2, self._jumps_px2 = np.zeros((3, 2, regions, 2))
        self._steps, self._jumps = np.zeros((2, regions, 2))
        self.is_coded = False
        """Whether any picture so far was made from others."""
        self._drew_anew = False
        self._newest_ns, self._step_ns = 0, 0

    def variance_px2(
        self,
        t_ns: int,
        moved_px: Floats,
        noise_px: Floats,
        *,
        predicted: bool,
        began: Sequence[int] = (),
    ) -> Floats | None:
        """Of the codec's error, by what is known so far: NaN where nothing is, as before two key frames.

        To be called with each frame's places and their standard errors, NaN where missing; places of regions
        that ``began`` with it are counted from somewhere else than before. None where no picture was
        ``predicted`` yet. What of the noise is in the jumps, too, is left out.
        """
        step_ns, self._newest_ns = t_ns - self._newest_ns, t_ns
        goes_on = 0 < step_ns <= _LONGEST_STEP * self._step_ns
        self._step_ns = step_ns
        self.is_coded |= predicted
        if not self.is_coded:
            return None
        self._before_px[:, list(began) if goes_on else slice(None)] = np.nan
        last_px, older_px = self._before_px
        squares = np.square(np.stack([moved_px - last_px, moved_px - 2 * last_px + older_px]))
        known = np.isfinite(squares).all(axis=0)
        if not predicted:
            self._jump(squares, known & (self._steps > 0))
        elif not self._drew_anew:  # a jump is in the second difference after it, too
            self._sums_px2 += np.where(known, squares, 0.0)
            self._steps += known
        self._before_px = np.stack([moved_px, last_px])
        self._drew_anew = not predicted
        excess_px2 = np.maximum(self._jumps_px2 - self._steps_px2, 0.0).min(axis=0)
        # The variance of few jumps is more often too small than too large.
        excess_px2 *= 1 + 1 / np.maximum(self._jumps, 1)
        # Noise that the codec holds until the next key frame is in the jumps, and not in the steps.
        fresh_px2 = np.minimum(self._steps_px2[0] / 2, self._steps_px2[1] / 6)
        held_px2 = np.nan_to_num(np.maximum(np.square(noise_px) - fresh_px2, 0.0))
        return np.where(self._jumps > 0, np.maximum(excess_px2 / 2 - held_px2, 0.0), np.nan)

    def _jump(self, squares: Floats, known: Floats) -> None:
        """Take a jump, and the mean of the steps before it: of the same motion, with the same weight."""
        self._jumps += known
        weight = known / np.clip(self._jumps, 1, _MOST_JUMPS)
        steps_px2 = self._sums_px2 / np.maximum(self._steps, 1)
        self._jumps_px2 += weight * np.where(known, squares - self._jumps_px2, 0.0)
        self._steps_px2 += weight * np.where(known, steps_px2 - self._steps_px2, 0.0)
        self._sums_px2[:], self._steps[:] = 0.0, 0.0
