"""The benchmark of the pipeline: every part runs on something small, and the page says what was found."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from daemons import needs_gstreamer

from benchmarks import four_cameras, growth, latency, magnification_rate, pipeline
from benchmarks.daemon_process import running
from benchmarks.film import regions
from benchmarks.four_cameras import AtOnce, OneCamera
from benchmarks.growth import Growth, Point
from benchmarks.latency import Delays, percentile
from benchmarks.magnification_rate import CLASSICAL, OTHERS, OURS, Rates
from benchmarks.per_frame import PerFrame, Turn
from benchmarks.pipeline_page import DELAYS, GROWTH, RATES, Results, marks, page
from failure import Failure
from runtime.camera.watch import CameraCounters
from runtime.config import Camera, Config, Magnification, Mqtt, Storage
from runtime.snapshot import Frames, Latencies, Snapshot, Waiting

SMALL = (128, 96)


def test_every_method_is_timed_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    poster = {"proposed": OTHERS["proposed"]}  # the baseline's graph takes as long again to write
    monkeypatch.setattr(magnification_rate, "OTHERS", poster)
    [found] = magnification_rate.measure(turns=2, sizes_px=((64, 48),))
    assert set(found.frame_s) - {CLASSICAL} == {OURS, poster["proposed"]}
    assert all(len(taken) == 2 and min(taken) > 0 for taken in found.frame_s.values())


@needs_gstreamer
def test_the_motions_of_a_film_are_told_and_their_first_frame_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latency, "LEARNING_S", 4.0)
    found = latency.measure(30, seconds=5.0, size_px=(480, 360))
    assert 4 < found.motions < 12
    assert 0 < len(found.from_motion_ms) == len(found.from_deciding_ms) <= found.motions
    waited_frames = 0.03 * np.subtract(found.from_motion_ms, found.from_deciding_ms)
    assert min(found.from_deciding_ms) > 0
    # Where a busy machine loses that frame, it is one of the next.
    np.testing.assert_allclose(waited_frames, np.rint(waited_frames), atol=0.01)
    assert min(waited_frames) == pytest.approx(0, abs=0.01)


def test_a_schedule_is_still_between_its_motions() -> None:
    shown, begins = latency.schedule(30, 5.0)
    assert [shown[begin] for begin in begins] == [1 + turn % 2 for turn in range(len(begins))]
    assert not any(shown[begin - 1] for begin in begins)
    assert not any(shown[: begins[0]])
    assert not any(shown[-60:])


@needs_gstreamer
def test_four_daemons_run_at_once_with_and_without_magnification() -> None:
    plain, magnified = four_cameras.measure(seconds=2.0, warming_s=1.0, sizes_px=((320, 240),))
    assert (plain.magnified, magnified.magnified) == (False, True)
    for one in (plain, magnified):
        assert len(one.cameras) == four_cameras.CAMERAS
        assert all(camera.measured_hz > 0 < camera.cores for camera in one.cameras)
    assert all(camera.magnified_hz == 0 for camera in plain.cameras)
    assert any(camera.magnified_hz > 0 for camera in magnified.cameras)


def test_every_growth_is_measured_in_processes_of_their_own() -> None:
    extent = growth.Extent(
        region_counts=(1, 2),
        region_sides_px=(32, 48),
        pictures_px=((320, 240), (400, 300)),
        network_px=((64, 48), (96, 64)),
        lengths_s=(3, 5),
        base_px=(400, 300),
        learning=5,
        turns=1,
        frames=5,
    )
    grown, length = growth.measure(extent)
    assert [[point.amount for point in one.points] for one in (*grown, length)] == [
        [1, 2],
        [32**2, 48**2],
        [320 * 240, 400 * 300],
        [64 * 48, 96 * 64],
        [3, 5],
    ]
    for one in (*grown, length):
        assert all(point.ms > 0 and point.peak_mib > 30 for point in one.points)


@pytest.mark.parametrize(("base_ms", "exponent"), [(0.0, 1.0), (3.0, 1.0), (2.0, 1.6)])
def test_a_fit_tells_a_frames_own_cost_from_its_growth(base_ms: float, exponent: float) -> None:
    amounts = (1, 2, 4, 8, 16, 32, 64)
    points = tuple(Point(n, base_ms + 0.2 * n**exponent, 100.0) for n in amounts)
    grown = Growth("number of regions", "regions", "", points)
    assert grown.fit == pytest.approx((base_ms, 0.2, exponent), abs=0.02)
    assert (grown.off_the_line < 1e-6) == (exponent == 1.0)


def test_regions_are_spread_over_the_picture_and_lie_in_it() -> None:
    for count in (1, 2, 8, 16, 64):
        found = regions(count, 64, (1920, 1080))
        assert len({one.name for one in found}) == count
        assert all(one.lies_in(1920, 1080) for one in found)
        assert not any(one.overlaps(other) for one in found for other in found if one is not other)


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([*range(1, 101)], 99) == 99
    assert percentile([7.0, 3.0], 50) == 3.0
    assert np.isnan(percentile([], 50))


def snapshot(lost: int = 0) -> Snapshot:
    return Snapshot(
        name="camera",
        time_utc="2026-01-01T00:00:00Z",
        running_s=60.0,
        source="gst: a test's",
        engine=None,
        picture_px=None,
        frame_age_s=None,
        frame_step_s=None,
        camera_hz=None,
        magnified_hz=3.0,
        camera_problem=None,
        health=(),
        frames=Frames(captured=1800, measured=1800, not_measured=0, magnified=9, not_magnified=9),
        camera=CameraCounters(lost=lost),
        waiting=Waiting(
            frames_to_measure=0,
            most_frames_to_measure=32,
            pictures_to_keep=0,
            lost_pictures=0,
            lost_samples=0,
        ),
        latencies=Latencies(**dict.fromkeys(Latencies.model_fields)),
        magnification=Magnification(),
        open_alerts=(),
        suppressed=0,
        telemetry=(),
        delivery=None,
        evidence=None,
        evidence_problem=None,
    )


@pytest.fixture
def good() -> Results:
    """What keeps every mark."""
    turns = tuple(Turn({"displacement": 2.0, "telling": 1.0}, 0.6) for _ in range(3))
    names = {
        "number of regions": (1, 8, 64),
        "pixels of each region": (1024, 4096, 36864),
        "pixels of the picture": (230400, 921600, 2073600),
        "pixels of the magnified picture": (36864, 82944, 230400),
    }
    grown = [
        Growth(of, "px", "", tuple(Point(n, 1 + n / amounts[-1], 200.0) for n in amounts))
        for of, amounts in names.items()
    ]
    delays_ms = tuple(np.linspace(8.0, 20.0, 50).tolist())
    one = OneCamera(30.0, 30.0, 0, 0, 0.5, 0.2, 20.0)
    return Results(
        rates=[
            Rates(size, dict.fromkeys((OURS, *OTHERS.values(), CLASSICAL), (0.1, 0.2, 0.3)))
            for size in magnification_rate.SIZES_PX
        ],
        per_frame=PerFrame(turns, 60, True, True, "2 x processor of a test"),
        grown=grown,
        length=Growth("length", "s", "", (Point(20, 3.0, 230.0), Point(160, 3.0, 231.0))),
        delays=[Delays(rate_hz, 50, delays_ms, delays_ms, snapshot()) for rate_hz in (30, 60)],
        at_once=tuple(AtOnce(SMALL, 20.0, on, (one,) * 4) for on in (False, True)),
        load=0.1,
        minutes=9.0,
    )


def broken(good: Results) -> Iterator[tuple[str, Results]]:
    """Each mark's name begins so, where these results miss it alone."""
    slow = tuple(Turn({"displacement": 4.5}, 0.6) for _ in range(3))
    yield "processor time a frame", replace(good, per_frame=replace(good.per_frame, turns=slow))
    copies = tuple(Turn({"displacement": 3.0}, 0.2) for _ in range(3))
    yield "the same, over one copy", replace(good, per_frame=replace(good.per_frame, turns=copies))
    first, last = good.delays
    late = replace(last, from_motion_ms=(*last.from_motion_ms[:-1], 900.0))
    late = replace(late, from_motion_ms=(*late.from_motion_ms[:-2], 900.0, 900.0))
    yield (
        "from a motion's first frame to its MQTT message at 60",
        replace(good, delays=[first, late]),
    )
    untold = replace(first, from_motion_ms=first.from_motion_ms[1:])
    yield (
        "from a motion's first frame to its MQTT message at 30",
        replace(good, delays=[untold, last]),
    )
    yield "1080p at 60 Hz", replace(good, delays=[first, replace(last, snapshot=snapshot(lost=1))])
    steep = replace(
        good.grown[0], points=tuple(Point(n, 1 + n**1.5, 200.0) for n in (1, 4, 8, 16, 64))
    )
    yield "time a frame over the number of regions", replace(good, grown=[steep, *good.grown[1:]])
    fat = replace(good.length, points=(Point(20, 3.0, 230.0), Point(160, 3.0, 260.0)))
    yield "peak memory", replace(good, length=fat)


