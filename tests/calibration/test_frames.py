"""A folder of calibration frames: what is collected is read back, and what is wrong with it is told."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.clips import Floats, Scene, render, sine
from calibration.collection import Collector
from calibration.frames import FEWEST_FRAMES, FrameTable, begun, read
from failure import Failure

RATE_HZ = 30.0
SWAY_PX = sine(64, RATE_HZ, 5.0, 0.3)


def collected(
    out: Path, x_px: Floats = SWAY_PX, *, runs: int = 8, noise_seed: int = 0
) -> FrameTable:
    frames = render(Scene(96, 64), x_px, np.zeros_like(x_px), rate_hz=RATE_HZ, seed=noise_seed)
    with begun(out) as folder:
        collector = Collector(folder, runs=runs, frames_per_run=8)
        for frame in frames:
            collector.add(frame.t_capture_ns, frame.image)
        return collector.finish("a scene")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    collected(tmp_path / "frames")
    return tmp_path / "frames"


def changed(folder: Path, **values: object) -> None:
    path = folder / "frames.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_was_collected_is_read_back_without_loss(tmp_path: Path) -> None:
    table = collected(tmp_path / "frames")
    originals = [one.image for one in render(Scene(96, 64), SWAY_PX, np.zeros_like(SWAY_PX))]
    stored = read(tmp_path / "frames")
    assert stored.table == table
    assert (table.source, table.size_px, len(table.runs)) == ("a scene", (96, 64), 8)
    for number, run in enumerate(stored.runs()):
        np.testing.assert_array_equal(run, originals[8 * number : 8 * number + 8])
        times = [frame.t_ns for frame in table.runs[number].frames]
        expected = [round(index * 1e9 / RATE_HZ) for index in range(8 * number, 8 * number + 8)]
        assert times == expected
        assert table.runs[number].motion_px == pytest.approx(0.21, rel=0.3)
        assert table.runs[number].light_grey == pytest.approx(120, abs=10)
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [
        *(f"{number:02d}" for number in range(8)),
        "contact-sheet.jpg",
        "frames.json",
    ]


def test_the_contact_sheet_shows_every_run_and_its_motion(frames: Path) -> None:
    sheet = cv2.imread(str(frames / "contact-sheet.jpg"))
    assert sheet is not None
    assert sheet.shape == (2 * (24 + 2 * 240), 4 * 360, 3)
    cell = sheet[:504, :360].astype(float)
    assert cell[:24].max() > 200, "a caption"
    picture = cv2.imread(str(frames / "00" / "0.png"))
    assert picture is not None
    small = cv2.resize(picture, (360, 240)).astype(float)
    assert np.abs(cell[24:264] - small).mean() < 8
    assert cell[264:].mean() == pytest.approx(128, abs=6)
    assert cell[264:].std() > 20, "the motion is enlarged"


def test_the_hash_is_of_the_pictures_and_of_nothing_else(tmp_path: Path) -> None:
    hashes = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        collected(tmp_path / name, noise_seed=seed)
        changed(tmp_path / name, date=name, source=name)
        hashes.append(read(tmp_path / name).sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_only_as_many_runs_as_wanted_are_ever_on_the_disk(tmp_path: Path) -> None:
    x_px = sine(640, RATE_HZ, 5.0, 0.3) * np.linspace(0.2, 3, 640)
    most = 0
    with begun(tmp_path / "frames") as folder:
        collector = Collector(folder, runs=4, frames_per_run=8)
        for frame in render(Scene(64, 64), x_px, np.zeros_like(x_px), rate_hz=RATE_HZ):
            collector.add(frame.t_capture_ns, frame.image)
            most = max(most, len(list(folder.iterdir())))
        table = collector.finish("a scene")
    assert (most, len(table.runs)) == (4, 4)
    times = [run.frames[0].t_ns for run in table.runs]
    assert times == sorted(times)
    assert times[-1] > 10e9


def test_a_run_with_a_gap_in_time_is_left_out(tmp_path: Path) -> None:
    with begun(tmp_path / "frames") as folder:
        collector = Collector(folder, runs=8, frames_per_run=8)
        for frame in render(Scene(96, 64), SWAY_PX, np.zeros_like(SWAY_PX), rate_hz=RATE_HZ):
            late_ns = 40_000_000 if frame.index >= 20 else 0
            collector.add(frame.t_capture_ns + late_ns, frame.image)
        table = collector.finish("a scene")
    assert collector.problems == {"with missing frames": 1}
    assert len(table.runs) == 7


def test_too_little_that_can_be_used_is_told_with_the_reasons(tmp_path: Path) -> None:
    x_px = np.where(np.arange(64) < 40, 0.0, SWAY_PX)
    with pytest.raises(Failure) as told:
        collected(tmp_path / "frames", x_px)
    assert str(told.value) == (
        "a scene: only 24 frames can be used for calibration, and 32 are needed (runs of 8 frames "
        "left out: 5 without motion); film longer, with more light, or while more vibrates"
    )
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "thesis.txt").write_text("x")
    with pytest.raises(Failure, match="is there already, and not empty; give --out a new folder"):
        collected(tmp_path / "frames")
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    collected(tmp_path / "frames")
    assert len(read(tmp_path / "frames").table.runs) == 8


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Failure, match="cannot be written"):
        collected(tmp_path / "file" / "frames")


@pytest.mark.parametrize("name", ["none", "empty", "file"])
def test_what_is_no_folder_of_frames_is_told_with_what_makes_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        Failure, match=r"is no folder of calibration frames; .* capture SOURCE --out"
    ):
        read(tmp_path / name)


def test_a_damaged_table_is_told(frames: Path) -> None:
    changed(frames, preprocessing=2)
    with pytest.raises(Failure, match=r"frames\.json: cannot be used \(Input should be 1\)"):
        read(frames)
    (frames / "frames.json").write_text('{"runs": [')
    with pytest.raises(Failure, match=r"cannot be used \(Invalid JSON: EOF .* line 1"):
        read(frames)


def test_too_few_frames_are_refused(frames: Path) -> None:
    runs = json.loads((frames / "frames.json").read_text())["runs"]
    changed(frames, runs=runs[:3])
    with pytest.raises(
        Failure, match=f"holds 24 frames, and calibration needs at least {FEWEST_FRAMES}"
    ):
        read(frames)
    changed(frames, runs=[])
    with pytest.raises(Failure, match="holds 0 frames"):
        read(frames)


def test_missing_and_damaged_pictures_are_named(frames: Path) -> None:
    stored = read(frames)
    path = frames / "03" / "5.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(Failure, match=r"03/5\.png: was changed or cut short"):
        read(frames)
    path.unlink()
    with pytest.raises(Failure, match=r"03/5\.png: cannot be read \(No such file"):
        read(frames)
    with pytest.raises(Failure, match=r"03/5\.png"):
        list(stored.runs())


def replaced_picture(frames: Path, content: bytes) -> None:
    """Another file in the place of a picture, with a table that vouches for it."""
    runs = json.loads((frames / "frames.json").read_text())["runs"]
    runs[2]["frames"][1]["sha256"] = hashlib.sha256(content).hexdigest()
    changed(frames, runs=runs)
    (frames / "02" / "1.png").write_bytes(content)


def test_pictures_of_another_size_and_files_that_are_none_are_refused(frames: Path) -> None:
    _, other = cv2.imencode(".png", np.zeros((64, 90, 3), np.uint8))
    replaced_picture(frames, other.tobytes())
    with pytest.raises(Failure, match=r"02/1\.png: is 90x64 px, and frames\.json says 96x64 px"):
        read(frames)
    replaced_picture(frames, b"text")
    with pytest.raises(Failure, match=r"02/1\.png: is no picture"):
        read(frames)


def test_frames_without_motion_are_refused(frames: Path) -> None:
    content = (frames / "00" / "0.png").read_bytes()
    runs = json.loads((frames / "frames.json").read_text())["runs"]
    for path in frames.glob("*/*.png"):
        path.write_bytes(content)
    for run in runs:
        for frame in run["frames"]:
            frame["sha256"] = hashlib.sha256(content).hexdigest()
    changed(frames, runs=runs)
    with pytest.raises(Failure, match=r"nothing moves in its frames, .* while something vibrates"):
        read(frames)
