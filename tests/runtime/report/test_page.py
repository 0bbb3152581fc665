"""The report: a clip that plays, and one page that says what was found and needs nothing else."""

import base64
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import av
import cv2
import numpy as np
import pytest
from videos import burst, moving, region, write_video

from benchmarks.clips import Scene
from failure import Failure
from runtime.clips import clip_writer, side_by_side
from runtime.config import Region
from runtime.config.file import parse
from runtime.frame import Frame
from runtime.replay.replay import Replay
from runtime.replay.report import replay_into

ODD_NAME = "a <b>bridge & \"co\" $title 'x'.mkv"


class Page(HTMLParser):
    """The text of a page, element by element, and every address in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.content = path.read_text(encoding="utf-8")
        self.texts: list[tuple[str, str]] = []
        self.addresses: list[str] = []
        self._tags: list[str] = []
        self.feed(self.content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tags.append(tag)
        self.addresses += [
            value for name, value in attrs if name in ("src", "href", "poster") if value
        ]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._tags[-1], data.strip()))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]

    def all(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")

    def embedded(self, kind: str) -> list[bytes]:
        start = f"data:{kind};base64,"
        return [
            base64.b64decode(one.removeprefix(start))
            for one in self.addresses
            if one.startswith(start)
        ]


def uneven() -> Iterator[Frame]:
    """A clip with a burst whose frames come at uneven times."""
    for frame in moving(burst(4.0, 1.0, 4.0), scene=Scene(65, 66)):
        late_ns = (frame.index % 3) * 4_000_000
        yield Frame(frame.index, frame.t_capture_ns + late_ns, frame.image)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Replay]:
    """A report of a clip with an odd name, odd width, uneven frame times, and an alert."""
    folder = tmp_path_factory.mktemp("report")
    video = write_video(folder / ODD_NAME, uneven())
    text = (
        f'[camera]\nsource = "x"\n[magnification]\ngain = 7\n{region("deck")}{region("pier", 16)}'
    )
    return folder / "out", replay_into(video, parse(text, Path("x.toml")), None, folder / "out")


def test_the_clip_is_what_browsers_play(report: tuple[Path, Replay]) -> None:
    folder, result = report
    with av.open(str(folder / "side-by-side.mp4")) as container:
        [stream] = container.streams
        assert isinstance(stream, av.VideoStream)
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (2 * 65, 66)
        times_s = [float(frame.time or 0) for frame in container.decode(stream)]
    assert len(times_s) == result.frames == 120
    np.testing.assert_allclose(times_s, result.regions[0].t_s, atol=1e-4)
    assert np.ptp(np.diff(times_s)) > 0.01, "the frames come at uneven times"


def test_the_clip_shows_raw_beside_magnified(report: tuple[Path, Replay]) -> None:
    folder, _ = report
    frames = list(moving(burst(4.0, 1.0, 4.0), scene=Scene(65, 66)))
    with av.open(str(folder / "side-by-side.mp4")) as container:
        shown = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    still, moved = 20, 91
    below = slice(56, 64)  # beside outlines and labels
    for number in (still, moved):
        difference = shown[number][below, :65].astype(float) - frames[number].image[below]
        assert np.abs(difference).mean() < 8

    def apart(number: int) -> float:
        left, right = shown[number][below, 2:62].astype(float), shown[number][below, 67:127]
        return float(np.abs(left - right).mean())

    assert apart(moved) > 1.5 * apart(still)


def test_the_page_needs_no_other_file_and_no_network(report: tuple[Path, Replay]) -> None:
    folder, _ = report
    page = Page(folder / "report.html")
    assert len(page.addresses) >= 8
    assert all(one.startswith("data:") for one in page.addresses)
    assert "url(" not in page.content
    assert "<script" not in page.content
    assert "<link" not in page.content
    [film] = page.embedded("video/mp4")
    assert film == (folder / "side-by-side.mp4").read_bytes()


def test_every_plot_shows_something(report: tuple[Path, Replay]) -> None:
    folder, _ = report
    drawings = [
        ElementTree.fromstring(one)
        for one in Page(folder / "report.html").embedded("image/svg+xml")
    ]
    assert len(drawings) == 2 * 2 + 1, "waveform and spectrum of two regions, and the time line"
    words = [" ".join(drawing.itertext()) for drawing in drawings]
    for waveform in words[0:4:2]:
        assert "displacement (px)" in waveform
        assert "alert" in waveform
    for spectrum in words[1:4:2]:
        assert "frequency (Hz)" in spectrum
        assert "noise floor x" in spectrum
    assert "deck" in words[4]
    assert "pier" in words[4]
    for picture in Page(folder / "report.html").embedded("image/jpeg"):
        decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.std() > 5


def test_the_page_names_what_was_found(report: tuple[Path, Replay]) -> None:
    folder, result = report
    page = Page(folder / "report.html")
    assert page.of("h1") == [ODD_NAME]
    assert page.of("title") == [f"{ODD_NAME} - tremorscope"]
    told = page.all()
    assert f"Made by tremorscope {version('tremorscope')} on 20" in told
    assert "2 alerts raised." in told
    assert "120 of 65x66 px" in told
    assert "30.3 Hz" in told or "30 Hz" in told
    assert "ffv1, gray" in told
    cells = page.of("td")
    assert cells.count("new") == 2
    assert {"deck", "pier", "vibration", "none: pixels only", "magnification.gain"} <= set(cells)
    found = [cell for cell in cells if re.fullmatch(r"(4\.9[5-9]|5\.0[0-5])\d* ± 0\.\d+", cell)]
    assert len(found) >= 2
    assert "peak particle velocity" in cells
    assert "7.0" in page.of("b"), "a setting that is not the default stands out"
    assert len(result.alerts) >= 2


def test_the_shape_across_regions_is_told(report: tuple[Path, Replay]) -> None:
    page = Page(report[0] / "report.html")
    told = page.all()
    assert "Against deck x, which moves most" in told or "Against pier x, which moves most" in told
    cells = page.of("td")
    row = cells.index("pier x")
    ratio, phase, coherence = cells[row + 2 : row + 5]
    assert float(ratio.split()[0]) == pytest.approx(1.0, abs=0.05)
    assert float(phase.split()[0]) == pytest.approx(0.0, abs=5)
    assert float(coherence) > 0.95


def test_no_name_becomes_markup(report: tuple[Path, Replay]) -> None:
    folder, _ = report
    content = (folder / "report.html").read_text()
    assert "<b>bridge" not in content
    assert "&lt;b&gt;bridge" in content


def test_without_alerts_motion_and_magnification_the_page_says_so(tmp_path: Path) -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    frames = [Frame(number, number * 33_000_000, flat) for number in range(40)]
    video = write_video(tmp_path / "flat.mkv", frames)
    text = f'[camera]\nsource = "x"\n[magnification]\nenabled = false\n{region()}'
    replay_into(video, parse(text, Path("x.toml")), None, tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    told = page.all()
    assert "girder could not be measured." in told
    assert "No alerts raised." in told
    assert "Magnification is off, so there is no clip." in told
    assert "not measured in 100.0 % of the frames" in told
    assert page.embedded("video/mp4") == []
    assert not (tmp_path / "out" / "side-by-side.mp4").exists()


def test_a_damaged_file_is_told_on_the_page(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", moving(np.zeros(60)))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    text = f'[camera]\nsource = "x"\n[magnification]\nenabled = false\n{region()}'
    replay_into(cut, parse(text, Path("x.toml")), None, tmp_path / "out")
    told = Page(tmp_path / "out" / "report.html").all()
    assert "The file is damaged: the last " in told


def test_outlines_are_red_where_an_alert_is_open() -> None:
    blank = np.zeros((60, 80, 3), np.uint8)
    regions = (
        Region(name="a", x=10, y=35, width=20, height=20),
        Region(name="b", x=50, y=35, width=20, height=20),
    )
    picture = side_by_side(blank, blank, regions, "magnified x9", {"b"})
    assert picture.shape == (60, 160, 3)
    for shift in (0, 80):
        green, red = picture[54, 20 + shift].astype(int), picture[54, 60 + shift].astype(int)
        assert green[1] > 2 * green[2]
        assert red[2] > 2 * red[1]
    assert not blank.any(), "the pictures themselves stay as they are"


def test_a_clip_that_fails_in_the_middle_does_not_appear(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"

    def half() -> None:
        with clip_writer(path, 30.0) as write:
            write(np.zeros((32, 32, 3), np.uint8), 0.0)
            raise Failure("something else")

    with pytest.raises(Failure, match="something else"):
        half()
    assert list(tmp_path.iterdir()) == []


def test_a_clip_may_lie_in_a_folder_named_like_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with clip_writer(Path("12:30", "clip.mp4"), 30.0) as write:
        write(np.zeros((32, 32, 3), np.uint8), 0.0)
    with av.open(str(tmp_path / "12:30" / "clip.mp4")) as container:
        assert len(list(container.decode(video=0))) == 1