def test_each_mark_can_be_missed_alone(good: Results) -> None:
    assert all(mark.holds for mark in marks(good))
    for begin, results in broken(good):
        missed = [mark.what for mark in marks(results) if not mark.holds]
        assert len(missed) == 1, begin
        assert missed[0].startswith(begin)


def test_the_page_is_written_with_its_plots_and_a_missed_mark_is_an_error(
    good: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "FOLDER", tmp_path)
    monkeypatch.setattr(pipeline, "measured", lambda: good)
    pipeline.main()
    text = (tmp_path / "RESULTS.md").read_text()
    assert "**fails**" not in text
    for plot in (RATES, DELAYS, GROWTH):
        assert f"]({plot})" in text
        assert (tmp_path / plot).read_bytes().startswith(b"\x89PNG")
    _, bad = next(broken(good))
    monkeypatch.setattr(pipeline, "measured", lambda: bad)
    with pytest.raises(SystemExit) as ended:
        pipeline.main()
    assert ended.value.code == 1
    assert "**fails**" in (tmp_path / "RESULTS.md").read_text()


def test_a_part_that_cannot_run_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking() -> Results:
        raise Failure("the latency needs a broker: install Debian's mosquitto")

    monkeypatch.setattr(pipeline, "measured", lacking)
    with pytest.raises(SystemExit):
        pipeline.main()
    assert "install Debian's mosquitto" in capsys.readouterr().err


def test_a_method_that_is_not_installed_has_a_row_that_says_so(good: Results) -> None:
    for one in good.rates:
        del one.frame_s[CLASSICAL]
    [line] = [line for line in page(good) if line.startswith(f"| {CLASSICAL}")]
    assert "not installed" in line
    assert line.count("|") == 2 + 1 + len(good.rates)


def test_a_daemon_that_gets_no_frame_is_told_in_a_sentence(tmp_path: Path) -> None:
    config = Config(
        camera=Camera(source=str(tmp_path / "missing.mkv")),
        regions=regions(1, 64, SMALL),
        magnification=Magnification(enabled=False),
        mqtt=Mqtt(enabled=False),
        storage=Storage(directory=tmp_path),
    )
    with pytest.raises(Failure, match="got no frame"), running(config):
        pass
