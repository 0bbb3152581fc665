"""Limits at the points that the standards' tables name, and what is said where there is none."""

import pytest

from runtime.config.limits import PROFILES

DIN, BS = "din4150-3-line", "bs7385-2-line"


def share(profile: str, readings: dict[str, float]) -> float:
    """How much of the limit is reached, where there is one."""
    ratio, defect = PROFILES[profile].ratio(readings)
    assert defect is None
    assert ratio is not None
    return ratio


def limit_mm_s(profile: str, at_hz: float) -> float:
    """The limit is where the share is one."""
    return 1 / share(profile, {"ppv_mm_s": 1.0, "ppv_hz": at_hz})


@pytest.mark.parametrize(
    ("profile", "at_hz", "expected_mm_s"),
    [
        *((f"{DIN}1", *point) for point in ((1, 20), (10, 20), (30, 30), (50, 40), (100, 50))),
        *((f"{DIN}2", *point) for point in ((1, 5), (10, 5), (30, 10), (50, 15), (100, 20))),
        *((f"{DIN}3", *point) for point in ((9, 3), (10, 3), (30, 5.5), (50, 8), (75, 9))),
        (f"{DIN}3", 300, 10),
        *((f"{BS}1", *point) for point in ((4, 50), (40, 50), (90, 50))),
        *((f"{BS}2", *point) for point in ((4, 15), (15, 20), (27.5, 35), (40, 50), (90, 50))),
    ],
)
def test_limits_depend_on_the_frequency_as_the_tables_say(
    profile: str, at_hz: float, expected_mm_s: float
) -> None:
    assert limit_mm_s(profile, at_hz) == pytest.approx(expected_mm_s)


def test_below_four_hertz_bs_7385_limits_displacement() -> None:
    slow = {"ppv_mm_s": 9.0, "ppv_hz": 2.0, "displacement_peak_mm": 0.3}
    assert share(f"{BS}2", slow) == pytest.approx(0.5)
    assert PROFILES[f"{BS}2"].ratio({"ppv_mm_s": 9.0, "ppv_hz": 2.0}) == (
        None,
        "no displacement_peak_mm",
    )


def test_below_its_band_din_4150_has_no_limit_and_that_is_no_defect() -> None:
    assert PROFILES[f"{DIN}2"].ratio({"ppv_mm_s": 9.0, "ppv_hz": 0.6}) == (None, None)


@pytest.mark.parametrize(
    ("profile", "readings", "defect"),
    [
        (f"{DIN}2", {}, "no ppv_mm_s"),
        (f"{DIN}2", {"ppv_mm_s": 1.0}, "no ppv_hz"),
        ("footbridge-lateral-en1990", {"ppv_mm_s": 1.0}, "no acceleration_peak_mm_s2"),
    ],
)
def test_what_is_missing_is_named(profile: str, readings: dict[str, float], defect: str) -> None:
    assert PROFILES[profile].ratio(readings) == (None, defect)


@pytest.mark.parametrize(
    ("profile", "begins_mm_s"),
    [
        *zip((f"iso20816-3-group1-rigid-zone-{z}" for z in "bcd"), (2.3, 4.5, 7.1), strict=True),
        *zip((f"iso20816-3-group1-flexible-zone-{z}" for z in "bcd"), (3.5, 7.1, 11), strict=True),
        *zip((f"iso20816-3-group2-rigid-zone-{z}" for z in "bcd"), (1.4, 2.8, 4.5), strict=True),
        *zip((f"iso20816-3-group2-flexible-zone-{z}" for z in "bcd"), (2.3, 4.5, 7.1), strict=True),
    ],
)
def test_zones_of_machines_begin_at_their_velocities(profile: str, begins_mm_s: float) -> None:
    assert share(profile, {"velocity_rms_mm_s": begins_mm_s}) == pytest.approx(1)
    assert "band-limited screening" in (PROFILES[profile].scope or "")


@pytest.mark.parametrize(
    ("profile", "limit_m_s2"),
    [("cl1", 0.5), ("cl2", 1.0), ("cl3", 2.5), ("en1990", 0.7)],
)
def test_footbridges_are_judged_by_their_peak_acceleration(profile: str, limit_m_s2: float) -> None:
    readings = {"acceleration_peak_mm_s2": 1000 * limit_m_s2}
    assert share(f"footbridge-vertical-{profile}", readings) == pytest.approx(1)


def test_a_camera_too_slow_for_the_band_is_told_with_the_rate_that_it_needs() -> None:
    din = PROFILES[f"{DIN}2"]
    told = din.shortfall(60.0)
    assert told is not None
    assert "sees up to 30 Hz of the 1-80 Hz" in told
    assert "more than 160 frames a second" in told
    assert din.shortfall(160.0) is not None  # at exactly twice, the last hertz is not seen
    assert din.shortfall(161.0) is None


def test_scopes_are_told() -> None:
    assert "excludes bridges" in (PROFILES[f"{BS}2"].scope or "")
    assert all(profile.scope for profile in PROFILES.values())
