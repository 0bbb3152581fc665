"""Replays of whole videos: what the JSON holds, how exact it is, and which files can be read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from videos import RATE_HZ, burst, moving, region, write_video

from benchmarks.clips import Floats, Scene, render, sine
from calibration import scale_file
from calibration.scale import KnownLength
from failure import Failure
from runtime.alerts.condition import AlertStep
from runtime.camera.video_file import VideoFile
from runtime.config import Config
from runtime.config.file import parse
from runtime.displacement import LEARNED_PICTURES
from runtime.frame import Frame
from runtime.messages import AlertMessage
from runtime.replay.report import replay_into

ARRAYS = ("t_s", "x_px", "y_px", "x_se_px", "y_se_px")


def config(*regions: str, more: str = "") -> Config:
    text = '[camera]\nsource = "elsewhere.mp4"\n' + "\n".join(regions or [region()]) + more
    return parse(text, Path("test.toml"))


def replayed(video: Path, settings: Config | None = None) -> dict[str, Any]:
    """The JSON of a replay, read back."""
    target = video.with_suffix(".json")
    replay_into(video, settings, target, None)

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is not JSON")

    content: dict[str, Any] = json.loads(target.read_text(), parse_constant=refuse)
    return content


def numbers(values: list[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)


def test_the_json_holds_every_frame_of_every_region_and_the_alerts(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mkv", moving(burst(10.0, 2.0, 4.0)))
    content = replayed(video, config(region("deck", 12), region("pier", 16, 32)))
    assert content["video"] == str(video)
    assert (content["width"], content["height"], content["frames"]) == (64, 64, 300)
    assert content["damage"] is None
    assert [one["name"] for one in content["regions"]] == ["deck", "pier"]
    for one in content["regions"]:
        assert {len(one[name]) for name in ARRAYS} == {300}
        # Matroska keeps milliseconds.
        np.testing.assert_allclose(one["t_s"], np.arange(300) / RATE_HZ, atol=6e-4)
        assert one["dominant_hz"] == pytest.approx(5.0, rel=0.005)
        assert one["missing"] == []
    alerts = [AlertMessage.model_validate(alert) for alert in content["alerts"]]
    for name in ("deck", "pier"):
        steps = [alert for alert in alerts if alert.region == name]
        assert (steps[0].type, steps[-1].type) == ("new", "end")
        assert len({step.event_id for step in steps}) == 1


def test_a_replay_of_a_still_clip_raises_nothing(tmp_path: Path) -> None:
    video = write_video(tmp_path / "still.mkv", moving(burst(10.0, 0.0, 0.0)))
    content = replayed(video, config())
    assert content["alerts"] == []
    assert content["regions"][0]["dominant_hz"] is None


def test_frames_that_cannot_be_measured_are_null(tmp_path: Path) -> None:
    frames = list(moving(np.zeros(90)))
    dark = np.zeros((64, 64, 3), np.uint8)
    frames[40:50] = [Frame(frame.index, frame.t_capture_ns, dark) for frame in frames[40:50]]
    [one] = replayed(write_video(tmp_path / "a.mkv", frames), config())["regions"]
    for name in ARRAYS[1:]:
        missing = [number for number, value in enumerate(one[name]) if value is None]
        assert missing == list(range(40, 50)), name
    assert None not in one["t_s"]
    assert one["missing"] == ["too dark: raise the exposure or add light"]


def test_a_twentieth_of_a_pixel_is_measured_as_well_as_the_standard_error_says(
    tmp_path: Path,
) -> None:
    count, frequency_hz = 300, 3.2
    x_px = sine(count, RATE_HZ, frequency_hz, 0.05)
    y_px = sine(count, RATE_HZ, frequency_hz, 0.02)
    frames = render(Scene(72, 64), x_px, y_px, noise_grey=1.5, seed=5)
    [one] = replayed(write_video(tmp_path / "a.mkv", frames), config())["regions"]
    for name, truth in (("x", x_px), ("y", y_px)):
        error_px = numbers(one[f"{name}_px"]) - truth + truth[:LEARNED_PICTURES].mean()
        published_px = numbers(one[f"{name}_se_px"]).mean()
        assert np.sqrt(np.square(error_px).mean()) <= 1.5 * published_px
        assert published_px < 0.01
    assert one["dominant_hz"] == pytest.approx(frequency_hz, rel=0.005)
    assert one["dominant_amplitude_px"] == pytest.approx(0.05, rel=0.05)


def test_with_a_scale_the_amplitude_is_told_in_millimetres_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "a.mkv", moving(burst(3.0, 0.0, 3.0)))
    length = KnownLength(
        start_px=(2, 2), end_px=(62, 2), click_se_px=0.3, length_mm=120, length_se_mm=0
    )
    scale_file.write(tmp_path / "girder.json", scale_file.made(length, (64, 64)))
    scaled = parse(
        f'[camera]\nsource = "a"\n{region()}scale = "girder.json"', tmp_path / "test.toml"
    )
    out = tmp_path / "out"
    replay_into(video, scaled.model_copy(update={"alerts": ()}), None, out)
    [one] = json.loads((out / "replay.json").read_text())["regions"]
    assert one["scale"] == length.at((32, 32)).model_dump()
    assert one["dominant_amplitude_mm"] == pytest.approx(2 * one["dominant_amplitude_px"])
    assert one["dominant_amplitude_se_mm"] == pytest.approx(0.6 * 0.3 * 2**0.5 / 60, rel=0.3)
    told = f", {one['dominant_amplitude_mm']:.4g} ± {one['dominant_amplitude_se_mm']:.2g} mm"
    assert told in capsys.readouterr().out
    assert " px = 0.6" in (out / "report.html").read_text()
    [plain] = replayed(video, config())["regions"]
    assert plain["scale"] is plain["dominant_amplitude_mm"] is None


def test_without_a_configuration_regions_are_proposed(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", moving(burst(2.0, 0.0, 2.0), scene=Scene(160, 120)))
    content = replayed(video)
    names = [one["name"] for one in content["regions"]]
    assert names == [f"region-{number}" for number in range(1, len(names) + 1)]
    assert len(names) >= 2
    for one in content["regions"]:
        assert one["dominant_hz"] == pytest.approx(5.0, rel=0.01)


def gradient(count: int) -> Iterator[Frame]:
    """Texture across but none along."""
    ramp = (128 + 60 * np.sin(np.arange(160) / 3)).astype(np.uint8)
    for number in range(count):
        image = np.repeat(np.tile(ramp, (120, 1))[:, :, None], 3, axis=2)
        yield Frame(number, number * 33_333_333, image)


def test_a_video_without_texture_is_told_when_regions_are_to_be_proposed(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"no part of the first picture has enough texture .*; give"):
        replayed(write_video(tmp_path / "a.mkv", gradient(3)))


def test_a_picture_too_small_for_a_region_is_told(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", moving(np.zeros(3), scene=Scene(40, 15)))
    with pytest.raises(Failure, match=r"a picture of 40x15 px is too small .*; give a video of at"):
        replayed(video)


@pytest.mark.parametrize(("size", "count"), [((65, 49), 1), ((33, 121), 2)])
def test_short_videos_of_odd_sizes_give_a_whole_report(
    tmp_path: Path, size: tuple[int, int], count: int
) -> None:
    scene = Scene(*size)
    video = write_video(tmp_path / "a.mkv", moving(np.zeros(count), scene=scene))
    result = replay_into(video, None, None, tmp_path / "out")
    assert (result.size_px, result.frames) == (size, count)
    content = json.loads((tmp_path / "out" / "replay.json").read_text())
    assert (content["width"], content["height"]) == size
    assert content["regions"][0]["dominant_hz"] is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "replay.json",
        "report.html",
        "side-by-side.mp4",
    ]


def test_a_clip_that_takes_too_long_is_cut_and_told_and_all_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "a.mkv", moving(burst(4.0, 0.0, 4.0)))
    result = replay_into(video, config(), None, tmp_path, magnify_for_s=0.0)
    assert (result.frames, result.magnified) == (120, 1)
    with av.open(str(tmp_path / "side-by-side.mp4")) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 1
    told = "The clip shows the first 1 of 120 frames"
    assert told in capsys.readouterr().out
    assert told in (tmp_path / "report.html").read_text()
    replay_into(video, config(), None, tmp_path)
    assert "The clip shows" not in (tmp_path / "report.html").read_text()


def test_grey_and_colour_files_of_the_same_pictures_measure_the_same(tmp_path: Path) -> None:
    frames = list(moving(burst(1.0, 0.2, 1.0)))
    grey, colour = (
        replayed(write_video(tmp_path / f"{pixels}.mkv", frames, pixels=pixels), config())
        for pixels in ("gray", "bgr0")
    )
    np.testing.assert_allclose(
        numbers(grey["regions"][0]["x_px"]), numbers(colour["regions"][0]["x_px"]), atol=1e-4
    )


def test_a_truncated_file_is_measured_as_far_as_it_goes_and_says_so(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", moving(burst(6.0, 1.0, 6.0)))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    content = replayed(cut, config())
    assert 80 < content["frames"] < 180
    assert f"{content['frames']} frames were read" in content["damage"]
    assert content["regions"][0]["dominant_hz"] == pytest.approx(5.0, rel=0.01)
    with VideoFile(cut, real_time=False) as source:
        assert len(list(source.frames())) == content["frames"]


def test_a_text_file_and_a_missing_file_are_told(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video\n" * 100)
    for settings in (None, config()):
        with pytest.raises(Failure, match=r"text\.mp4: is not a video that FFmpeg can read"):
            replayed(text, settings)
        with pytest.raises(Failure, match=r"none\.mp4: there is no such file"):
            replayed(tmp_path / "none.mp4", settings)
    assert list(tmp_path.iterdir()) == [text]


def test_a_replay_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", moving(np.zeros(3)))
    area = "[magnification]\narea = { x = 40, y = 0, width = 40, height = 40 }\n"
    for settings in (config(region(corner=40)), config(more=area)):
        with pytest.raises(Failure, match="picture of 64x64 px"):
            replay_into(video, settings, tmp_path / "a.json", tmp_path / "out")
    assert not (tmp_path / "a.json").exists()
    assert not any((tmp_path / "out").glob("*"))


def test_a_json_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", moving(np.zeros(3)))
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(Failure, match=f"{taken}: cannot be written"):
        replay_into(video, config(), taken, None)


def test_an_alert_step_in_the_json_is_the_message_that_goes_over_mqtt(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", moving(burst(5.0, 1.0, 5.0)))
    content = replayed(video, config())
    assert content["alerts"]
    for alert in content["alerts"]:
        assert set(alert) == set(AlertMessage.model_fields) - {"stamp"}  # of a daemon's run
        assert set(alert) > set(AlertStep.__slots__)
