"""What is masked is black in every picture that anybody gets to see, and nothing else is."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from daemons import needs_gstreamer
from numpy.typing import NDArray
from videos import burst, moving, region, write_video

import tremorscope
from calibration.frames import read
from failure import Failure
from runtime.assembly import assembled
from runtime.camera import open_source
from runtime.camera.source import BaseSource
from runtime.config import Camera, Rectangle
from runtime.config.file import parse
from runtime.frame import Frame

CORNER = Rectangle(x=0, y=54, width=30, height=10)
MASK = "[[camera.mask]]\nx = 0\ny = 54\nwidth = 30\nheight = 10\n"


def bright_moving(seconds: float) -> Iterator[Frame]:
    """A scene without black, so that black is the mask's."""
    for frame in moving(burst(seconds, 0.5, seconds)):
        yield replace(frame, image=np.maximum(frame.image, 60))


@pytest.mark.parametrize(
    "source",
    [
        "file",
        # Rows of 3 x 65 bytes are padded to 196: not one piece of memory.
        pytest.param("gst: videotestsrc pattern=white num-buffers=3 ! {}", marks=needs_gstreamer),
    ],
)
def test_every_source_hides_it_and_seals_the_picture(source: str, tmp_path: Path) -> None:
    if source == "file":
        source = str(write_video(tmp_path / "clip.mkv", bright_moving(0.2)))
    caps = "video/x-raw,format=BGR,width=65,height=64"
    camera = Camera(source=source.format(caps), real_time=False, mask=(CORNER,))
    with open_source(camera) as opened:
        for frame in islice(opened.frames(), 3):
            assert not frame.image[54:64, :30].any()
            assert frame.image[:54].min() > 50
            assert frame.image[54:, 30:].min() > 50
            assert not frame.image.flags.writeable


def test_a_mask_that_is_not_in_the_picture_hides_nothing_and_is_refused(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mkv", bright_moving(0.2))
    mask = Rectangle(x=40, y=0, width=30, height=10)
    with (
        open_source(Camera(source=str(video), mask=(CORNER, mask))) as opened,
        pytest.raises(
            Failure, match=r"camera\.mask\[1\] \(30x10 px at 40,0\) does not lie in .* 64x64 px"
        ),
    ):
        next(iter(opened.frames()))


class Bare(BaseSource):
    """A source that knows nothing of masks."""

    def close(self) -> None:
        pass


def test_it_is_written_into_the_picture_itself_without_a_copy() -> None:
    image = np.full((64, 64, 3), 9, np.uint8)
    frame = Bare("bare", mask=(CORNER,))._frame(0, image)
    assert frame.image is image
    assert image.sum() == 9 * 3 * (64 * 64 - 30 * 10)


def settings(folder: Path) -> str:
    write_video(folder / "clip.mkv", bright_moving(2.0))
    return (
        f'[camera]\nsource = "clip.mkv"\n{MASK}{region()}[mqtt]\nenabled = false\n'
        '[[alerts]]\nname = "sway"\nquantity = "displacement_rms_px"\nraise_above = 0.05\n'
        'raise_after_s = 0.1\n[vibration]\nlevel_s = 0.6\n[storage]\ndirectory = "state"\n'
        "[magnification]\nthreads = 1\n"
    )


def test_what_is_shown_and_what_is_kept_of_an_alert_is_masked(tmp_path: Path) -> None:
    config = parse(settings(tmp_path), tmp_path / "bridge.toml")
    shown: list[NDArray[np.uint8]] = []
    with assembled(config) as daemon:
        daemon._shown = lambda one: shown.append(one.picture)
        daemon.run()
    assert shown
    for picture in shown:
        assert picture[58:, :26].max() < 16, "the network may smear the edge, of what it has seen"
        assert picture[:50].mean() > 50
    [event] = (tmp_path / "state" / "camera" / "events").iterdir()
    pictures = [cv2.imread(str(event / "snapshot.jpg"))]
    with av.open(str(event / "clip.mp4")) as clip:
        pictures += [one.to_ndarray(format="bgr24") for one in clip.decode(video=0)]
    for kept in pictures:
        assert kept is not None
        for left in (0, 64):
            part = kept[57:62, left + 3 : left + 27]
            assert part.mean() < 25, "compressed, between rows that are not black"
            assert kept[20:50, left : left + 60].mean() > 50


def test_calibration_frames_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bridge.toml").write_text(settings(tmp_path))
    words = ["capture", "--config", str(tmp_path / "bridge.toml"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["tremorscope", *words, "--runs", "4"])
    with pytest.raises(SystemExit) as left:
        tremorscope.main()
    assert left.value.code == 0
    stored = read(tmp_path / "out")
    pictures = [cv2.imread(str(path)) for path in sorted((tmp_path / "out").rglob("*.png"))]
    assert len(pictures) == sum(len(run.frames) for run in stored.table.runs)
    for picture in pictures:
        assert picture is not None
        assert not picture[54:64, :30].any()
        assert picture[:50].mean() > 50


@pytest.mark.parametrize("words", [[], ["clip.mkv", "--config", "bridge.toml"]])
def test_capture_takes_one_source(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ["--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["tremorscope", "capture", *words, *out])
    with pytest.raises(SystemExit, match="give one of the two"):
        tremorscope.main()


def test_a_region_under_a_mask_is_refused_and_one_beside_it_is_not(tmp_path: Path) -> None:
    camera = '[camera]\nsource = "gst: videotestsrc"\n' + MASK
    parse(camera + region(corner=14, side=40), tmp_path / "bridge.toml")
    with pytest.raises(Failure, match=r'region "girder" lies partly under camera\.mask\[0\]'):
        parse(camera + region(corner=15, side=40), tmp_path / "bridge.toml")
