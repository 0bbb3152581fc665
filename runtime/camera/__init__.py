"""Where frames come from: video files, V4L2 devices and GStreamer pipelines behind one protocol."""

import logging
from pathlib import Path

from runtime.camera.problem import CannotWork
from runtime.camera.source import Source
from runtime.config import Camera

__all__ = ["Source", "is_file", "open_source"]

_log = logging.getLogger(__name__)

_PIPELINES = ("csi:", "rtsp://", "rtsps://", "gst:")


def is_file(source: str) -> bool:
    """Whether ``camera.source`` names a file, and not a device or a pipeline."""
    return not source.startswith((*_PIPELINES, "/dev/"))


def open_source(
    camera: Camera, *, timeout_s: float = 5.0, first_timeout_s: float | None = None
) -> Source:
    """Open what ``camera.source`` names. Each kind's library is imported only when it is used.

    Args:
        camera: the source and what is wanted of it.
        timeout_s: how long a GStreamer source may stay without a frame that is later than the one
            before; OpenCV's V4L2 reader has its own limit of 10 s, and files need none.
        first_timeout_s: the same for its first frame; as ``timeout_s`` when None.

    Raises:
        Failure: it is not there, not a camera or video, in use, or a part is not installed.
    """
    if not is_file(camera.source):
        from runtime.camera.gstreamer import GStreamerSource, import_gstreamer

        if camera.source.startswith("/dev/"):
            try:
                import_gstreamer()
            except CannotWork as missing:
                from runtime.camera.v4l2 import V4l2Source

                _log.info("%s: read through OpenCV; %s", camera.source, missing)
                return V4l2Source(camera)
        return GStreamerSource(camera, timeout_s=timeout_s, first_timeout_s=first_timeout_s)
    from runtime.camera.video_file import VideoFile

    return VideoFile(Path(camera.source), real_time=camera.real_time, mask=camera.mask)
