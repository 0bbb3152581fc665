"""A natural frequency against its baseline: stiffness that is lost shows as a frequency that falls."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from failure import Failure
from runtime.vibration.tones import Tone

WITHIN = 0.1
"""A peak belongs to the tracked frequency when it is not further from it than this share."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a frequency is from its baseline, in percent of it; negative when it fell."""

    percent: float
    se_percent: float
    baseline_hz: float


@dataclass(slots=True)
class BaselineState:
    """What a tracker has learned. All numbers, so it is kept as JSON.

    The frequency while learning is the mean of ``count`` windows that do not overlap, weighted by one
    over their squared errors; ``squares`` is the weighted sum of squared deviations from it.
    """

    frequency_hz: float | None = None
    weight: float = 0.0
    squares: float = 0.0
    count: int = 0
    learned_s: float = 0.0
    complete: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "BaselineState":
        """Raises Failure for what as_dict did not write."""
        try:
            state = cls(**content)
            numbers = (state.weight, state.squares, state.count, state.learned_s)
            good = all(np.isfinite(number) and number >= 0 for number in numbers)
            if state.frequency_hz is not None:
                good = good and np.isfinite(state.frequency_hz) and state.frequency_hz > 0
            good = bool(good and (state.count > 0) == (state.frequency_hz is not None))
        except TypeError:
            good = False
        if not good:
            raise Failure(
                f"a kept baseline of a frequency is not one: {content}; delete it to learn a new one"
            )
        return state


class FrequencyTracker:
    """Learns one region's natural frequency for ``learn_s`` seconds, then tells its drift.

    With ``baseline_hz`` nothing is learned, and that is taken as exact. A window counts for learning
    only when it does not overlap the one counted before: overlapping windows share their noise, and
    would promise a better baseline than there is. While learning, another frequency that is stronger in
    most windows replaces the first one.
    """

    def __init__(
        self,
        *,
        window_s: float,
        learn_s: float,
        baseline_hz: float | None = None,
        state: BaselineState | None = None,
    ) -> None:
        self._window_s = window_s
        self._learn_s = learn_s
        self._given_hz = baseline_hz
        self._counted_s: float | None = None
        self.state = BaselineState() if state is None else state

    def update(self, t_s: float, tones: Iterable[Tone]) -> Shift | None:
        """Take the tones of the window that ends at t_s (s), strongest first.

        Returns the shift against the baseline; None while that is being learned, or when no tone
        belongs to it.
        """
        tones = list(tones)
        if self._given_hz is not None:
            return _shift(tones, self._given_hz, 0.0)
        if not self.state.complete:
            self._learn(t_s, tones)
            return None
        assert self.state.frequency_hz is not None
        return _shift(tones, self.state.frequency_hz, self.baseline_se_hz)

    @property
    def baseline_hz(self) -> float | None:
        """The baseline, given or learned; None while learning."""
        if self._given_hz is not None:
            return self._given_hz
        return self.state.frequency_hz if self.state.complete else None

    @property
    def baseline_se_hz(self) -> float:
        """From the errors of the windows or from their scatter, whichever is more."""
        state = self.state
        if self._given_hz is not None or state.count == 0:
            return 0.0
        scatter = state.squares / max(state.count - 1, 1)  # 1 where stated errors are right
        return float(np.sqrt(max(scatter, 1.0) / state.weight))

    def _learn(self, t_s: float, tones: list[Tone]) -> None:
        state = self.state
        if self._counted_s is not None:
            if 0 <= t_s - self._counted_s < self._window_s:
                return
            # A clock that went back, or a long break, teaches one window.
            state.learned_s += self._window_s
        self._counted_s = t_s
        if tones:
            self._count(tones)
        if state.learned_s >= self._learn_s and state.count > 1:
            state.complete = True

    def _count(self, tones: list[Tone]) -> None:
        state = self.state
        tone = None if state.frequency_hz is None else _nearest(tones, state.frequency_hz)
        if tone is None:
            if state.count > 1:
                # Only once as many windows lack the frequency as had it is another one learned.
                state.count -= 1
                return
            state.frequency_hz, state.weight, state.squares, state.count = None, 0.0, 0.0, 0
            tone = tones[0]
        weight = tone.frequency_se_hz**-2
        before_hz = tone.frequency_hz if state.frequency_hz is None else state.frequency_hz
        off_hz = tone.frequency_hz - before_hz
        state.weight += weight
        state.frequency_hz = before_hz + off_hz * weight / state.weight
        state.squares += weight * off_hz * (tone.frequency_hz - state.frequency_hz)
        state.count += 1


def _nearest(tones: list[Tone], frequency_hz: float) -> Tone | None:
    """The strongest tone that belongs to a frequency."""
    near = [one for one in tones if abs(one.frequency_hz / frequency_hz - 1) < WITHIN]
    return near[0] if near else None


def _shift(tones: list[Tone], baseline_hz: float, baseline_se_hz: float) -> Shift | None:
    tone = _nearest(tones, baseline_hz)
    if tone is None:
        return None
    ratio = tone.frequency_hz / baseline_hz
    se = float(np.hypot(tone.frequency_se_hz, ratio * baseline_se_hz)) / baseline_hz
    return Shift(100 * (ratio - 1), 100 * se, baseline_hz)
