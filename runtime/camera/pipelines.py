"""The GStreamer pipelines behind ``csi:N``, ``/dev/...``, ``rtsp://...`` and ``gst: ...``, as text."""

import re
from fractions import Fraction

from runtime.camera.problem import CannotWork
from runtime.config import Camera

CAMERA = "camera"
"""Name of the element that stands for the camera, where a pipeline is built here."""
MOST_WAITING = 16
"""Frames that may wait for the reader: a quarter of a second at 60 Hz, in which a busy machine may not run
it; at full HD 100 MB, and only then. An unbounded queue would hide that it is too slow."""
SINK = f"appsink name=frames max-buffers={MOST_WAITING}"

RAW, MJPEG = "video/x-raw", "image/jpeg"

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


def pipeline_text(camera: Camera, *, jetson: bool, mjpeg: bool = False) -> str:
    """The pipeline for ``camera.source``, ending in an appsink with BGR pictures.

    Args:
        camera: what is wanted. Width, height and rate are asked of CSI and USB cameras; a network
            camera sends what it is set to, and ``gst:`` says everything itself.
        jetson: whether NVIDIA's elements are there, whose decoders hand over pictures in device
            memory that only ``nvvidconv`` can fetch.
        mjpeg: whether a USB camera is to send MJPEG and not raw pictures.

    Raises:
        CannotWork: ``csi:`` without a number, or an empty ``gst:``.
    """
    source = camera.source
    if source.startswith("gst:"):
        return _user_pipeline(source.removeprefix("gst:").strip())
    if source.startswith("csi:"):
        return _csi_pipeline(camera)
    if source.startswith("/dev/"):
        return _usb_pipeline(camera, jetson, mjpeg)
    # TCP, since a lost UDP packet smears the picture, which looks like motion.
    return (
        f'rtspsrc location="{_quoted(source)}" protocols=tcp latency=200 ! application/x-rtp,media=video '
        f"! decodebin ! {_NV_TO_BGR if jetson else _TO_BGR}"
    )


def _user_pipeline(text: str) -> str:
    if not text:
        raise CannotWork(
            'camera.source: "gst:" has no pipeline after it; write one such as '
            '"gst: videotestsrc" or "gst: v4l2src device=/dev/video0 ! jpegdec"'
        )
    return text if re.search(r"\bappsink\b", text) else f"{text} ! {_TO_BGR}"


def _csi_pipeline(camera: Camera) -> str:
    number = camera.source.removeprefix("csi:")
    if not re.fullmatch(r"\d{1,2}", number):
        raise CannotWork(
            f'camera.source: "{camera.source}" has no sensor number; write "csi:0" for the first '
            "CSI camera"
        )
    caps = wanted_caps("video/x-raw(memory:NVMM),format=NV12", camera)
    # Argus would smooth noise over time, which blends pictures, and sharpen edges.
    source = f"nvarguscamerasrc name={CAMERA} sensor-id={number} tnr-mode=0 ee-mode=0"
    if camera.exposure_s is not None:
        exposure_ns = round(camera.exposure_s * 1e9)
        source += f' exposuretimerange="{exposure_ns} {exposure_ns}"'
    if camera.gain is not None:
        source += f' gainrange="{camera.gain:g} {camera.gain:g}" ispdigitalgainrange="1 1"'
    return f"{source} ! {caps} ! {_NV_TO_BGR}"


def _usb_pipeline(camera: Camera, jetson: bool, mjpeg: bool) -> str:
    source = f'v4l2src name={CAMERA} device="{_quoted(camera.source)}" do-timestamp=true'
    caps = wanted_caps(MJPEG if mjpeg else RAW, camera)
    if not mjpeg:
        return f"{source} ! {caps} ! {_NV_TO_BGR if jetson else _TO_BGR}"
    if jetson and camera.format != "mjpeg-software":
        return f"{source} ! {caps} ! nvv4l2decoder mjpeg=1 ! {_NV_TO_BGR}"
    return f"{source} ! {caps} ! jpegdec ! {_TO_BGR}"


def wanted_caps(kind: str, camera: Camera) -> str:
    """Caps of pictures of this ``kind`` in the size and rate that are wanted of a camera."""
    caps = kind
    if camera.width is not None:
        caps += f",width={camera.width}"
    if camera.height is not None:
        caps += f",height={camera.height}"
    if camera.rate_hz is not None:
        rate = Fraction(camera.rate_hz).limit_denominator(1001)  # 30000/1001 and the like
        caps += f",framerate={rate.numerator}/{rate.denominator}"
    return caps


def elements_of(text: str) -> tuple[str, ...]:
    """The names of the elements in a pipeline's text, each once, in order."""
    words = re.sub(r'"(\\.|[^"\\])*"', "", text).replace("!", " ").split()
    # Properties and caps have = or / in them, and references to another element end with a dot.
    return tuple(dict.fromkeys(word for word in words if re.fullmatch(r"[A-Za-z][\w-]*", word)))


def _quoted(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)


def shown(source: str) -> str:
    """``source`` for messages and logs: a password, in a URL or a property, becomes ``***``."""
    source = re.sub(r"(://[^/\s:@\"]*:)[^/\s\"]*@", r"\1***@", source)
    return re.sub(
        r"(?i)\b((?:user-)?(?:password|passwd|pwd|pass|pw)=)(\"[^\"]*\"|[^\s&\"]+)",
        r"\1***",
        source,
    )


def package_of(element: str) -> str | None:
    """The Debian or JetPack package that has a GStreamer ``element``; None when not known here."""
    for package, elements in _DEBIAN_PACKAGES.items():
        if element in elements.split():
            return package
    return None


def how_to_get(element: str) -> str:
    """How to install a GStreamer element; ends a sentence."""
    package = package_of(element)
    if package is None:
        return f"`gst-inspect-1.0 {element}` tells whether it is there, once it is installed"
    if package.startswith("nvidia"):
        return f"it comes with JetPack on a Jetson: `apt install {package}`"
    return f"`apt install {package}`"
