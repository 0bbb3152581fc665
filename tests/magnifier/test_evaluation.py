"""Scene folders and scores, through the command."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from failure import Failure
from magnifier import networks, scene_folder, weights
from magnifier.commands import app


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (2, 40, 40, 3)).astype(np.uint8)
    pictures = [np.asarray(cv2.resize(part, (400, 400)), dtype=np.uint8) for part in coarse]
    for name in ("one", "two"):
        scene_folder.write(
            tmp_path / name, pictures, count=2, size_px=64, seed=3, tell=lambda _: None
        )
    return tmp_path


def test_the_same_seed_writes_the_same_files(scenes: Path) -> None:
    names = sorted(path.name for path in (scenes / "one").iterdir())
    assert names == [f"000{n}_{part}.png" for n in (0, 1) for part in "aby"] + ["scenes.csv"]
    for name in names:
        assert (scenes / "one" / name).read_bytes() == (scenes / "two" / name).read_bytes()


def test_evaluate_prints_both_means_and_writes_json_and_card(scenes: Path) -> None:
    facts = {
        "network": "twofold",
        "steps": "0",
        "core_hours": "0.00",
        "recipe": json.dumps({"batch": 8, "crop_px": 128}),
    }
    path = scenes / "w.safetensors"
    weights.save(path, networks.build("twofold", blocks=1).state_dict(), facts)
    options = ["--scenes", str(scenes / "one"), "--weights", str(path)]
    outputs = ["--json", str(scenes / "s.json"), "--card", str(scenes / "card.md")]
    result = CliRunner().invoke(app, ["evaluate", *options, *outputs], catch_exceptions=False)
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines() if "SSIM" in line]
    report = json.loads((scenes / "s.json").read_text())
    assert [line[0] for line in lines] == ["twofold", "unmagnified"]
    assert float(lines[0][-1]) == pytest.approx(report["network_ssim"], abs=1e-4)
    assert float(lines[1][-1]) == pytest.approx(report["input_ssim"], abs=1e-4)
    assert 0 < report["input_ssim"] <= 1
    assert f"{report['input_ssim']:.4f}" in (scenes / "card.md").read_text()


def test_truth_scores_one_against_itself() -> None:
    from magnifier.evaluation import similarity

    picture = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    assert similarity(picture, picture) == pytest.approx(1)
    assert similarity(picture, 255 - picture) < 0.1


def test_a_broken_folder_is_one_sentence(scenes: Path) -> None:
    with pytest.raises(Failure, match="tremorscope scenes --write"):
        scene_folder.read(scenes / "none")
    folder = scenes / "one"
    (folder / "0001_b.png").unlink()
    with pytest.raises(Failure, match=r"0001_b\.png"):
        scene_folder.read(folder)[1].pictures()
    (folder / "scenes.csv").write_text("id,gain\n0000,large\n")
    with pytest.raises(Failure, match="id,gain"):
        scene_folder.read(folder)
    (folder / "scenes.csv").write_text("id,gain\n")
    with pytest.raises(Failure, match="no scenes"):
        scene_folder.read(folder)
