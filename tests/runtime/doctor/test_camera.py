"""What ``tremorscope doctor`` says of a camera: pipeline, missing parts, real rate, what is held."""

import os

import pytest

import runtime.camera.gstreamer
from runtime.camera.locks import Locks
from runtime.config import Config
from runtime.doctor.camera import CameraFindings, examine_camera

needs_gstreamer = pytest.mark.skipif(
    os.environ.get("TREMORSCOPE_WITHOUT_GSTREAMER") == "1",
    reason="TREMORSCOPE_WITHOUT_GSTREAMER=1",
)
LIVE = "gst: videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=50/1"


def examined(source: str, seconds: float = 1.0, **camera: object) -> CameraFindings:
    settings = Config.model_validate(
        {
            "camera": {"source": source} | camera,
            "regions": [{"name": "girder", "x": 8, "y": 8, "width": 32, "height": 32}],
            "recovery": {"first_frame_s": 1.0},
        }
    )
    return examine_camera(settings, seconds=seconds)


@needs_gstreamer
def test_a_camera_that_works_is_told_with_its_real_rate() -> None:
    found = examined(LIVE, rate_hz=50)
    assert found.problems == ()
    assert (found.width_px, found.height_px) == (64, 48)
    assert found.rate_hz == pytest.approx(50.0, rel=0.01)
    assert found.jitter_ms == pytest.approx(0.0, abs=0.1)
    assert found.frames >= 50 * (1 - 0.5)
    assert found.pipeline is not None
    assert found.pipeline.startswith("videotestsrc is-live=true")


@needs_gstreamer
def test_less_than_the_wanted_rate_and_a_frozen_picture_are_problems() -> None:
    found = examined(f"{LIVE} ! videorate ! video/x-raw,framerate=200/1", rate_hz=400)
    slow, frozen = found.problems
    assert "camera.rate_hz = 400 are wanted" in slow
    assert "most frames show the picture before once more" in frozen


@needs_gstreamer
def test_every_missing_element_is_told_with_its_package() -> None:
    found = examined("csi:0")
    assert set(found.missing) == {"nvarguscamerasrc", "nvvidconv"}
    assert all("nvidia-l4t-gstreamer" in mend for mend in found.missing.values())
    assert found.problems == ("csi:0: without these elements it cannot be opened",)


@needs_gstreamer
def test_a_password_is_not_shown() -> None:
    found = examined("rtsp://me:s3cret@127.0.0.1:9/a")
    assert found.problems
    assert "s3cret" not in str(found)


@needs_gstreamer
def test_what_is_held_and_what_is_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    locks = Locks(("exposure 0.002 s",), ("gain: the camera refused to be set",))
    monkeypatch.setattr(runtime.camera.gstreamer.GStreamerSource, "lock", lambda _: locks)
    found = examined(LIVE)
    assert (found.held, found.unlocked) == tuple(locks)


def test_a_device_that_is_not_there_is_a_problem() -> None:
    [problem] = examined("/dev/no-video").problems
    assert problem.startswith("/dev/no-video: there is no such device")
