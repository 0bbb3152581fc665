import logging
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from failure import Failure
from runtime.camera import open_source
from runtime.camera.video_file import VideoFile
from runtime.config import Camera
from runtime.frame import Frame

MILLISECONDS = Fraction(1, 1000)


def picture(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A gradient, as compressible as real pictures, whose brightness tells its number."""
    ramp = np.linspace(0, 100, width, dtype=np.uint8)
    image = np.empty((height, width, 3), np.uint8)
    image[:] = (ramp + 5 * number % 150)[None, :, None]
    return image


def write(
    path: Path,
    times_ms: Sequence[int],
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "ffv1",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    stream_options: dict[str, str] | None = None,
) -> Path:
    """A video with frames at these times."""
    width, height = size
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.options = {**(stream_options or {})}
        # AVI has one slot for every tick, and an index entry for every slot.
        stream.codec_context.time_base = Fraction(1, 25) if path.suffix == ".avi" else MILLISECONDS
        for number, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="bgr24")
            frame.pts, frame.time_base = time_ms, MILLISECONDS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path: Path) -> list[Frame]:
    with VideoFile(path, real_time=False) as source:
        return list(source.frames())


def times_ms(frames: list[Frame]) -> list[float]:
    return [frame.t_capture_ns / 1e6 for frame in frames]


def test_a_variable_frame_rate_keeps_its_exact_times(tmp_path: Path) -> None:
    times = [0, 40, 80, 200, 213, 1213]
    frames = read(write(tmp_path / "a.mkv", [100 + t for t in times]))
    assert times_ms(frames) == times
    assert [frame.index for frame in frames] == list(range(6))


@pytest.mark.parametrize(("codec", "group"), [("libx264", 5), ("mjpeg", 1), ("ffv1", 1)])
def test_pictures_that_a_codec_made_from_others_are_marked(
    tmp_path: Path, codec: str, group: int
) -> None:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = tmp_path / "a.mkv"
    # FFV1 has frames that are no key frames, and loses nothing.
    rhythm = {
        "g": str(group) if codec != "ffv1" else "5",
        "sc_threshold": "0",
    }  # no key frame because the picture changes
    write(path, range(0, 480, 40), codec=codec, pixels=pixels, stream_options=rhythm)
    assert [one.predicted for one in read(path)] == [number % group > 0 for number in range(12)]


def test_frames_are_read_only_pictures_in_blue_green_red(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write(path, [0, 40], pixels="bgr0")
    with open_source(Camera(source=str(path), real_time=False)) as source:
        assert source.size == (64, 48)
        assert not source.live
        assert source.nominal_rate_hz == 25
        frames = list(source.frames())
    for number, frame in enumerate(frames):
        assert frame.image.dtype == np.uint8
        assert not frame.image.flags.writeable
        np.testing.assert_array_equal(frame.image, picture(number, 64, 48))


@pytest.mark.parametrize(
    ("codec", "pixels", "ending", "size"),
    [
        ("ffv1", "gray", "mkv", (64, 48)),
        ("ffv1", "gray10le", "mkv", (64, 48)),
        ("ffv1", "yuv420p10le", "mkv", (64, 48)),
        ("ffv1", "yuv444p", "mkv", (63, 47)),
        ("mjpeg", "yuvj420p", "avi", (321, 241)),
        ("libx264", "yuv420p", "mp4", (64, 48)),
        ("libx264", "yuv444p", "mp4", (65, 49)),
        ("mpeg4", "yuv420p", "avi", (64, 48)),
    ],
)
def test_formats_sizes_and_depths_give_the_same_pictures(
    tmp_path: Path, codec: str, pixels: str, ending: str, size: tuple[int, int]
) -> None:
    path = write(tmp_path / f"a.{ending}", range(0, 400, 40), size=size, codec=codec, pixels=pixels)
    frames = read(path)
    assert len(frames) == 10
    np.testing.assert_allclose(np.diff(times_ms(frames)), 40, atol=1)
    for number, frame in enumerate(frames):
        assert frame.image.shape == (size[1], size[0], 3)
        difference = frame.image.astype(int) - picture(number, *size)
        assert np.abs(difference).mean() < 5


def test_b_frames_come_in_order_of_presentation(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", range(0, 1200, 40), codec="libx264")
    with av.open(str(path)) as container:
        assert any(p.pts != p.dts for p in container.demux(video=0) if p.pts is not None)
    frames = read(path)
    np.testing.assert_allclose(times_ms(frames), range(0, 1200, 40), atol=1)
    brightness = [int(frame.image[0, 0, 0]) for frame in frames]
    assert brightness == sorted(brightness)
    np.testing.assert_allclose(brightness, [5 * n for n in range(30)], atol=8)


def test_in_real_time_frames_come_when_they_are_due(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", [0, 50, 100, 250])
    with VideoFile(path, real_time=True) as source:
        start = time.monotonic_ns()
        lateness_ms, times = [], []
        for frame in source.frames():
            lateness_ms.append((time.monotonic_ns() - frame.t_capture_ns) / 1e6)
            times.append(frame.t_capture_ns)
    assert 0 <= times[0] - start < 50e6
    assert [t - times[0] for t in times] == [0, 50_000_000, 100_000_000, 250_000_000]
    assert min(lateness_ms) >= -1
    assert max(lateness_ms) < 100


def test_a_slow_reader_misses_no_frame_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", range(0, 100, 10))
    with VideoFile(path, real_time=True) as source:
        frames = []
        for frame in source.frames():
            frames.append(frame)
            time.sleep(0.02)
    assert np.diff([f.t_capture_ns for f in frames]).tolist() == [10_000_000] * 9


def test_closing_from_another_thread_ends_a_long_wait(tmp_path: Path) -> None:
    source = VideoFile(write(tmp_path / "a.mkv", [0, 60_000]), real_time=True)
    threading.Timer(0.2, source.close).start()
    start = time.monotonic()
    assert len(list(source.frames())) == 1
    assert time.monotonic() - start < 5


def test_times_that_do_not_advance_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, time_ms in enumerate([0, 40, 80, 80, 60, 120, 160]):
            frame = av.VideoFrame.from_ndarray(picture(number, 64, 48), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in stream.encode(frame):
                packet.pts, packet.dts, packet.time_base = time_ms, number * 10, MILLISECONDS
                container.mux(packet)
    with VideoFile(path, real_time=False) as source:
        times = times_ms(list(source.frames()))
    assert min(np.diff(times)) > 0
    assert source.dropped > 0
    assert source.dropped + len(times) == 7
    assert "does not advance" in caplog.text


def test_frames_without_times_are_taken_at_the_average_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.h264", range(0, 400, 40), codec="libx264")
    frames = read(path)
    np.testing.assert_allclose(times_ms(frames), range(0, 400, 40), atol=0.01)
    assert "frames without times; they are taken to be 25 Hz" in caplog.text


def test_a_change_of_size_is_a_failure(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"{w}.mjpeg", [0, 40], size=(w, 48), codec="mjpeg", pixels="yuvj420p")
             for w in (64, 80)]  # fmt: skip
    path = tmp_path / "both.mjpeg"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(Failure, match="changed from 64x48 to 80x48 pixels at frame 2"):
        read(path)


@pytest.mark.parametrize("ending", ["avi", "mp4", "mkv"])
def test_a_truncated_file_gives_what_can_be_read_and_says_so(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write(
        tmp_path / f"whole.{ending}",
        range(0, 4000, 40),
        codec="mjpeg",
        pixels="yuvj420p",
        options={"movflags": "faststart"} if ending == "mp4" else None,
    )
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with VideoFile(cut, real_time=False) as source:
        frames = list(source.frames())
        assert 40 < len(frames) < 80
        assert source.damage is not None
        assert f"{len(frames)} frames were read" in source.damage
    assert source.damage in caplog.text
    with VideoFile(whole, real_time=False) as source:
        assert len(list(source.frames())) == 100
        assert source.damage is None


def test_damage_in_the_middle_does_not_end_the_reading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.mkv", range(0, 4000, 40), codec="ffv1")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        positions = [p.pos for p in container.demux(video=0) if p.pos is not None]
    for position in positions[30:40]:
        content[position + 30 : position + 120] = b"\xa5" * 90
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING), VideoFile(path, real_time=False) as source:
        frames = list(source.frames())
    assert 50 < len(frames) < 100
    assert times_ms(frames)[-1] == 3960
    assert source.damage is not None


def test_a_file_may_be_named_like_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "12:30.mkv", [0, 40])
    monkeypatch.chdir(tmp_path)
    assert len(read(Path("12:30.mkv"))) == 2


@pytest.mark.parametrize("content", [b"", b"no video\n" * 100, bytes(5000)])
def test_what_is_no_video_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(Failure, match=r"a\.mp4: is not a video that FFmpeg can read; give"):
        VideoFile(path, real_time=False)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"none\.mp4: there is no such file"):
        open_source(Camera(source=str(tmp_path / "none.mp4")))
    with pytest.raises(Failure, match="is a folder"):
        open_source(Camera(source=str(tmp_path)))


def test_sound_without_video_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(Failure, match="has no video in it"):
        VideoFile(path, real_time=False)


def test_a_video_without_a_single_good_frame_is_a_failure(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", [0, 40, 80], codec="mjpeg", pixels="yuvj420p")
    content = path.read_bytes()
    start, end = content.index(b"movi"), content.index(b"idx1")
    path.write_bytes(content[: start + 12] + bytes(end - start - 12) + content[end:])
    with pytest.raises(Failure, match="not a single frame can be decoded"):
        VideoFile(path, real_time=False)
