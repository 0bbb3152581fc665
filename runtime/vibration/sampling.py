"""What the camera's rate allows, and warnings where it does not allow what was asked for.

A camera samples without a filter before it: vibration above the Nyquist frequency, half the frame
rate, is not removed but shows at a lower, wrong frequency.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median

import numpy as np
from numpy.typing import ArrayLike

from runtime.vibration.derivatives import HIGHEST_SHARE
from runtime.vibration.record import LONGEST_GAP_STEPS, Floats, median_of

_NEAR_NYQUIST = 0.8  # share of it beyond which a peak is doubted
_CHANGED = 0.02  # share by which the rate may differ between both halves of the window
_MOST_LOST = 0.05  # share of frames that may be missing or unusable
_MOST_BLURRED = 0.1  # share of an amplitude that exposure may take away
_FEWEST_STEPS = 16

_WATCHED_STEPS = 32
_OTHER_RATE = 1.1  # a step longer or shorter by this factor is another rate


class RateWatch:
    """Says when frames come at another rate than before, so that no spectrum mixes the two.

    Both the median and the mean of the newest steps must have changed, in a stretch without long gaps:
    lost frames change only the mean, and frames that come in bursts only the median.
    """

    def __init__(self) -> None:
        self._steps_ns: deque[int] = deque(maxlen=_WATCHED_STEPS)
        self._newest_ns: int | None = None
        self._usual: tuple[float, float] | None = None

    def has_changed(self, t_ns: int) -> bool:
        """Take the time of every frame; whether the rate has changed by now."""
        last_ns, self._newest_ns = self._newest_ns, t_ns
        if last_ns is None or t_ns <= last_ns:
            self._steps_ns.clear()
            return False
        self._steps_ns.append(t_ns - last_ns)
        middle_ns = float(median(self._steps_ns))
        if (
            len(self._steps_ns) < _WATCHED_STEPS
            or max(self._steps_ns) > LONGEST_GAP_STEPS * middle_ns
        ):
            return False
        now = (middle_ns, sum(self._steps_ns) / len(self._steps_ns))
        if self._usual is None:
            self._usual = now
        ratios = [one / usual for one, usual in zip(now, self._usual, strict=True)]
        if not (min(ratios) > _OTHER_RATE or max(ratios) < 1 / _OTHER_RATE):
            return False
        self._steps_ns.clear()
        self._usual = None
        return True


def rate_of(t_s: Floats) -> float | None:
    """Frames a second while no frame is lost; None for fewer than three time stamps.

    The median step says how many frames each step stands for, and the mean of these steps is right
    where times are rounded: Matroska's whole milliseconds have a median of 33 ms at 30 fps.
    """
    return _rate(np.diff(t_s)) if len(t_s) > 2 else None


def _rate(steps_s: Floats) -> float:
    count = np.rint(steps_s / median_of(steps_s))
    near = count <= LONGEST_GAP_STEPS  # in a longer gap, the count itself may be wrong
    return float(count[near].sum() / steps_s[near].sum())


def warnings_of(
    t_s: Floats,
    measured: ArrayLike,
    *,
    low_hz: float,
    high_hz: float | None,
    peaks_hz: Sequence[float] = (),
    exposure_s: float | None = None,
) -> tuple[str, ...]:
    """Sentences on what cannot be trusted; empty when all is well.

    t_s (n,) are the time stamps of a window and ``measured`` (n,) is false where a frame gave no
    measurement. ``exposure_s`` is how long each picture is exposed, where that is known.
    """
    rate_hz = rate_of(t_s)
    if rate_hz is None:
        return ()
    nyquist_hz = rate_hz / 2
    told = [
        f"the peak at {hz:.3g} Hz is near the Nyquist frequency {nyquist_hz:.3g} Hz and may be the alias "
        "of a faster vibration; raise the frame rate to tell"
        for hz in sorted(peaks_hz)
        if hz > _NEAR_NYQUIST * nyquist_hz
    ]
    top_hz = HIGHEST_SHARE * nyquist_hz
    if low_hz >= top_hz:
        told.append(
            f"{rate_hz:.3g} frames a second cannot show the band from {low_hz:g} Hz: no velocity; "
            f"raise the frame rate above {2 * low_hz / HIGHEST_SHARE:.3g} Hz or lower low_hz"
        )
    elif high_hz is not None and high_hz > top_hz:
        beyond = "beyond" if high_hz > nyquist_hz else "too near"
        told.append(
            f"high_hz = {high_hz:g} Hz is {beyond} the Nyquist frequency {nyquist_hz:.3g} Hz: velocity "
            f"ends at {top_hz:.3g} Hz; raise the frame rate above {2 * high_hz / HIGHEST_SHARE:.3g} Hz "
            "or lower high_hz"
        )
    if exposure_s is not None:
        told += _of_exposure(exposure_s, rate_hz, min(top_hz, high_hz or top_hz))
    steps_s = np.diff(t_s)
    if len(steps_s) >= _FEWEST_STEPS:
        halves_hz = [_rate(half) for half in np.array_split(steps_s, 2)]
        if abs(halves_hz[1] / halves_hz[0] - 1) > _CHANGED:
            told.append(
                f"the frame rate changed from {halves_hz[0]:.3g} to {halves_hz[1]:.3g} Hz; frequencies "
                "are right, but the spectrum mixes two Nyquist frequencies"
            )
        told += _of_gaps(steps_s, measured, rate_hz)
    return tuple(told)


def _of_exposure(exposure_s: float, rate_hz: float, top_hz: float) -> list[str]:
    if exposure_s * rate_hz > 1 + _CHANGED:
        return [
            f"an exposure of {exposure_s:g} s does not fit {rate_hz:.3g} frames a second; correct "
            "exposure_s"
        ]
    # A picture shows the mean position while it was exposed: amplitudes times sin(u) / u.
    lost = 1 - float(np.sinc(top_hz * exposure_s))
    if lost <= _MOST_BLURRED:
        return []
    return [
        f"an exposure of {exposure_s:g} s takes {100 * lost:.0f} % of the amplitude away at "
        f"{top_hz:.3g} Hz; expose shorter, with more light"
    ]


def _of_gaps(steps_s: Floats, measured: ArrayLike, rate_hz: float) -> list[str]:
    # A step of n frames' length has lost n - 1 of them. Steps are compared with their neighbours, or a
    # rate that changed would count as frames lost.
    halves = [half / median_of(half) for half in np.array_split(steps_s, 2)]
    lost = int(sum(np.sum(np.maximum(np.round(half) - 1, 0)) for half in halves))
    missing = lost + int(np.sum(~np.asarray(measured, dtype=bool)))
    expected = len(steps_s) + 1 + lost
    if missing <= _MOST_LOST * expected:
        return []
    longest_s = float(steps_s.max())
    tail = ""
    if longest_s * rate_hz > LONGEST_GAP_STEPS:
        tail = f", the longest gap is {longest_s:.2g} s"
    return [f"{100 * missing / expected:.0f} % of the frames are lost or gave no measurement{tail}"]
