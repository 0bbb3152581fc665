"""Video of unusual kind, through replay and through the daemon: a right answer or one clear sentence."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from videos import write_video

from benchmarks.clips import Floats, Scene, render
from runtime.alerts.telling import Raised
from runtime.config import Camera, Config, Region
from runtime.daemon import Daemon
from runtime.displacement import LEARNED_PICTURES
from runtime.frame import Frame
from runtime.replay.report import replay_into

MOTION_PX = 0.3
GIRDER = Region(name="girder", x=12, y=12, width=40, height=40)


def swaying(t_s: Floats, hz: float, size: tuple[int, int] = (64, 64)) -> list[Frame]:
    """A scene that sways sideways, at any times."""
    x_px = MOTION_PX * np.sin(2 * np.pi * hz * t_s)
    frames = render(Scene(*size), x_px, np.zeros_like(x_px))
    return [
        replace(frame, t_capture_ns=round(time_s * 1e9))
        for frame, time_s in zip(frames, t_s, strict=True)
    ]


def evenly(count: int, rate_hz: float | Fraction) -> Floats:
    return np.arange(count) / float(rate_hz)


def at_varying_rate() -> Floats:
    """Rates as a telephone's, with gaps."""
    random = np.random.default_rng(5)
    steps_s = random.choice([1 / 60, 1 / 30, 1 / 25, 0.1], 400, p=[0.2, 0.6, 0.15, 0.05])
    return np.concatenate([[0.0], np.cumsum(steps_s)])


@dataclass(frozen=True)
class Kind:
    """How a file is made, and what is true of it."""

    ending: str
    t_s: Floats
    hz: float
    write: dict[str, Any]
    size: tuple[int, int] = (64, 64)


