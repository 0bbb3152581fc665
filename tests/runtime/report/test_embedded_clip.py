"""The clip inside the page: as it is where it fits, and what is told where it does not."""

from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from failure import Failure
from runtime.clips import clip_writer
from runtime.report.embedded_clip import embedded


def written(path: Path, seconds: float, width: int = 640, rate_hz: float = 15.0) -> Path:
    """Noise, which compresses badly; its brightness grows with time."""
    random = np.random.default_rng(2)
    with clip_writer(path, rate_hz) as write:
        for number in range(round(seconds * rate_hz)):
            level = 30 + round(150 * number / (seconds * rate_hz))
            picture = random.integers(0, 60, (96, width, 3)) + level
            write(picture.astype(np.uint8), number / rate_hz)
    return path


def facts_of(content: bytes) -> tuple[float, int, float]:
    """Length (s), width (px), and mean brightness of the first picture."""
    with av.open(BytesIO(content), "r") as container:
        width = container.streams.video[0].width
        frames = [float(frame.time or 0) for frame in container.decode(video=0)]
        container.seek(0)
        first = next(container.decode(video=0)).to_ndarray(format="bgr24")
    return frames[-1] - frames[0], width, float(first.mean())


def test_a_clip_that_fits_is_taken_as_it_is(tmp_path: Path) -> None:
    clip = written(tmp_path / "a.mp4", 2.0)
    found = embedded(clip, tmp_path, 1.0, most_bytes=clip.stat().st_size)
    assert found.content == clip.read_bytes()
    assert found.dropped is None


def test_one_that_is_too_large_is_made_smaller_and_that_is_told(tmp_path: Path) -> None:
    clip = written(tmp_path / "a.mp4", 3.0, width=1600)
    most = clip.stat().st_size // 4
    found = embedded(clip, tmp_path, 1.0, most_bytes=most)
    assert len(found.content) <= most
    length_s, width, _ = facts_of(found.content)
    assert length_s == pytest.approx(3.0, abs=0.1)
    assert width == 1280
    assert found.dropped is not None
    assert "at most 1280 px wide" in found.dropped
    assert "are shown" not in found.dropped
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_long_one_keeps_the_part_around_the_largest_motion(tmp_path: Path) -> None:
    clip = written(tmp_path / "a.mp4", 20.0, width=160)
    most = 300_000  # 6 s of the fewest bits
    found = embedded(clip, tmp_path, 15.0, most_bytes=most)
    assert len(found.content) <= most
    length_s, _, brightness = facts_of(found.content)
    assert length_s == pytest.approx(6.0, abs=0.2)
    assert brightness == pytest.approx(30 + 30 + 150 * 12 / 20, abs=12), "it begins at 12 s"
    assert found.dropped is not None
    assert "of its 20 s only 12 to 18 s are shown" in found.dropped
    assert found.still.mean() == pytest.approx(30 + 30 + 150 * 15 / 20, abs=12)


def test_a_clip_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no clip")
    with pytest.raises(Failure, match=r"a\.mp4: cannot be put into the report"):
        embedded(tmp_path / "a.mp4", tmp_path, 0.0)
