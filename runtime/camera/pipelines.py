"""The GStreamer pipelines behind ``csi:N``, ``rtsp://...`` and ``gst: ...``, as text."""

import re
from fractions import Fraction

from failure import Failure
from runtime.config import Camera

SINK = "appsink name=frames max-buffers=4"
"""At most four frames wait for the reader: an unbounded queue hides that it is too slow."""

_TO_BGR = f"videoconvert ! video/x-raw,format=BGR ! {SINK}"
_NV_TO_BGR = f"nvvidconv ! video/x-raw,format=BGRx ! {_TO_BGR}"

_DEBIAN_PACKAGES = {
    "gstreamer1.0-plugins-base": (
        "appsink appsrc videoconvert videoscale videorate videotestsrc decodebin uridecodebin "
        "playbin oggdemux theoradec overlaycomposition"
    ),
    "gstreamer1.0-plugins-good": (
        "v4l2src rtspsrc rtph264depay rtph265depay rtpjpegdepay rtpbin udpsrc jpegdec jpegenc "
        "avidemux qtdemux matroskademux multifilesrc imagefreeze videocrop videoflip videobalance "
        "vp8dec vp9dec souphttpsrc"
    ),
    "gstreamer1.0-plugins-bad": (
        "h264parse h265parse mpegtsdemux tsdemux mpeg4videoparse videoparsers srtsrc webrtcbin"
    ),
    "gstreamer1.0-libav": "avdec_h264 avdec_h265 avdec_mjpeg avdec_mpeg4",
    "gstreamer1.0-libcamera": "libcamerasrc",
    "nvidia-l4t-gstreamer": (
        "nvarguscamerasrc nvvidconv nvv4l2decoder nvv4l2camerasrc nvjpegdec nvcompositor"
    ),
}


def pipeline_text(camera: Camera, *, jetson: bool) -> str:
    """The pipeline for ``camera.source``, ending in an appsink with BGR pictures.

    Args:
        camera: what is wanted. Width, height and rate are asked of a CSI camera only; a network
            camera sends what it is set to, and ``gst:`` says everything itself.
        jetson: whether NVIDIA's elements are there, whose decoders hand over pictures in device
            memory that only ``nvvidconv`` can fetch.

    Raises:
        Failure: ``csi:`` without a number, or an empty ``gst:``.
    """
    source = camera.source
    if source.startswith("gst:"):
        return _user_pipeline(source.removeprefix("gst:").strip())
    if source.startswith("csi:"):
        return _csi_pipeline(camera)
    location = re.sub(r'(["\\])', r"\\\1", source)
    # TCP, since a lost UDP packet smears the picture, which looks like motion.
    return (
        f'rtspsrc location="{location}" protocols=tcp latency=200 ! application/x-rtp,media=video '
        f"! decodebin ! {_NV_TO_BGR if jetson else _TO_BGR}"
    )


def _user_pipeline(text: str) -> str:
    if not text:
        raise Failure(
            'camera.source: "gst:" has no pipeline after it; write one such as '
            '"gst: videotestsrc" or "gst: v4l2src device=/dev/video0 ! jpegdec"'
        )
    return text if re.search(r"\bappsink\b", text) else f"{text} ! {_TO_BGR}"


def _csi_pipeline(camera: Camera) -> str:
    number = camera.source.removeprefix("csi:")
    if not re.fullmatch(r"\d{1,2}", number):
        raise Failure(
            f'camera.source: "{camera.source}" has no sensor number; write "csi:0" for the first '
            "CSI camera"
        )
    caps = "video/x-raw(memory:NVMM),format=NV12"
    if camera.width is not None:
        caps += f",width={camera.width}"
    if camera.height is not None:
        caps += f",height={camera.height}"
    if camera.rate_hz is not None:
        rate = Fraction(camera.rate_hz).limit_denominator(1001)  # 30000/1001 and the like
        caps += f",framerate={rate.numerator}/{rate.denominator}"
    return f"nvarguscamerasrc sensor-id={number} ! {caps} ! {_NV_TO_BGR}"


def shown(source: str) -> str:
    """``source`` for messages and logs: a password in a URL becomes ``***``."""
    return re.sub(r"(://[^/\s:@\"]*:)[^/\s\"]*@", r"\1***@", source)


def package_of(element: str) -> str | None:
    """The Debian or JetPack package that has a GStreamer ``element``; None when not known here."""
    for package, elements in _DEBIAN_PACKAGES.items():
        if element in elements.split():
            return package
    return None
