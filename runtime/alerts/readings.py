"""Where the readings of alert rules come from: a name and a number for each, for one region.

A rule only names the reading that it judges. Most are levels of the vibration window; what needs a
memory of its own for a rule (band level, STA/LTA) or a limit (profile) is made here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from calibration.scale import Scale
from runtime.alerts.band_level import BandLevel
from runtime.alerts.condition import BEYOND_RANGE
from runtime.alerts.sta_lta import StaLta
from runtime.config.alerts import Alert
from runtime.displacement import Displacement
from runtime.vibration import Levels

MOVED = "moved:"
"""How the reason of a displacement beyond its range begins."""
LEARNING = "learning:"
"""How that of a region begins whose zero is in the making: it has no reading yet, and lost none."""

_MAY_BE_ABSENT = ("frequency_shift_percent", "sta_lta", "limit_ratio", "band_rms")
# ... while the region is measured: nothing stands out, it still learns, or no limit applies.


@dataclass(frozen=True, slots=True)
class Readings:
    """One region's readings at one time. A reading that is absent or None is missing."""

    values: Mapping[str, float | None]
    reason: str | None = None
    """Why the region cannot be measured at all, when it cannot."""
    defects: Mapping[str, str] = field(default_factory=dict)
    """Why single readings are missing."""

    def value(self, name: str) -> float | None:
        return self.values.get(name)

    def why_missing(self, name: str) -> str | None:
        """Why a missing reading is a defect; None where it is none."""
        if self.reason is not None:
            return None if self.reason.startswith(LEARNING) else self.reason
        if name in self.defects:
            return self.defects[name]
        return None if name.startswith(_MAY_BE_ABSENT) else f"no {name}"


class RegionReadings:
    """Collects one region's readings for the rules that watch it. Memory is bounded."""

    def __init__(self, rules: Sequence[Alert], level_s: float) -> None:
        self._limits = [rule for rule in rules if rule.limit is not None]
        self._bands = {
            rule.reading: (rule.quantity, BandLevel(rule.band.low_hz, rule.band.high_hz, level_s))
            for rule in rules
            if rule.band is not None
        }
        self._ratios = {
            rule.reading: tuple(_sta_lta(rule) for _ in "xy")
            for rule in rules
            if rule.quantity == "sta_lta"
        }
        self._newest: Displacement | None = None

    def add(self, displacement: Displacement) -> None:
        """Take the region's displacement in one frame."""
        t_s = displacement.t_capture_ns / 1e9
        x_px, y_px = displacement.x_px, displacement.y_px
        for _, level in self._bands.values():
            level.add(t_s, x_px, y_px)
        for x_ratio, y_ratio in self._ratios.values():
            x_ratio.add(t_s, x_px)
            y_ratio.add(t_s, y_px)
        self._newest = displacement

    def distance(self, scale: Scale | None) -> dict[str, float | None]:
        """How far the region is from its zero in the newest frame: ``displacement_px`` and ``_mm``."""
        return _distance(self._newest, scale)

    def now(
        self,
        levels: Levels,
        scale: Scale | None,
        others: Mapping[str, float | None] | None = None,
    ) -> Readings:
        """All readings now; ``others`` are readings that another station knows, by their names."""
        values: dict[str, float | None] = {**levels.by_name(), **(others or {})}
        defects: dict[str, str] = {}
        values |= self.distance(scale)
        for name, (quantity, level) in self._bands.items():
            values[name] = _band(level, scale if quantity == "band_rms_mm" else None)
            problem = level.problem()
            if problem is not None:
                values[name], defects[name] = None, problem
        for name, ratios in self._ratios.items():
            known = [one.ratio for one in ratios if one.ratio is not None]
            values[name] = max(known, default=None)
        for rule in self._limits:
            assert rule.limit is not None, "only rules with a limit are kept here"
            values[rule.reading], problem = rule.limit.ratio(values)
            if problem is not None:
                defects[rule.reading] = problem
        newest = self._newest
        reason = None if newest is None or newest.valid else newest.reason
        return Readings(values, reason, defects)


def _sta_lta(rule: Alert) -> StaLta:
    return StaLta(
        rule.sta_s,
        rule.lta_s,
        freeze_above=rule.raise_above,
        thaw_below=rule.clear_threshold,
        longest_frozen_s=float("inf") if rule.longest_s is None else rule.longest_s,
    )


def _distance(newest: Displacement | None, scale: Scale | None) -> dict[str, float | None]:
    """How far the region is from its zero, along the axis where it is farther."""
    if newest is None:
        return {}
    if not newest.valid and newest.reason is not None and newest.reason.startswith(MOVED):
        in_mm = None if scale is None else BEYOND_RANGE
        return {"displacement_px": BEYOND_RANGE, "displacement_mm": in_mm}
    x_px, y_px = newest.x_px, newest.y_px
    known_px = [abs(value) for value in (x_px, y_px) if value is not None]
    values: dict[str, float | None] = {"displacement_px": max(known_px, default=None)}
    if scale is not None:
        values["displacement_mm"] = _larger_mm(scale, x_px, y_px)
    return values


def _band(level: BandLevel, scale: Scale | None) -> float | None:
    x_px, y_px = level.rms_px()
    if scale is not None:
        return _larger_mm(scale, x_px, y_px)
    return max((value for value in (x_px, y_px) if value is not None), default=None)


def _larger_mm(scale: Scale, x_px: float | None, y_px: float | None) -> float | None:
    known = [] if x_px is None else [abs(scale.mm("x", x_px)[0])]
    known += [] if y_px is None else [abs(scale.mm("y", y_px)[0])]
    return max(known, default=None)
