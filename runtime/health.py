"""Is the camera well? Its problems are conditions with the same life as alerts, of kind ``health``.

Looked at are frame times, a sample of every picture four times a second, and what the regions say of
themselves. A problem that makes readings worthless is told to the alert rules (``spoiled``).

Regions that shift together need not mean that the camera moved: a deck may settle as a whole. It
spoils the rules only where regions on something still (references) say so.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from failure import Failure
from runtime.alerts.condition import AlertStep, Condition, Identity, Seen, SuppressedStep
from runtime.alerts.life import Timing, Verdict
from runtime.camera.problem import Frozen, Resized
from runtime.config.alerts import Quantity
from runtime.config.health import Check, Health
from runtime.displacement import Displacement
from runtime.frame import Frame
from runtime.picture_look import Look, look_at

LOOK_EVERY_S = 0.25
LEARNED_LOOKS = 40
FOLLOWED_S = 3600.0
"""Time constant with which the learned sharpness follows light and season."""
RATE_OVER_S = 2.0
SHIFT_OVER_S = 5.0
"""Shifts are averaged over this time, so that vibration is none."""
MOST_TIMES = 4096

_AGREE = 0.3  # regions shifted together differ by less than this part of their shift
_HYSTERESIS = 1.25
_RATE_SHARE = 0.8  # of the wanted rate
_RATE_CLEAR = 1.05
_SHORTEST_WAIT_S, _WAITED_FRAMES = 1.0, 3.0  # a frame is late after both

COVERED, BLURRED, MOVED = "changed:", "blur", "moved:"
"""How the reasons of displacements begin that count here."""

_FROM_PICTURE = tuple(get_args(Quantity))
_FROM_RATE = tuple(
    name
    for name in _FROM_PICTURE
    if not name.startswith("displacement") and name not in ("signal_to_noise", "sta_lta")
)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one check sees now. ``value`` is in the unit of the check's quantity."""

    verdict: Verdict
    value: float | None = None
    reason: str | None = None


_UNKNOWN = _Found(Verdict.UNKNOWN)
_FINE = _Found(Verdict.BELOW)


