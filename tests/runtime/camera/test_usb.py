"""What a USB camera is asked to send, by the caps that ``v4l2src`` gives for a usual webcam."""

import os
from typing import Any

import pytest

from failure import Failure
from runtime.camera.gstreamer import import_gstreamer
from runtime.camera.pipelines import SINK, pipeline_text
from runtime.camera.usb import takes_mjpeg
from runtime.config import Camera

needs_gstreamer = pytest.mark.skipif(
    os.environ.get("TREMORSCOPE_WITHOUT_GSTREAMER") == "1",
    reason="TREMORSCOPE_WITHOUT_GSTREAMER=1",
)
BGR = f"videoconvert ! video/x-raw,format=BGR ! {SINK}"
USB = "/dev/v4l/by-id/usb-Maker_Camera-video-index0"
START = f'v4l2src name=camera device="{USB}" do-timestamp=true ! '
UVC_CAPS = (
    "video/x-raw,format=YUY2,width=640,height=480,framerate={30/1,15/1}; "
    "video/x-raw,format=YUY2,width=1920,height=1080,framerate=5/1; "
    "image/jpeg,width=640,height=480,framerate={60/1,30/1}; "
    "image/jpeg,width=1920,height=1080,framerate=30/1"
)
"""What v4l2src says of a usual webcam."""


def test_a_usb_pipeline_reads_raw_pictures_or_decodes_where_it_can() -> None:
    camera = Camera(source=USB, width=640, height=480, rate_hz=30)
    size = "width=640,height=480,framerate=30/1 ! "
    nvidia = "nvvidconv ! video/x-raw,format=BGRx ! "
    for jetson, mjpeg, middle in [
        (False, False, f"video/x-raw,{size}"),
        (True, False, f"video/x-raw,{size}{nvidia}"),
        (False, True, f"image/jpeg,{size}jpegdec ! "),
        (True, True, f"image/jpeg,{size}nvv4l2decoder mjpeg=1 ! {nvidia}"),
    ]:
        assert pipeline_text(camera, jetson=jetson, mjpeg=mjpeg) == START + middle + BGR
    software = camera.model_copy(update={"format": "mjpeg-software"})
    assert "jpegdec" in pipeline_text(software, jetson=True, mjpeg=True)


@needs_gstreamer
@pytest.mark.parametrize(
    ("wanted", "mjpeg"),
    [
        ({"width": 640, "height": 480, "rate_hz": 30}, False),
        ({"width": 640, "height": 480, "rate_hz": 60}, True),
        ({"width": 1920, "height": 1080, "rate_hz": 30}, True),
        ({"width": 1920, "height": 1080, "rate_hz": 5}, False),
        ({}, True),  # raw pictures of full size would come at 5 Hz
        ({"width": 640, "height": 480, "rate_hz": 30, "format": "mjpeg"}, True),
        ({"format": "raw"}, False),
    ],
)
def test_a_usb_camera_sends_raw_pictures_where_it_can_at_the_wanted_rate(
    wanted: dict[str, Any], mjpeg: bool
) -> None:
    gst = import_gstreamer().gst
    offered = gst.Caps.from_string(UVC_CAPS)
    assert takes_mjpeg(Camera(source=USB, **wanted), offered, gst) is mjpeg


@needs_gstreamer
def test_a_size_or_rate_that_a_usb_camera_does_not_have_is_told() -> None:
    gst = import_gstreamer().gst
    offered = gst.Caps.from_string(UVC_CAPS)
    with pytest.raises(Failure, match=r"offers no image/jpeg,width=800; choose others"):
        takes_mjpeg(Camera(source=USB, width=800), offered, gst)
    raw = Camera(source=USB, width=640, height=480, rate_hz=60, format="raw")
    with pytest.raises(Failure, match=r"it has that in image/jpeg: set camera\.format"):
        takes_mjpeg(raw, offered, gst)
