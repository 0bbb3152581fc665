"""Which readings a region has, under which names, and why some are missing."""

import numpy as np
import pytest

from calibration.scale import Scale
from runtime.alerts.condition import BEYOND_RANGE
from runtime.alerts.readings import Readings, RegionReadings
from runtime.config.alerts import Alert, Band
from runtime.displacement import Displacement
from runtime.vibration import Levels

SCALE = Scale(x_mm_per_px=2, y_mm_per_px=5, x_se_mm_per_px=0, y_se_mm_per_px=0)
NO_LEVELS = Levels(None, None, None)


def displacement(
    t_s: float, x_px: float | None, y_px: float | None = 0.0, reason: str | None = None
) -> Displacement:
    valid = x_px is not None or y_px is not None
    se_px = (0.01 if x_px is not None else None, 0.01 if y_px is not None else None)
    return Displacement("deck", round(t_s * 1e9), x_px, y_px, *se_px, valid, reason)


def collected(*rules: Alert) -> RegionReadings:
    return RegionReadings(rules, 2.0)


def now(one: RegionReadings, levels: Levels = NO_LEVELS, scale: Scale | None = None) -> Readings:
    return one.now(levels, scale)


def test_every_level_is_a_reading_of_its_name_and_so_is_what_others_know() -> None:
    levels = Levels(0.1, 0.2, 3.0, ppv_mm_s=4.0)
    readings = collected().now(levels, None, {"frequency_shift_percent": 1.5})
    assert readings.value("displacement_rms_px") == 0.1
    assert readings.value("ppv_mm_s") == 4.0
    assert readings.value("frequency_shift_percent") == 1.5
    assert readings.value("velocity_rms_mm_s") is None
    assert readings.why_missing("velocity_rms_mm_s") == "no velocity_rms_mm_s"


def test_the_distance_is_along_the_farther_axis_in_px_and_mm() -> None:
    one = collected()
    one.add(displacement(0.0, -3.0, 2.0))
    readings = now(one, scale=SCALE)
    assert readings.value("displacement_px") == 3.0
    assert readings.value("displacement_mm") == pytest.approx(10.0)  # 5 mm a pixel in y
    assert now(one).value("displacement_mm") is None


def test_a_region_moved_out_of_range_is_beyond_every_threshold() -> None:
    one = collected()
    one.add(displacement(0.0, None, None, "moved: by more than 16 px"))
    readings = now(one)
    assert readings.value("displacement_px") == BEYOND_RANGE
    assert readings.reason == "moved: by more than 16 px"


def test_a_region_that_cannot_be_measured_says_why() -> None:
    one = collected()
    one.add(displacement(0.0, None, None, "too dark: raise the exposure or add light"))
    readings = now(one)
    assert readings.value("displacement_px") is None
    assert readings.why_missing("displacement_px") == "too dark: raise the exposure or add light"
    assert readings.why_missing("frequency_shift_percent") == readings.reason


def test_bands_and_ratios_belong_to_their_rules() -> None:
    low = Alert(name="low", quantity="band_rms_px", band=Band(low_hz=1, high_hz=4), raise_above=1)
    high = Alert(
        name="high", quantity="band_rms_mm", band=Band(low_hz=8, high_hz=20), raise_above=1
    )
    quick = Alert(name="quick", quantity="sta_lta", sta_s=0.5, lta_s=3, raise_above=4)
    slow = Alert(name="slow", quantity="sta_lta", sta_s=1, lta_s=60, raise_above=4)
    one = collected(low, high, quick, slow)
    for index in range(600):
        t_s = index / 60
        x_px = 0.3 * np.sin(2 * np.pi * 2 * t_s)
        one.add(displacement(t_s, float(x_px), float(0.1 * np.sin(2 * np.pi * 12 * t_s))))
    readings = now(one, scale=SCALE)
    assert readings.value(low.reading) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)
    assert readings.value(high.reading) == pytest.approx(5 * 0.1 / np.sqrt(2), rel=0.02)
    assert readings.value(quick.reading) is not None
    # What still learns is missing, and no defect.
    assert readings.value(slow.reading) is None
    assert readings.why_missing(slow.reading) is None


def test_a_band_beyond_the_frame_rate_is_a_defect() -> None:
    rule = Alert(name="b", quantity="band_rms_px", band=Band(low_hz=1, high_hz=40), raise_above=1)
    one = collected(rule)
    for index in range(600):
        one.add(displacement(index / 60, 0.1))
    readings = now(one)
    assert readings.value(rule.reading) is None
    assert "needs more than 80 frames a second" in (readings.why_missing(rule.reading) or "")


def test_a_profile_gives_the_share_of_its_limit() -> None:
    rule = Alert.model_validate({"name": "din", "profile": "din4150-3-line2"})
    levels = Levels(None, None, None, ppv_mm_s=4.0, ppv_hz=30.0)
    assert now(collected(rule), levels).value(rule.reading) == pytest.approx(0.4)
    without = now(collected(rule))
    assert without.value(rule.reading) is None
    assert without.why_missing(rule.reading) == "no ppv_mm_s"
