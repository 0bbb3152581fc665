"""The poster's two stages, each at its smallest."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from failure import Failure
from magnifier import networks, scene_folder, speed, weights
from magnifier.arithmetic import cost
from magnifier.boards import Board
from magnifier.exploration import brief, remove, report, shape
from magnifier.exploration.brief import Laboratory, Score
from magnifier.exploration.commands import app
from magnifier.exploration.shape import Shape
from magnifier.networks.baseline import Baseline
from magnifier.training import Recipe


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(float) - b).mean() / 255)


def nothing() -> None:
    pass


@pytest.fixture
def laboratory(
    tmp_path: Path, pictures: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> Laboratory:
    monkeypatch.setattr(brief, "POOL_SCENES", 3)
    folder = tmp_path / "scenes"
    scene_folder.write(folder, pictures, count=1, size_px=32, seed=1, tell=lambda _: None)
    recipe = Recipe(batch=2, crop_px=32, steps=10, warmup_steps=1)
    made = Laboratory(tmp_path / "pool", scene_folder.read(folder), difference, recipe)
    made.fill(pictures, nothing)
    return made


def small() -> Baseline:
    torch.manual_seed(0)
    return Baseline(blocks=2, channels=8)


def test_a_seed_decides_what_is_learned(laboratory: Laboratory) -> None:
    def learned(seed: int) -> torch.Tensor:
        network = small()
        laboratory.train(network, seed, nothing, steps=range(2))
        return torch.cat([each.flatten() for each in network.parameters()])

    assert torch.equal(learned(1), learned(1))
    assert not torch.equal(learned(1), learned(2))


def test_a_strong_reward_removes_every_block_and_the_network_is_smaller(
    laboratory: Laboratory,
) -> None:
    case = remove.Case("decoder", "block", lambda_rm=100.0)
    recipe = Recipe(batch=1, crop_px=32, steps=60, warmup_steps=1, peak_rate=3e-4)
    strong = Laboratory(laboratory.folder, laboratory.scenes, difference, recipe)
    before = small()
    row = remove.run(strong, before, case, 0, nothing)
    assert (row.parts, row.removed) == (2, 2)
    assert row.gmac < cost(before, 384, 384).multiply_accumulates / 1e9
    for switch in row.trajectory.values():
        assert len(switch) == 36  # the learning share of 60 steps
        assert switch[0] == pytest.approx(remove.START, abs=0.1)
        assert switch[-1] == 1.0, "a switch can travel all the way"
    assert len(before.decoder) == 2, "the trained network is left as it was"


def test_parts_are_removed_from_nothing_but_a_baseline(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    network = networks.build("proposed", 1)
    weights.save(other, network.state_dict(), {"network": "proposed"})
    words = ["remove", "--scenes", str(tmp_path), "--start-from", str(other)]
    with pytest.raises(Failure, match="of the network proposed"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_without_a_case_nothing_is_removed(laboratory: Laboratory) -> None:
    before = small()
    row = remove.run(laboratory, before, None, 0, nothing)
    assert row.gmac == cost(before, 384, 384).multiply_accumulates / 1e9
    assert row.trajectory == {}


def test_a_roofline_is_the_slower_of_arithmetic_and_memory() -> None:
    spent = cost(small(), 64, 64)
    operations, moved = 2 * spent.multiply_accumulates, spent.moved_bytes
    tera, giga = operations / 1e12, moved / 1e9
    assert Board("balanced", 2 * tera, tera, tera / 8, giga).frame_s(spent) == pytest.approx(1)
    assert Board("slow memory", 1e3, 1e3, 1e3, giga / 2).frame_s(spent) == pytest.approx(2)
    slow = Board("slow arithmetic", tera / 2, tera / 4, tera / 8, 1e3 * giga)
    assert slow.frame_s(spent) == pytest.approx(4)
    assert slow.frame_s(spent, "int8") == pytest.approx(2)
    assert slow.frame_s(spent, "fp32") == pytest.approx(8)


def test_shapes_that_are_compared_at_equal_cost_cost_the_same() -> None:
    costs = [cost(each.network(), 384, 384).multiply_accumulates for each in shape.EQUAL_COST]
    assert max(costs) < 1.01 * min(costs)


def test_speed_is_measured_for_every_network() -> None:
    chosen = {"baseline": small(), "twofold": networks.build("twofold", 1)}
    found = speed.frame_s(chosen, 32)
    assert set(found) == {"baseline", "twofold"}
    assert min(found.values()) > 0


def linked(page: Path) -> list[Path]:
    return [page.parent / part.partition(")")[0] for part in page.read_text().split("](")[1:]]


def test_the_page_of_removal_has_a_row_for_every_case_and_its_plots(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    rows = [
        remove.run(laboratory, small(), case, 0, nothing)
        for case in (None, remove.Case("encoder", "relu"), remove.Case("decoder", "block"))
    ]
    page = report.write_removal(
        tmp_path, laboratory, Score(0.5, 0.2), rows, rows[2:], start="a small baseline"
    )
    text = page.read_text()
    assert "| unmagnified input |  |  |  | 0.500 | 0.200 |" in text
    assert f"| encoder | {rows[1].removed} of 11 |  |" in text
    assert f"| decoder |  | {rows[2].removed} of 2 |" in text
    assert len(linked(page)) == 2
    assert all(path.stat().st_size > 1000 for path in linked(page))


def test_the_page_of_shapes_gives_the_spread_of_the_seeds(
    laboratory: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([Score(0.6, 0.3), Score(0.7, 0.2)])
    monkeypatch.setattr(Laboratory, "score", lambda *_: next(found))
    row = shape.run(laboratory, Shape(1, 8, 4), range(2), 0.25, nothing)
    page = report.write_shapes(tmp_path, laboratory, Score(0.5, 0.4), [row])
    text = page.read_text()
    assert "| 1x8 at H/4 |" in text
    assert "| 4.0 | 0.650 ± 0.050 | 0.250 ± 0.050 |" in text
    assert "an estimate, not a measurement" in text
    assert "| AGX Orin 64GB |" in text
    [plot] = linked(page)
    assert plot.stat().st_size > 1000
