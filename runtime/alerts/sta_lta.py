"""Short-term over long-term average of a displacement's energy: what has just become lively.

Recursive averages as in Withers et al., "A comparison of select trigger algorithms for automated
global seismic phase and event detection", BSSA 88, 95-106, 1998, after Allen, "Automatic earthquake
recognition and timing from single traces", BSSA 68, 1521-1532, 1978. ObsPy's ``recursive_sta_lta``
is the same for a constant frame rate. The energy is that of the displacement about its mean, which
follows within the short time: neither zero nor slow drift counts.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import signal

Floats = NDArray[np.float64]

_TINY = np.finfo(np.float64).tiny  # what the long average begins with, so that it can divide


class StaLta:
    """The ratio of one axis, sample by sample, at any frame rate.

    While it is above ``freeze_above``, until it is below ``thaw_below``, the long average stands
    still: an event must not become its own background. After ``longest_frozen_s`` it learns again.
    """

    def __init__(
        self,
        sta_s: float,
        lta_s: float,
        *,
        freeze_above: float = np.inf,
        thaw_below: float = 0.0,
        longest_frozen_s: float = np.inf,
    ) -> None:
        self.ratio: float | None = None
        """None until the long average has seen ``lta_s``, and after a missing sample."""
        self._sta_s, self._lta_s = sta_s, lta_s
        self._freeze_above, self._thaw_below = freeze_above, thaw_below
        self._longest_frozen_s = longest_frozen_s
        self._begin()

    def _begin(self) -> None:
        self._mean_px: float | None = None
        self._sta, self._lta = 0.0, float(_TINY)
        self._learned_s = self._frozen_s = 0.0
        self._frozen, self._may_freeze = False, True
        self._last_s: float | None = None

    def add(self, t_s: float, moved_px: float | None) -> float | None:
        """Take one sample (None: missing) and return the ratio.

        Time that has no sample is not averaged. A time that is not later begins anew.
        """
        if self._last_s is not None and t_s <= self._last_s:
            self._begin()
        passed_s = 0.0 if self._last_s is None else t_s - self._last_s
        self._last_s = t_s
        self.ratio = None
        if moved_px is None:
            return None
        if self._mean_px is None:
            self._mean_px = moved_px
            return None
        short, long = min(passed_s / self._sta_s, 1.0), min(passed_s / self._lta_s, 1.0)
        self._mean_px += short * (moved_px - self._mean_px)
        energy = (moved_px - self._mean_px) ** 2
        self._sta += short * (energy - self._sta)
        if self._frozen:
            self._frozen_s += passed_s
        else:
            self._lta += long * (energy - self._lta)
            self._learned_s += passed_s
        if self._learned_s < self._lta_s * (1 - 1e-9):
            return None
        self.ratio = self._sta / self._lta
        self._freeze_or_thaw(self.ratio)
        return self.ratio

    def _freeze_or_thaw(self, ratio: float) -> None:
        if self._frozen and (ratio < self._thaw_below or self._frozen_s >= self._longest_frozen_s):
            # After its longest time the ratio must come down before it may freeze again.
            self._frozen = False
            self._may_freeze = ratio < self._thaw_below
        elif not self._frozen and ratio < self._thaw_below:
            self._may_freeze = True
        elif not self._frozen and self._may_freeze and ratio > self._freeze_above:
            self._frozen, self._frozen_s = True, 0.0


def sta_lta(moved_px: ArrayLike, rate_hz: float, sta_s: float, lta_s: float) -> Floats:
    """The ratio for a whole record (n,) without gaps, at a constant rate and never frozen.

    The plain twin of ``StaLta``; NaN while the long average learns.
    """
    x = np.asarray(moved_px, dtype=np.float64)
    short, long = 1 / (sta_s * rate_hz), 1 / (lta_s * rate_hz)
    mean = _average(x, short, x[0])
    energy = np.square(x - mean)
    energy[0] = 0.0
    ratio: Floats = _average(energy, short, 0.0) / _average(energy, long, float(_TINY))
    ratio[: round(lta_s * rate_hz)] = np.nan
    return ratio


def _average(values: Floats, weight: float, first: float) -> Floats:
    """a[i] = a[i-1] + weight (values[i] - a[i-1]), with a[0] = first."""
    state = np.array([(1 - weight) * first])
    rest, _ = signal.lfilter([weight], [1, weight - 1], values[1:], zi=state)
    averages: Floats = np.concatenate([[first], rest])
    return averages
