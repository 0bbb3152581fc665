"""The CSV for modal analysis: read by pyOMA2 itself, on clips whose frequencies are known."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyoma2.algorithms.fdd import FDD
from pyoma2.algorithms.ssi import SSI
from pyoma2.setup.single import SingleSetup
from signals import resonance
from videos import write_video

from benchmarks.clips import Floats, Scene, render
from calibration.scale import Scale
from failure import Failure
from runtime.config import Config
from runtime.config.file import parse
from runtime.frame import Frame
from runtime.replay.modal_export import modal_record
from runtime.replay.replay import RegionHistory
from runtime.replay.report import replay_into

RATE_HZ, LENGTH_S = 20.0, 120.0
FIRST_HZ, SECOND_HZ = 3.1, 7.3
SCENES = (Scene(48, 48, seed=1), Scene(48, 48, seed=2), Scene(48, 48, seed=3))
SHAPES = ((1.0, 1.0, 0.6), (1.0, -0.5, -0.8))
"""Of the first and the second mode, at the three regions."""


def film(moved_px: Floats, seed: int = 3) -> list[Frame]:
    """Three textures beside each other, each moved sideways by its own row of (3, n)."""
    parts = [
        list(render(scene, row, np.zeros_like(row), rate_hz=RATE_HZ, seed=seed + number))
        for number, (scene, row) in enumerate(zip(SCENES, moved_px, strict=True))
    ]
    return [
        Frame(one.index, one.t_capture_ns, np.hstack([one.image, two.image, three.image]))
        for one, two, three in zip(*parts, strict=True)
    ]


def config() -> Config:
    regions = "".join(
        f'[[regions]]\nname = "{name}"\nx = {48 * number + 8}\ny = 8\nwidth = 32\nheight = 32\n'
        for number, name in enumerate(("deck", "mast", "pier"))
    )
    return parse(f'[camera]\nsource = "x"\n{regions}', Path("x.toml"))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a rendered clip of two modes under random force."""
    folder = tmp_path_factory.mktemp("modal")
    random = np.random.default_rng(11)
    count = round(LENGTH_S * RATE_HZ)
    modes = [resonance(count, RATE_HZ, hz, 0.005, random) for hz in (FIRST_HZ, SECOND_HZ)]
    moved = 0.15 * np.outer(SHAPES[0], modes[0]) + 0.08 * np.outer(SHAPES[1], modes[1])
    video = write_video(folder / "clip.mkv", film(moved))
    replay_into(video, config(), None, None, folder / "samples.csv")
    return folder / "samples.csv"


def setup_of(path: Path) -> tuple[SingleSetup, list[str]]:
    """As docs/evidence.md tells it."""
    with path.open() as file:
        names = file.readline().strip().split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    rate_hz = (len(table) - 1) / (table[-1, 0] - table[0, 0])
    return SingleSetup(table[:, 1:-1], fs=rate_hz), names[1:-1]


def test_fdd_of_pyoma2_finds_the_true_frequencies_and_shapes(samples: Path) -> None:
    setup, names = setup_of(samples)
    fdd = FDD(name="FDD", nxseg=1024)
    setup.add_algorithms(fdd)
    setup.run_by_name("FDD")
    setup.mpe("FDD", sel_freq=[3.0, 7.4], DF=0.3)
    result: Any = fdd.result
    np.testing.assert_allclose(result.Fn, [FIRST_HZ, SECOND_HZ], rtol=0.005)
    x = [names.index(f"{region}_x_px") for region in ("deck", "mast", "pier")]
    for number, true in enumerate(SHAPES):
        found = np.real(result.Phi[x, number])
        mac = np.dot(found, true) ** 2 / (np.dot(found, found) * np.dot(true, true))
        assert mac > 0.99


def test_ssi_of_pyoma2_finds_the_true_frequencies(samples: Path) -> None:
    setup, names = setup_of(samples)
    # The picture's y holds only noise here, and noise has modes of its own.
    setup.data = setup.data[:, [number for number, name in enumerate(names) if "_x_" in name]]
    ssi = SSI(name="SSI", br=20, ordmax=20)
    setup.add_algorithms(ssi)
    setup.run_by_name("SSI")
    setup.mpe("SSI", sel_freq=[FIRST_HZ, SECOND_HZ], order_in=12)
    result: Any = ssi.result
    np.testing.assert_allclose(result.Fn, [FIRST_HZ, SECOND_HZ], rtol=0.005)


