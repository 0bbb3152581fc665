"""Regions are proposed where motion can be measured, and stands to be measured."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from videos import moving, write_video

from benchmarks.clips import Scene, sine
from failure import Failure
from runtime.config.file import parse
from runtime.displacement import LEARNED_PICTURES, DisplacementMeter
from runtime.frame import Frame
from runtime.replay.region_proposal import LARGEST_PROPOSED_SE_PX, propose_regions
from runtime.replay.region_report import as_toml, report_regions

WIDTH_PX, HEIGHT_PX = 320, 240
FRAMES = 110
WALL, MAST, FOLIAGE, ROAD, LAMP = (
    (slice(20, 100), slice(20, 110)),
    (slice(20, 100), slice(200, 300)),
    (slice(140, 220), slice(20, 100)),
    (slice(140, 220), slice(120, 200)),
    (slice(140, 220), slice(220, 300)),
)


def street(count: int = FRAMES) -> Iterator[Frame]:
    """A still wall, a mast that sways, foliage, traffic, and a lamp that is too bright, on grey."""
    random = np.random.default_rng(6)
    wall, mast, road = (Scene(100, 80, seed=seed) for seed in (1, 2, 3))
    leaves = [Scene(20, 20, seed=seed, finest_px=4, coarsest_px=10) for seed in range(10, 26)]
    phases = random.uniform(0, 7, (2, 16))
    sway_px = sine(count, 30.0, 2.0, 1.5)
    for index in range(count):
        grey = np.full((HEIGHT_PX, WIDTH_PX), 110.0)
        grey[WALL] = wall.at(0, 0)[:80, :90]
        grey[MAST] = mast.at(sway_px[index], 0.0)
        for leaf, (scene, phase_x, phase_y) in enumerate(zip(leaves, *phases, strict=True)):
            top, left = 140 + leaf // 4 * 20, 20 + leaf % 4 * 20
            x_px, y_px = np.sin(index / 4 + phase_x), np.sin(index / 5 + phase_y)
            grey[top : top + 20, left : left + 20] = scene.at(1.2 * x_px, 1.2 * y_px)
        grey[ROAD] = road.at(0, 0)[:80, :80]
        if index % 25 < 8:  # something drives past
            grey[140:220, 120 + index % 25 * 5 : 160 + index % 25 * 5] = 60.0
        grey[LAMP] = 230 + 2 * (Scene(80, 80, seed=5).at(0, 0) - 120)
        grey += random.normal(0, 1.5, grey.shape)
        image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
        yield Frame(index, round(index * 1e9 / 30), np.repeat(image[:, :, None], 3, axis=2))


def place(region: object) -> str:
    """What a region shows."""
    names = {"wall": WALL, "mast": MAST, "foliage": FOLIAGE, "road": ROAD, "lamp": LAMP}
    x, y = region.x + region.width // 2, region.y + region.height // 2  # type: ignore[attr-defined]
    for name, (rows, columns) in names.items():
        if rows.start <= y < rows.stop and columns.start <= x < columns.stop:
            return name
    return "nothing"


def test_still_and_swaying_structures_are_proposed_and_foliage_traffic_and_glare_are_not() -> None:
    proposal = propose_regions(street(), count=5, size_px=32)
    assert {place(one) for one in proposal.regions} == {"wall", "mast"}
    refused = {place(one.region): one.refused for one in proposal.refused}
    assert set(refused) >= {"foliage", "road"}
    assert "lamp" not in refused
    assert refused["road"] is not None
    assert "% of the frames changed: something covers it" in refused["road"]
    names = [one.name for one in proposal.regions]
    assert names == [f"region-{number}" for number in range(1, len(names) + 1)]


def test_a_short_video_is_judged_by_its_texture_alone() -> None:
    proposal = propose_regions(street(3), count=5, size_px=32)
    assert {"wall", "mast", "road"} <= {place(one) for one in proposal.regions}
    assert {one.measured_se_px for one in proposal.proposed} == {None}


@pytest.mark.parametrize("noise_grey", [1.5, 4.0])
@pytest.mark.parametrize("finest_px", [4.0, 8.0])
def test_predicted_standard_errors_are_those_that_are_then_measured(
    noise_grey: float, finest_px: float
) -> None:
    scene = Scene(200, 150, finest_px=finest_px)
    random = np.random.default_rng(1)
    frames = []
    for index in range(LEARNED_PICTURES + 40):
        grey = scene.at(0.1 * np.sin(index), 0.0) + random.normal(0, noise_grey, (150, 200))
        image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
        frames.append(Frame(index, index * 33_333_333, np.repeat(image[:, :, None], 3, axis=2)))
    proposal = propose_regions(frames)
    meter = DisplacementMeter(proposal.regions)
    results = list(zip(*(meter.measure(frame) for frame in frames), strict=True))
    for one, column in zip(proposal.proposed, results, strict=True):
        told = [(r.x_noise_px, r.y_noise_px) for r in column[LEARNED_PICTURES:]]
        assert (one.x_se_px, one.y_se_px) == pytest.approx(np.median(told, axis=0), rel=0.25)


def test_regions_are_spread_do_not_overlap_and_lie_in_the_picture() -> None:
    proposal = propose_regions(moving(np.zeros(4), scene=Scene(500, 300)), count=9)
    assert len(proposal.regions) == 9
    covered = np.zeros((300, 500), int)
    for one in proposal.regions:
        covered[one.y : one.y + one.height, one.x : one.x + one.width] += 1
    assert covered.max() == 1
    assert covered.sum() == 9 * 48 * 48
    assert covered[:, :250].any()
    assert covered[:, 250:].any()
    worst = [one.predicted_px for one in proposal.proposed]
    assert worst == sorted(worst)
    assert worst[-1] < LARGEST_PROPOSED_SE_PX


def test_when_everything_moves_in_itself_that_is_told() -> None:
    frames = list(street(60))
    alone = [Frame(f.index, f.t_capture_ns, f.image[130:230, 10:110]) for f in frames]
    for number, frame in enumerate(alone):  # and the light is switched on and off
        if number % 3 == 1:
            frame.image[:] = 0
    with pytest.raises(Failure, match=r"every part .* changes in itself.*; give regions"):
        propose_regions(alone, size_px=32)


def test_the_command_draws_a_picture_and_prints_toml_to_paste(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "street.mkv", street())
    proposal = report_regions(video, tmp_path / "street.png", count=2, size_px=32)
    out = capsys.readouterr().out
    assert "# region-1: predicted standard error x 0.00" in out
    assert out.endswith(as_toml(proposal) + "\n")
    config = parse('[camera]\nsource = "street.mkv"\n' + out, tmp_path / "site.toml")
    assert config.regions == proposal.regions
    picture = cv2.imread(str(tmp_path / "street.png"))
    assert picture is not None
    assert picture.shape == (3 * HEIGHT_PX, 3 * WIDTH_PX, 3)
    one = proposal.regions[0]
    assert tuple(picture[3 * one.y, 3 * one.x + 50]) == (80, 200, 60)