LOSSLESS = {"codec": "libx264", "options": {"qp": "0", "preset": "ultrafast"}}
KINDS = {
    "one frame a second": Kind("mkv", evenly(120, 1), 0.21, {}),
    "variable frame rate": Kind("mkv", at_varying_rate(), 5.0, {}),
    "29.97 frames a second": Kind("mp4", evenly(300, Fraction(30_000, 1001)), 5.0, LOSSLESS),
    "grey": Kind("mkv", evenly(150, 30), 5.0, {"pixels": "gray"}),
    "ten bits": Kind("mkv", evenly(150, 30), 5.0, {"pixels": "yuv420p10le"}),
    "ten bits grey": Kind("mkv", evenly(150, 30), 5.0, {"pixels": "gray10le"}),
    "odd size": Kind("mkv", evenly(150, 30), 5.0, {"pixels": "bgr0"}, (67, 65)),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def video(tmp_path: Path, kind: Kind) -> Path:
    frames = swaying(kind.t_s, kind.hz, kind.size)
    return write_video(tmp_path / f"clip.{kind.ending}", frames, **kind.write)


def config(source: Path) -> Config:
    return Config(camera=Camera(source=str(source), real_time=False), regions=(GIRDER,))


def replayed(video: Path) -> dict[str, Any]:
    target = video.with_suffix(".json")
    replay_into(video, config(video), target, None)
    content: dict[str, Any] = json.loads(target.read_text())
    return content


def run(video: Path, raised: Raised | None = None) -> Daemon:
    """A daemon that has played the whole file."""
    one = Daemon(config(video), magnifier=None, publisher=None, raised=raised)
    one.run()
    return one


def test_replay_finds_the_motion(video: Path, kind: Kind) -> None:
    content = replayed(video)
    assert content["frames"] == len(kind.t_s)
    assert (content["width"], content["height"]) == kind.size
    assert content["damage"] is None
    [one] = content["regions"]
    # Matroska keeps milliseconds, MP4 as written here ninety thousandths.
    off_s = 6e-4 if kind.ending == "mkv" else 1e-6
    np.testing.assert_allclose(one["t_s"], kind.t_s, atol=off_s)
    assert one["missing"] == []
    assert one["dominant_hz"] == pytest.approx(kind.hz, rel=1e-3)
    assert one["dominant_amplitude_px"] == pytest.approx(MOTION_PX, rel=0.02)


def test_the_daemon_measures_every_frame_and_raises_one_alert(video: Path, kind: Kind) -> None:
    steps: list[str] = []
    one = run(video, lambda message: steps.append(message.type))
    assert one.counters.measured == one.counters.captured == len(kind.t_s)
    assert steps.count("new") == 1


def test_of_two_frames_it_is_told_that_they_are_too_few_to_learn_from(tmp_path: Path) -> None:
    video = write_video(tmp_path / "two.mkv", swaying(evenly(2, 30), 5.0))
    content = replayed(video)
    [one] = content["regions"]
    assert one["x_px"] == [None, None]
    [missing] = one["missing"]
    assert missing.startswith("learning: zero is the mean of the first 32 usable pictures")
    assert one["dominant_hz"] is None
    assert content["alerts"] == []
    assert run(video).counters.measured == 2


def test_4k_is_measured_where_the_region_is(tmp_path: Path) -> None:
    tile = np.rint(Scene(128, 128).at(0, 0)).astype(np.uint8)
    picture = np.repeat(np.tile(tile, (17, 30))[:2160, :3840, None], 3, axis=2)
    frames = [
        Frame(number, number * 33_000_000, np.roll(picture, (2 * number, number), axis=(0, 1)))
        for number in [0] * (LEARNED_PICTURES - 1) + [1, 2]
    ]
    frames = [
        replace(frame, index=i, t_capture_ns=33_000_000 * i) for i, frame in enumerate(frames)
    ]
    video = write_video(tmp_path / "4k.mkv", frames)
    content = replayed(video)
    assert (content["width"], content["height"]) == (3840, 2160)
    [one] = content["regions"]
    assert np.diff(one["x_px"])[-2:] == pytest.approx([1, 1], abs=1e-3)
    assert np.diff(one["y_px"])[-2:] == pytest.approx([2, 2], abs=1e-3)
    assert run(video).counters.measured == len(frames)


def test_a_file_that_was_cut_off_is_measured_to_its_end_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_video(tmp_path / "whole.mkv", swaying(evenly(200, 30), 5.0))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with caplog.at_level(logging.WARNING):
        one = run(cut)
    assert 60 < one.counters.measured < 160
    assert f"are missing; {one.counters.measured} frames were read" in caplog.text
    content = replayed(cut)
    assert f"are missing; {one.counters.measured} frames were read" in content["damage"]
    assert content["regions"][0]["dominant_hz"] == pytest.approx(5.0, rel=1e-3)


def at_packet_times(path: Path, times_ms: Sequence[int]) -> Path:
    """A file whose frames have these times, in this order, which no camera with a good clock writes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25, options={"q:v": "2"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for number, frame in enumerate(swaying(np.array(times_ms) / 1000, 5.0)):
            picture = av.VideoFrame.from_ndarray(frame.image, format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            for packet in stream.encode(picture):
                packet.pts, packet.dts, packet.time_base = (
                    times_ms[number],
                    number,
                    Fraction(1, 1000),
                )
                container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("times_ms", "kept"),
    [
        (range(5000, 1000, -40), 1),
        ([*range(6000, 10_000, 40), *range(1000, 5000, 40)], 100),
    ],
    ids=["backwards", "a jump back"],
)
def test_a_clock_that_runs_backwards_is_told_and_its_frames_are_left_out(
    tmp_path: Path, times_ms: Sequence[int], kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    video = at_packet_times(tmp_path / "clip.mkv", times_ms)
    content = replayed(video)
    assert content["frames"] == kept
    assert content["damage"] == (
        f"{len(times_ms) - kept} frames are not later than the one before and were left out; "
        f"{kept} frames were read"
    )
    [one] = content["regions"]
    assert one["dominant_hz"] == (None if kept == 1 else pytest.approx(5.0, rel=1e-3))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert run(video).counters.measured == kept
    assert content["damage"] in caplog.text


def test_a_recording_that_begins_late_is_whole(tmp_path: Path) -> None:
    video = write_video(tmp_path / "late.mkv", swaying(20 + evenly(90, 30), 5.0))
    content = replayed(video)
    assert content["damage"] is None
    assert content["regions"][0]["t_s"][0] == 0