def test_the_file_says_what_it_holds(samples: Path) -> None:
    with samples.open(newline="") as file:
        rows = list(csv.reader(file))
    axes = [f"{region}_{axis}_px" for region in ("deck", "mast", "pier") for axis in "xy"]
    assert rows[0] == ["t_s", *axes, "interpolated"]
    assert len(rows) == 1 + round(LENGTH_S * RATE_HZ)
    assert {row[-1] for row in rows[1:]} == {"0"}


def history(name: str, t_s: Floats, x_px: Floats, scale: Scale | None = None) -> RegionHistory:
    known = [None if np.isnan(value) else float(value) for value in x_px]
    return RegionHistory(name, t_s=t_s.tolist(), x_px=known, y_px=[None] * len(known), scale=scale)


def sine(t_s: Floats, hz: float = 2.0) -> Floats:
    values: Floats = np.sin(2 * np.pi * hz * t_s)
    return values


def test_short_gaps_and_uneven_times_are_interpolated_and_flagged() -> None:
    random = np.random.default_rng(5)
    t_s = np.arange(300) / 30 + random.uniform(-0.005, 0.005, 300)
    x_px = sine(t_s)
    x_px[[100, 101, 200]] = np.nan
    kept = np.delete(np.arange(300), [50, 51])  # lost frames
    record = modal_record([history("deck", t_s[kept], x_px[kept])])
    np.testing.assert_allclose(np.diff(record.t_s), np.diff(record.t_s)[0])
    assert len(record.t_s) == 300
    np.testing.assert_allclose(record.values[:, 0], sine(record.t_s), atol=0.02)
    assert np.flatnonzero(record.interpolated).tolist() == [50, 51, 100, 101, 200]
    assert record.rate_hz == pytest.approx(30, rel=2e-3)
    assert record.left_out == ("deck y",)


def test_a_long_gap_is_refused_with_its_place_and_reason() -> None:
    t_s = np.arange(300) / 30
    x_px = sine(t_s)
    x_px[150:160] = np.nan
    dark = history("pier", t_s, x_px)
    dark.reasons.add("too dark: raise the exposure")
    with pytest.raises(
        Failure, match=r'"pier" has no measurement from 4\.97 to 5\.33 s \(too dark'
    ):
        modal_record([history("deck", t_s, sine(t_s)), dark])


def test_what_one_region_lacks_at_the_ends_is_cut_off() -> None:
    t_s = np.arange(300) / 30
    late = sine(t_s)
    late[:60] = np.nan
    record = modal_record([history("deck", t_s, sine(t_s)), history("pier", t_s, late)])
    assert record.t_s[0] == pytest.approx(2.0)
    assert len(record.t_s) == 240
    assert not record.interpolated.any()


def test_millimetres_only_where_every_region_has_a_scale() -> None:
    t_s = np.arange(60) / 30
    scale = Scale(x_mm_per_px=2, y_mm_per_px=3, x_se_mm_per_px=0, y_se_mm_per_px=0)
    one, other = history("deck", t_s, sine(t_s), scale), history("pier", t_s, sine(t_s))
    assert modal_record([one]).channels == ("deck_x_mm",)
    np.testing.assert_allclose(modal_record([one]).values[:, 0], 2 * sine(t_s))
    both = modal_record([one, other])
    assert both.channels == ("deck_x_px", "pier_x_px")
    np.testing.assert_allclose(both.values[:, 0], sine(t_s))


@pytest.mark.parametrize("measured", [0, 20])
def test_too_little_is_refused(measured: int) -> None:
    t_s = np.arange(100) / 30
    x_px = sine(t_s)
    x_px[measured:] = np.nan
    with pytest.raises(Failure, match=r"no region was measured|in 20 frames only"):
        modal_record([history("deck", t_s, x_px)])
