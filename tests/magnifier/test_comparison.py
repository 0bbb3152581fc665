"""Methods side by side, and the page that tells of it."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from magnifier import (
    comparison,
    comparison_report,
    methods,
    motion_tests,
    networks,
    scene_folder,
    weights,
)
from magnifier.commands import app
from magnifier.comparison import Results
from magnifier.comparison_report import About

Picture = NDArray[np.uint8]
Pictures = list[Picture]


def difference(a: Picture, b: Picture) -> float:
    return float(np.abs(a.astype(float) - b).mean() / 255)


def smeared(_reference: Picture, current: Picture, _gain: float) -> Picture:
    return np.asarray(cv2.blur(current, (15, 15)), dtype=np.uint8)


@pytest.fixture
def scenes(tmp_path: Path, pictures: Pictures) -> list[scene_folder.StoredScene]:
    folder = tmp_path / "scenes"
    scene_folder.write(folder, pictures, count=2, size_px=64, seed=1, tell=lambda _: None)
    return scene_folder.read(folder)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "TRIALS", 2)
    monkeypatch.setattr(comparison, "TRIAL_PX", 192)
    monkeypatch.setattr(motion_tests, "SUBPIXEL_MOTIONS_PX", (0.1, 1.0))
    monkeypatch.setattr(motion_tests, "NOISE_LEVELS", (0.1, 30.0))
    monkeypatch.setattr(motion_tests, "STILL_FRAMES", 3)


@pytest.fixture
def results(
    scenes: list[scene_folder.StoredScene], pictures: Pictures, few: None
) -> dict[str, Results]:
    del few
    told: list[str] = []
    found = comparison.compare(
        {"unmagnified": methods.unmagnified, "smeared": smeared},
        scenes,
        pictures,
        difference,
        seed=1,
        tell=told.append,
    )
    assert len(told) == comparison.steps(scenes)
    return found


def test_every_method_has_a_score_for_every_scene_and_level(results: dict[str, Results]) -> None:
    for part in results.values():
        assert len(part.scenes) == 2
        assert {level: len(each) for level, each in part.subpixel.items()} == {0.1: 2, 1.0: 2}
        assert list(part.noise) == [0.1, 30.0]
        assert set(part.gains) == set(motion_tests.gain_grid())
        assert len(part.flicker) == 2


def test_quality_tells_right_from_wrong(pictures: Pictures) -> None:
    truth = pictures[0]
    right, wrong = (
        comparison.quality(shown, truth, difference) for shown in (truth, smeared(truth, truth, 1))
    )
    assert right.ssim == pytest.approx(1)
    assert (right.psnr_db, right.lpips) == (np.inf, 0)
    assert wrong.ssim < 0.8
    assert wrong.psnr_db < 30
    assert wrong.lpips > 0.01


def test_each_test_feels_what_it_is_about(results: dict[str, Results]) -> None:
    plain, blurred = results["unmagnified"], results["smeared"]
    assert np.mean(plain.noise[0.1]) > np.mean(plain.noise[30.0])
    assert plain.gains[20.0, 0.5] == pytest.approx([1.0, 1.0], abs=0.3)
    assert blurred.flicker[0].pooled < 0.5 < plain.flicker[0].pooled


def test_the_page_has_every_method_and_its_plots(
    results: dict[str, Results], scenes: list[scene_folder.StoredScene], tmp_path: Path
) -> None:
    page = tmp_path / "out/RESULTS.md"
    shown: dict[str, methods.Method] = {"unmagnified": methods.unmagnified, "smeared": smeared}
    sheet = page.parent / "results/contact-sheet.jpg"
    comparison_report.write_contact_sheet(sheet, shown, scenes)
    about = {
        "smeared": About(gmac="1.00", parameters="2", frames_hz="4.0 (2.0x)", core_hours="3.00")
    }
    comparison_report.write(page, results, about, command="tremorscope compare")
    text = page.read_text()
    assert "| smeared |" in text
    assert "| 1.00 | 2 | 4.0 (2.0x) | 3.00 |" in text
    links = [part.partition(")")[0] for part in text.split("](")[1:]]
    assert len(links) == 4
    assert all((page.parent / link).stat().st_size > 1000 for link in links)
    picture = cv2.imread(str(sheet))
    assert picture is not None
    # Two scenes under each other; truth and two methods beside each other, framed.
    assert picture.shape[:2] == (2 * (64 + 28), 3 * (64 + 4))


def test_the_command_compares_files_of_weights_and_tells_what_each_costs(
    scenes: list[scene_folder.StoredScene],
    pictures: Pictures,
    few: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del few
    monkeypatch.setattr("magnifier.lpips.Lpips", lambda *_: difference)
    monkeypatch.setattr("magnifier.photographs.load", lambda *_, **__: pictures)
    monkeypatch.chdir(tmp_path)
    for name in ("twofold", "baseline"):
        network = networks.build(name, 1)
        facts = {"network": name, "core_hours": "1.50"}
        weights.save(Path(name), network.state_dict(), facts)
    options = ["--scenes", str(scenes[0].folder), "--no-classical", "--out", "out"]
    options += ["--model", "twofold", "--model", "baseline"]
    CliRunner().invoke(app, ["compare", *options], catch_exceptions=False)
    [row] = [
        line
        for line in Path("out/RESULTS.md").read_text().splitlines()
        if "| 1.50 |" in line and line.startswith("| twofold |")
    ]
    assert "x) |" in row, "its speed beside the baseline's"
    assert Path("out/results/contact-sheet.jpg").stat().st_size > 1000


def test_the_phase_based_method_magnifies_by_the_gain_that_was_asked_for() -> None:
    pytest.importorskip("vidmag", reason="its licence keeps it out of the tests' packages")
    columns = np.arange(128.0)

    def stripes(shift_px: float) -> Picture:
        row = 128 + 60 * np.sin(2 * np.pi * (columns - shift_px) / 16)
        return np.repeat(np.tile(row, (128, 1))[..., None], 3, axis=2).round().astype(np.uint8)

    shown = methods.phase_based()(stripes(0), stripes(0.2), 5.0)
    errors = {
        gain: np.abs(shown[32:96, 32:96].astype(float) - stripes(0.2 * gain)[32:96, 32:96]).mean()
        for gain in (1.0, 4.0, 5.0, 6.0)
    }
    assert min(errors, key=lambda gain: errors[gain]) == 5.0


def test_a_machine_without_the_classical_method_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "vidmag.cpu.phase_magnify", None)
    with pytest.raises(ModuleNotFoundError) as missing:
        methods.phase_based()
    from tremorscope import GROUPS

    assert GROUPS[(missing.value.name or "").partition(".")[0]] == "compare"
