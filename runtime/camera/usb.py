"""What a USB camera is asked to send: raw pictures or MJPEG."""

from pathlib import Path
from typing import Any

from failure import Failure
from runtime.camera.pipelines import MJPEG, RAW, how_to_get, wanted_caps
from runtime.camera.problem import CannotWork
from runtime.camera.v4l2_device import check_device
from runtime.config import Camera


def sends_mjpeg(camera: Camera, gst: Any) -> bool:
    """Whether the camera at this machine is to send MJPEG, by what it says that it can send.

    Raises:
        Failure: it is not there or in use, or has no pictures of the wanted kind, size and rate.
    """
    check_device(Path(camera.source))
    return takes_mjpeg(camera, _offered(camera.source, gst), gst)


def takes_mjpeg(camera: Camera, offered: Any, gst: Any) -> bool:
    """Whether a USB camera that offers these caps is to send MJPEG; see ``camera.format``.

    Raises:
        Failure: it offers nothing of the wanted kind, size and rate.
    """
    has = {
        kind: offered.can_intersect(gst.Caps.from_string(wanted_caps(kind, camera)))
        for kind in (RAW, MJPEG)
    }
    # Without a wanted rate, raw pictures would be few: USB carries full HD at 5 frames a second.
    raw = has[RAW] and (camera.rate_hz is not None or not has[MJPEG])
    if camera.format != "auto":
        raw = camera.format == "raw"
    kind = RAW if raw else MJPEG
    if not has[kind]:
        other = MJPEG if raw else RAW
        mend = f"it has that in {other}: set camera.format" if has[other] else "choose others"
        raise Failure(
            f"{camera.source}: offers no {wanted_caps(kind, camera)}; {mend} "
            f"(`v4l2-ctl --list-formats-ext -d {camera.source}` lists all)"
        )
    return not raw


def _offered(device: str, gst: Any) -> Any:
    """The caps of what a device can send."""
    element = gst.ElementFactory.make("v4l2src")
    if element is None:
        raise CannotWork(f"{device}: GStreamer has no element v4l2src; {how_to_get('v4l2src')}")
    element.set_property("device", device)
    try:
        if element.set_state(gst.State.READY) == gst.StateChangeReturn.FAILURE:
            raise Failure(
                f"{device}: cannot be opened as a camera; another program may hold it "
                f"(`fuser {device}` tells), or it is the metadata twin of a camera, whose number is "
                "one lower"
            )
        return element.get_static_pad("src").query_caps(None)
    finally:
        element.set_state(gst.State.NULL)