class CameraHealth:
    """All checks of one camera. Memory is bounded; for one thread."""

    def __init__(
        self,
        health: Health,
        *,
        wanted_hz: float | None,
        references: Collection[str] = (),
        unix_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``wanted_hz``: the camera's configured rate; ``references``: regions on something still."""
        self.configuration_problem: str | None = None
        """Why the newest configuration is not the one in use, when it is not; any thread may set it."""
        self._health = health
        self._least_hz = health.rate.least_hz or (wanted_hz and _RATE_SHARE * wanted_hz) or None
        self._references = frozenset(references)
        self._unix_s, self._steady_s = unix_s, steady_s
        self._times_s: deque[float] = deque(maxlen=MOST_TIMES)
        self._looked_s = -math.inf
        self._look: Look | None = None
        self._same = False
        self._sharpness: float | None = None  # learned
        self._looks = 0
        self._shifts: dict[str, NDArray[np.float64]] = {}
        self._shifted_s: float | None = None
        self._offset_s: float | None = None
        thresholds = {
            "offline": ("frame_age_s", _SHORTEST_WAIT_S, health.offline),
            "frozen": ("unchanged_pictures", 1.0, health.frozen),
            "resized": ("pictures_of_other_size", 1.0, health.resized),
            "dark": ("brightness_grey", health.dark.below_grey, health.dark),
            "blurred": ("sharpness_share", health.blurred.below_share, health.blurred),
            "occluded": ("covered_share", health.occluded.regions_share, health.occluded),
            "moved": ("common_shift_px", health.moved.beyond_px, health.moved),
            "rate": ("rate_hz", self._least_hz or 0.0, health.rate),
            "clock": ("clock_jump_s", health.clock.beyond_s, health.clock),
        }
        self._conditions = {
            name: _condition(name, quantity, threshold, check)
            for name, (quantity, threshold, check) in thresholds.items()
            if check.enabled
        }
        self._conditions["configuration"] = Condition(
            Identity("health", "configuration", None, "problems"),
            1.0,
            Timing(0.0, 0.0),
            grows=False,
        )

    def look(self, frame: Frame) -> None:
        """Take every frame; most cost only their time."""
        t_s = frame.t_capture_ns / 1e9
        if self._times_s and t_s <= self._times_s[-1]:
            self._times_s.clear()
        self._times_s.append(t_s)
        while t_s - self._times_s[0] > RATE_OVER_S:
            self._times_s.popleft()
        if not 0 <= t_s - self._looked_s < LOOK_EVERY_S:
            self._looked_s = t_s
            look = look_at(frame.image)
            self._same = self._look is not None and look.is_same_as(self._look)
            self._look = look
            self._learn(look)

    def judge(
        self, t_s: float, displacements: Sequence[Displacement], problem: Failure | None = None
    ) -> tuple[list[AlertStep], list[SuppressedStep]]:
        """Judge at capture time t_s (s); without displacements no frame has come.

        ``problem`` is what the camera's station says of itself.
        """
        unused = self.configuration_problem
        found = {
            "clock": self._clock(),
            "configuration": _FINE if unused is None else _Found(Verdict.ABOVE, 1.0, unused),
        }
        if not displacements:
            found |= self._without_frames(t_s, problem)
        else:
            found |= {
                "offline": _FINE,
                "resized": _FINE,
                "frozen": self._frozen(),
                "dark": self._dark(),
                "blurred": self._blurred(displacements),
                "occluded": self._occluded(displacements),
                "moved": self._moved(t_s, displacements),
                "rate": self._rate(),
            }
        steps: list[AlertStep] = []
        suppressed: list[SuppressedStep] = []
        for name, condition in self._conditions.items():
            one = found.get(name, _UNKNOWN)
            step = condition.update(t_s, one.verdict, Seen(one.value, reason=one.reason))
            if isinstance(step, AlertStep):
                steps.append(step)
            elif step is not None:
                suppressed.append(step)
        return steps, suppressed

    def spoiled(self) -> dict[str, str]:
        """Quantities that cannot be trusted now, each with what is wrong."""
        spoiled: dict[str, str] = {}
        for name in self.problems():
            for quantity in self._spoils(name):
                spoiled.setdefault(quantity, f"the camera is unwell: {name}")
        return spoiled

    def problems(self) -> tuple[str, ...]:
        """The names of what is wrong now."""
        return tuple(name for name, one in self._conditions.items() if one.told is not None)

    def conditions(self) -> Iterator[Condition]:
        yield from self._conditions.values()

    def is_late(self, waited_s: float) -> bool:
        """Whether this is longer than a frame should take, at the rate at which they came."""
        steps = np.diff(self._times_s) if len(self._times_s) > 1 else np.zeros(1)
        return waited_s > max(_SHORTEST_WAIT_S, _WAITED_FRAMES * float(np.median(steps)))

    def _spoils(self, problem: str) -> tuple[str, ...]:
        if problem in ("clock", "configuration") or (problem == "moved" and not self._references):
            return ()
        return _FROM_RATE if problem == "rate" else _FROM_PICTURE

    def _without_frames(self, t_s: float, problem: Failure | None) -> dict[str, _Found]:
        """What the camera's station says of a camera that gives no frame that can be used."""
        for kind, name in ((Frozen, "frozen"), (Resized, "resized")):
            if isinstance(problem, kind):
                return {name: _Found(Verdict.ABOVE, 1.0, str(problem)), "offline": _FINE}
        age_s = t_s - self._times_s[-1] if self._times_s else None
        return {"offline": _Found(Verdict.ABOVE, age_s, str(problem or "no frame comes"))}

    def _frozen(self) -> _Found:
        return _Found(Verdict.ABOVE if self._same else Verdict.BELOW, float(self._same))

    def _dark(self) -> _Found:
        if self._look is None:
            return _UNKNOWN
        return _low(self._look.brightness_grey, self._health.dark.below_grey, _HYSTERESIS)

    def _learn(self, look: Look) -> None:
        """The sharpness to compare with: the first looks' mean, then following slowly."""
        if look.sharpness is None or look.brightness_grey < self._health.dark.below_grey:
            return
        if self._sharpness is None:
            self._sharpness, self._looks = look.sharpness, 1
            return
        share = look.sharpness / self._sharpness if self._sharpness > 0 else 1.0
        if self._looks >= LEARNED_LOOKS and share < _HYSTERESIS * self._health.blurred.below_share:
            return  # what may be a blur is not learned
        self._looks += 1
        weight = max(1 / self._looks, LOOK_EVERY_S / FOLLOWED_S)
        self._sharpness += weight * (look.sharpness - self._sharpness)

    def _blurred(self, displacements: Sequence[Displacement]) -> _Found:
        told = [one for one in displacements if _says(one, BLURRED)]
        if len(told) > len(displacements) / 2:
            return _Found(Verdict.ABOVE, reason=told[0].reason)
        if self._look is None or self._look.sharpness is None or self._sharpness is None:
            return _UNKNOWN
        if self._looks < LEARNED_LOOKS or self._sharpness <= 0:
            return _UNKNOWN
        share = self._look.sharpness / self._sharpness
        return _low(share, self._health.blurred.below_share, _HYSTERESIS)

    def _occluded(self, displacements: Sequence[Displacement]) -> _Found:
        covered = [one for one in displacements if _says(one, COVERED)]
        share = len(covered) / len(displacements)
        if share < self._health.occluded.regions_share:
            return _Found(Verdict.BELOW, share)
        return _Found(Verdict.ABOVE, share, covered[0].reason)

    def _moved(self, t_s: float, displacements: Sequence[Displacement]) -> _Found:
        """Shifted are the references, or else all regions, two at least, by nearly the same."""
        passed_s = 0.0 if self._shifted_s is None else max(t_s - self._shifted_s, 0.0)
        self._shifted_s = t_s
        watched = [one for one in displacements if one.region in self._references]
        needed = 1 if watched else 2
        watched = watched or list(displacements)
        beyond = [one for one in watched if _says(one, MOVED)]
        if len(beyond) == len(watched) >= needed:
            return _Found(Verdict.ABOVE, reason=beyond[0].reason)
        shifts = [self._shift(one, passed_s) for one in watched]
        known = np.array([shift for shift in shifts if shift is not None])
        if len(known) < needed:
            return _UNKNOWN
        common = np.median(known, axis=0)
        distance_px = float(np.hypot(*common))
        spread_px = float(np.hypot(*(known - common).T).max())
        together = spread_px <= _AGREE * distance_px
        most_px = self._health.moved.beyond_px
        if distance_px > most_px and together:
            return _Found(Verdict.ABOVE, distance_px)
        if distance_px < most_px / _HYSTERESIS or not together:
            return _Found(Verdict.BELOW, distance_px)
        return _Found(Verdict.BETWEEN, distance_px)

    def _shift(self, one: Displacement, passed_s: float) -> NDArray[np.float64] | None:
        """Displacement averaged over SHIFT_OVER_S; None where an axis is missing."""
        if one.x_px is None or one.y_px is None:
            return None
        now = np.array([one.x_px, one.y_px])
        mean = self._shifts.setdefault(one.region, now)
        self._shifts[one.region] = mean + min(passed_s / SHIFT_OVER_S, 1.0) * (now - mean)
        return self._shifts[one.region]

    def _rate(self) -> _Found:
        span_s = self._times_s[-1] - self._times_s[0] if self._times_s else 0.0
        if self._least_hz is None or span_s < RATE_OVER_S / 2:
            return _UNKNOWN
        return _low((len(self._times_s) - 1) / span_s, self._least_hz, _RATE_CLEAR)

    def _clock(self) -> _Found:
        """The time of day against the steady clock; it must not jump."""
        before_s, self._offset_s = self._offset_s, self._unix_s() - self._steady_s()
        jump_s = 0.0 if before_s is None else self._offset_s - before_s
        if abs(jump_s) > self._health.clock.beyond_s:
            return _Found(Verdict.ABOVE, jump_s, f"the time of day jumped by {jump_s:+.1f} s")
        return _FINE


def _condition(name: str, quantity: str, threshold: float, check: Check) -> Condition:
    timing = Timing(check.raise_after_s, check.clear_after_s)
    return Condition(Identity("health", name, None, quantity), threshold, timing, grows=False)


def _low(value: float, least: float, clear: float) -> _Found:
    """A value that is bad when it is low; well again ``clear`` times as high."""
    if value < least:
        return _Found(Verdict.ABOVE, value)
    return _Found(Verdict.BELOW if value > clear * least else Verdict.BETWEEN, value)


def _says(one: Displacement, beginning: str) -> bool:
    return not one.valid and one.reason is not None and one.reason.startswith(beginning)
