"""The samples of an event as a CSV that says what it holds."""

import csv
from pathlib import Path

import pytest

from calibration.scale import Scale
from runtime.displacement import Displacement
from runtime.evidence.inbox import Sampled
from runtime.evidence.samples import MOST_HELD, SampleRing, SamplesFile, mended

SCALE = Scale(x_mm_per_px=2.0, y_mm_per_px=3.0, x_se_mm_per_px=0.1, y_se_mm_per_px=0.1)
MOVED = Displacement("deck", 0, 0.25, -0.5, 0.02, 0.03, True, None, 0.01, 0.02)
HALF = Displacement("deck", 0, 0.25, None, 0.02, None, True, "flat along y: too little texture")
DARK = Displacement("pier", 0, None, None, None, None, False, "too dark: raise the exposure")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_names_carry_units_and_missing_values_are_empty(tmp_path: Path) -> None:
    table = SamplesFile(tmp_path / "a.csv", ["deck", "pier"], {"deck": SCALE, "pier": None})
    table.write(Sampled(12_345_678_901, 1_750_000_000.25, (MOVED, DARK)))
    table.write(Sampled(12_400_000_000, None, (HALF, DARK)))
    table.close()
    first, second = rows_of(tmp_path / "a.csv")
    assert first["t_utc"] == "2025-06-15T15:06:40.250Z"
    assert first["t_monotonic_s"] == "12.345679"
    assert (first["deck_x_px"], first["deck_y_px"]) == ("0.25", "-0.5")
    assert (first["deck_x_se_px"], first["deck_y_noise_px"]) == ("0.02", "0.02")
    assert (first["deck_x_mm"], first["deck_y_mm"]) == ("0.5", "-1.5")
    assert float(first["deck_x_se_mm"]) == pytest.approx((0.04**2 + 0.025**2) ** 0.5, rel=1e-5)
    assert first["deck_y_noise_mm"] == "0.06"
    assert (first["deck_valid"], first["deck_reason"]) == ("1", "")
    assert (first["pier_valid"], first["pier_reason"]) == ("0", DARK.reason)
    assert first["pier_x_px"] == first["pier_y_se_px"] == ""
    assert not any(name.startswith("pier") and name.endswith("mm") for name in first)
    assert second["t_utc"] == second["deck_y_px"] == second["deck_y_mm"] == ""
    assert second["deck_reason"] == HALF.reason


@pytest.mark.parametrize("torn", [b"", b"12.3,", b"2025-01-01T00:00:00.000Z,5.0,1,2,3,4,5,6,1,"])
def test_a_line_that_a_killed_process_left_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "a.csv"
    table = SamplesFile(path, ["deck"], {})
    table.write(Sampled(1, None, (MOVED,)))
    table.close()
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert mended(path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"t_utc,t_mono", b"t_utc,t_monotonic_s\n", b"t_utc\nx"])
def test_a_file_without_a_whole_sample_is_told_to_be_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert not mended(path)


def test_what_is_held_is_bounded_whatever_time_it_spans() -> None:
    ring = SampleRing()
    row = (MOVED,) * 1000
    for number in range(3 * MOST_HELD // 1000):
        ring.add(Sampled(number, None, row))
        assert len(ring.since(0)) * 1000 <= MOST_HELD
    newest = ring.newest
    assert newest is not None
    assert newest.t_ns == 3 * MOST_HELD // 1000 - 1
