"""The table of precisions: what counts as off, and what breaks a mark."""

import pytest

from benchmarks.precisions import Found, row
from magnifier.motion_tests import gain_grid

REQUESTED = [gain for gain, _ in gain_grid()]


def beside(share_off: float, ssim: float, *, lost: bool = False) -> dict[str, Found]:
    """Full precision that achieves half of every gain, and eight bits that are off by a share of that."""
    full = [gain / 2 for gain in REQUESTED]
    coarse = [gain / 2 * (1 + share_off) for gain in REQUESTED]
    if lost:
        coarse[3] = float("nan")
    return {"fp32": Found([0.8, 0.9], full), "int8": Found([ssim, ssim], coarse)}


def test_the_gain_is_off_by_a_share_of_what_full_precision_achieves() -> None:
    cells, holds = row("twofold", "int8", beside(-0.015, 0.845))
    assert holds
    assert cells[2:6] == ["0.8450", "-0.0050", "1.50%", "1.50%"]


@pytest.mark.parametrize(
    "found",
    [beside(0.021, 0.85), beside(0.0, 0.839), beside(0.0, 0.85, lost=True)],
    ids=["gain", "SSIM", "a pair that cannot be recognised any more"],
)
def test_each_mark_can_be_broken(found: dict[str, Found]) -> None:
    assert not row("twofold", "int8", found)[1]


def test_what_full_precision_does_not_show_does_not_count() -> None:
    found = beside(0.0, 0.85, lost=True)
    found["fp32"].gains[3] = float("nan")
    cells, holds = row("twofold", "int8", found)
    assert holds
    assert cells[7] == f"{len(REQUESTED) - 1} of {len(REQUESTED) - 1}"


def test_what_full_precision_loses_stands_apart_and_must_still_be_shown() -> None:
    found = beside(0.001, 0.85)
    found["fp32"].gains[0], found["int8"].gains[0] = 0.1, 0.13
    cells, holds = row("twofold", "int8", found)
    assert holds
    assert cells[4:7] == ["0.10%", "0.10%", "30.00%"]
    found["int8"].gains[0] = float("nan")
    assert not row("twofold", "int8", found)[1]
