"""Limits of standards as profiles: which reading they judge, how much of it they allow, and where.

The standards' texts are paid for; the numbers come from open implementations and vendors' manuals
(``docs/alerts.md``). So a profile shows how near a reading is to its limit, and alerts only once a
person has confirmed the number, by name and date.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Profile:
    """One line of a standard. ``curve`` is (frequency in Hz, limit), linear between its points.

    Limits have the unit of ``quantity``. Without ``frequency`` the limit holds at all frequencies,
    and the curve has one point. Below the curve's first frequency ``slow`` holds, where there is
    one: another quantity and its limit.
    """

    title: str
    quantity: str
    curve: tuple[tuple[float, float], ...]
    band_hz: tuple[float, float]
    """What the standard asks to be measured; a camera sees up to half its frame rate."""
    frequency: str | None = None
    slow: tuple[str, float] | None = None
    scope: str | None = None
    """What a reader must know before using it."""

    def ratio(self, readings: Mapping[str, float | None]) -> tuple[float | None, str | None]:
        """The reading over its limit, and why there is none when that is a defect.

        Neither is there where the standard gives no limit at this frequency.
        """
        value = readings.get(self.quantity)
        if value is None:
            return None, f"no {self.quantity}"
        if self.frequency is None:
            return value / self.curve[0][1], None
        at_hz = readings.get(self.frequency)
        if at_hz is None:
            return None, f"no {self.frequency}"
        if at_hz >= self.curve[0][0]:
            points_hz, limits = zip(*self.curve, strict=True)
            return value / float(np.interp(at_hz, points_hz, limits)), None
        if self.slow is None:
            return None, None
        name, limit = self.slow
        moved = readings.get(name)
        return (None, f"no {name}") if moved is None else (moved / limit, None)

    def shortfall(self, rate_hz: float) -> str | None:
        """What a camera of this frame rate cannot see of the standard's band; None if it sees all."""
        top_hz = self.band_hz[1]
        if rate_hz > 2 * top_hz:
            return None
        return (
            f"at {rate_hz:.3g} frames a second a camera sees up to {rate_hz / 2:.3g} Hz of the "
            f"{self.band_hz[0]:g}-{top_hz:g} Hz that {self.title} asks for (it needs more than "
            f"{2 * top_hz:g} frames a second): this is band-limited screening, not an assessment"
        )


_FOUNDATION = "its limits are for short-term vibration at the foundation of a building"
_NO_BRIDGES = "its scope excludes bridges and chimneys"
_SCREENING = "a camera does not see the whole band of 10-1000 Hz: band-limited screening only"
_BOTH_AXES = "the larger of the picture's two axes is judged, whichever way the deck moves"


def _din(line: int, use: str, *limits_mm_s: float) -> Profile:
    return Profile(
        title=f"DIN 4150-3 line {line} ({use})",
        quantity="ppv_mm_s",
        frequency="ppv_hz",
        curve=tuple(zip((1.0, 10.0, 50.0, 100.0), limits_mm_s, strict=True)),
        band_hz=(1.0, 80.0),
        scope=_FOUNDATION,
    )


def _bs(line: int, *curve: tuple[float, float]) -> Profile:
    return Profile(
        title=f"BS 7385-2 line {line}",
        quantity="ppv_mm_s",
        frequency="ppv_hz",
        curve=curve,
        slow=("displacement_peak_mm", 0.6),
        band_hz=(4.0, 40.0),
        scope=_NO_BRIDGES,
    )


def _iso(support: str, limit_mm_s: float, zone: str) -> Profile:
    return Profile(
        title=f"ISO 20816-3 {support}, zone {zone}",
        quantity="velocity_rms_mm_s",
        curve=((10.0, limit_mm_s),),
        band_hz=(10.0, 1000.0),
        scope=_SCREENING,
    )


def _footbridge(what: str, limit_m_s2: float, top_hz: float) -> Profile:
    return Profile(
        title=f"footbridge comfort, {what}",
        quantity="acceleration_peak_mm_s2",
        curve=((0.5, 1000 * limit_m_s2),),
        band_hz=(0.5, top_hz),
        scope=_BOTH_AXES,
    )


_MACHINES = {  # velocity RMS (mm/s) at which zones B, C and D begin
    "group1-rigid": (2.3, 4.5, 7.1),
    "group1-flexible": (3.5, 7.1, 11.0),
    "group2-rigid": (1.4, 2.8, 4.5),
    "group2-flexible": (2.3, 4.5, 7.1),
}

PROFILES: dict[str, Profile] = {
    "din4150-3-line1": _din(1, "industrial buildings", 20, 20, 40, 50),
    "din4150-3-line2": _din(2, "dwellings", 5, 5, 15, 20),
    "din4150-3-line3": _din(3, "sensitive buildings", 3, 3, 8, 10),
    "bs7385-2-line1": _bs(1, (4.0, 50.0)),
    "bs7385-2-line2": _bs(2, (4.0, 15.0), (15.0, 20.0), (40.0, 50.0)),
    **{
        f"iso20816-3-{support}-zone-{zone.lower()}": _iso(support.replace("-", ", "), limit, zone)
        for support, limits in _MACHINES.items()
        for zone, limit in zip("BCD", limits, strict=True)
    },
    "footbridge-vertical-cl1": _footbridge("vertical, class 1 of HIVOSS", 0.5, 5.0),
    "footbridge-vertical-cl2": _footbridge("vertical, class 2 of HIVOSS", 1.0, 5.0),
    "footbridge-vertical-cl3": _footbridge("vertical, class 3 of HIVOSS", 2.5, 5.0),
    "footbridge-vertical-en1990": _footbridge("vertical, EN 1990", 0.7, 5.0),
    "footbridge-lateral-en1990": _footbridge("lateral, EN 1990", 0.2, 2.5),
}
