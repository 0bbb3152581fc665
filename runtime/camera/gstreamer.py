"""Live cameras through GStreamer: CSI, USB, RTSP, and any pipeline a user writes.

PyGObject is imported when a source is opened, so that files work without it, and USB cameras through
OpenCV.
"""

import importlib
import re
import threading
from collections.abc import Iterator
from time import monotonic, monotonic_ns
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failure import Failure
from runtime.camera.gst_buffer import Memory, bytes_of
from runtime.camera.gst_coding import Coding
from runtime.camera.locks import NETWORK_CAMERA, Locks, hold_argus
from runtime.camera.pipelines import CAMERA, MOST_WAITING, how_to_get, pipeline_text, shown
from runtime.camera.problem import CannotWork
from runtime.camera.source import BaseSource
from runtime.camera.usb import sends_mjpeg
from runtime.camera.v4l2_device import hold
from runtime.config import Camera
from runtime.frame import Frame

_SLICE_S = 0.1
"""How often a wait for a frame looks for errors and for ``close``."""


class Libraries(NamedTuple):
    """GStreamer's modules. Any, because PyGObject makes them at run time and has no types for them."""

    gst: Any
    video: Any


class GStreamerSource(BaseSource):
    """A GStreamer pipeline that ends in an appsink with BGR pictures.

    A live pipeline (one with a camera or network source) drops its oldest frame when the reader is
    late, and ``t_capture_ns`` is the buffer's time on CLOCK_MONOTONIC. One that reads a file or
    draws pictures waits for the reader instead; it plays at its own rate when
    ``camera.real_time``, with the CLOCK_MONOTONIC time at which each frame is due, and else as fast
    as it can, with the time since the first frame.
    """

    def __init__(
        self, camera: Camera, *, timeout_s: float = 5.0, first_timeout_s: float | None = None
    ) -> None:
        """Build the pipeline and start it.

        Raises:
            CannotWork: GStreamer or one of its elements is not installed, or the pipeline is not
                valid.
            Failure: its source cannot be opened, or it got nowhere within ``first_timeout_s``.
        """
        super().__init__(shown(camera.source), mask=camera.mask)
        self._camera = camera
        self._timeout_s = timeout_s
        self._first_timeout_s = timeout_s if first_timeout_s is None else first_timeout_s
        self._closed = threading.Event()
        self._using = threading.Lock()  # the pipeline must not be taken down inside a call
        self._gst, self._video = import_gstreamer()
        self._pipeline = self._parse(pipeline_for(camera, self._gst))
        self._sink = self._find_sink()
        self._coding = Coding(self._gst, self._pipeline)
        self._first_ns: int | None = None
        self._memory = Memory()
        if camera.source.startswith("/dev/"):
            hold(camera.source, camera, settled=False)
        try:
            self._start(camera.real_time)
        except Failure:
            self.close()
            raise

    def frames(self) -> Iterator[Frame]:
        """The frames; ends with the stream, for a pipeline that has an end, and with ``close``.

        Raises:
            Failure: an element reports an error, a camera's stream ends, no frame came within the
                timeout, or the pictures are not BGR.
        """
        limit_s = self._first_timeout_s
        deadline = monotonic() + limit_s
        while (sample := self._pull(deadline, limit_s)) is not None:
            t_capture_ns, image, predicted = sample
            if self._advances(t_capture_ns):
                limit_s = self._timeout_s
                yield self._frame(t_capture_ns, image, predicted=predicted)
                deadline = monotonic() + limit_s
            elif monotonic() > deadline:
                raise self._silence(limit_s)

    def lock(self) -> Locks:
        camera = self._camera
        if camera.source.startswith("/dev/"):
            return hold(camera.source, camera, settled=True)
        if camera.source.startswith("csi:") and not camera.automatic:
            return hold_argus(self._pipeline.get_by_name(CAMERA), camera)
        if camera.source.startswith("rtsp") and camera.exposure_s is None:
            return Locks(unlocked=(NETWORK_CAMERA,))
        return Locks()

    def close(self) -> None:
        self._closed.set()
        with self._using:
            self._pipeline.set_state(self._gst.State.NULL)

    def _parse(self, text: str) -> Any:
        error_type = importlib.import_module("gi.repository.GLib").Error
        try:
            pipeline = self._gst.parse_launch(text)
        except error_type as error:
            missing = re.search(r'no element "(.+?)"', error.message)
            if missing is not None:
                raise CannotWork(
                    f"{self.description}: GStreamer has no element {missing.group(1)}; "
                    f"{how_to_get(missing.group(1))}"
                ) from None
            raise CannotWork(
                f"{self.description}: not a valid GStreamer pipeline: {error.message}; try it with "
                f"`gst-launch-1.0 {shown(text)}`"
            ) from None
        # A lone element is not a pipeline; it has no bus and no clock of its own.
        if not isinstance(pipeline, self._gst.Pipeline):
            raise CannotWork(
                f"{self.description}: is a single element, not a pipeline; connect a source to "
                'its sink with " ! "'
            )
        return pipeline

    def _find_sink(self) -> Any:
        sinks = [
            element
            for element in _iterate(self._gst, self._pipeline.iterate_sinks())
            if element.get_factory().get_name() == "appsink"
        ]
        if len(sinks) != 1:
            raise CannotWork(
                f"{self.description}: has {len(sinks)} appsinks at its end; leave the appsink out, "
                "and one is added"
            )
        if sinks[0].get_property("max-buffers") == 0:  # no bound
            sinks[0].set_property("max-buffers", MOST_WAITING)
        return sinks[0]

    def _start(self, real_time: bool) -> None:
        gst = self._gst
        clock = gst.SystemClock.obtain()
        clock.set_property("clock-type", gst.ClockType.MONOTONIC)
        self._pipeline.use_clock(clock)
        self._pipeline.set_state(gst.State.PAUSED)
        reached, _, _ = self._pipeline.get_state(round(self._first_timeout_s * gst.SECOND))
        if reached == gst.StateChangeReturn.FAILURE:
            raise self._failure() or Failure(
                f"{self.description}: cannot be started; try it with gst-launch-1.0"
            )
        if reached == gst.StateChangeReturn.ASYNC:
            raise self._failure() or self._silence(self._first_timeout_s)
        self.live = reached == gst.StateChangeReturn.NO_PREROLL
        self._on_clock = self.live or real_time
        self._sink.set_property("drop", self.live)
        self._sink.set_property("sync", real_time and not self.live)
        self._pipeline.set_state(gst.State.PLAYING)

    def _pull(self, deadline: float, limit_s: float) -> tuple[int, NDArray[np.uint8], bool] | None:
        """Wait for the next frame's time, pixels, and whether a codec made it from others.

        None at the end of the stream and after ``close``.
        """
        while True:
            with self._using:
                if self._closed.is_set():
                    return None
                sample = self._sink.try_pull_sample(round(_SLICE_S * self._gst.SECOND))
                if sample is not None:
                    predicted = self._coding.is_predicted(sample.get_buffer().pts)
                    return self._time_ns(sample), self._image(sample), predicted
                failure = self._failure()
                ended = self._sink.is_eos()
            if failure is not None:
                raise failure
            if ended and self.live:
                raise Failure(
                    f"{self.description}: the stream has ended after {self._index} frames; check "
                    "that the camera is still on"
                )
            if ended:
                return None
            if monotonic() > deadline:
                raise self._silence(limit_s)

    def _time_ns(self, sample: Any) -> int:
        buffer, none = sample.get_buffer(), self._gst.CLOCK_TIME_NONE
        running = none
        if buffer.pts != none:
            running = sample.get_segment().to_running_time(self._gst.Format.TIME, buffer.pts)
        if running == none:
            return monotonic_ns()
        time_ns = int(running + self._pipeline.get_base_time())
        if self._on_clock:
            return time_ns
        if self._first_ns is None:
            self._first_ns = time_ns
        return time_ns - self._first_ns

    def _image(self, sample: Any) -> NDArray[np.uint8]:
        """The pixels of a sample as (height, width, 3); rows may be padded, and the end not."""
        try:
            info = self._video.VideoInfo.new_from_caps(sample.get_caps())
        except TypeError:  # PyGObject's way to say that the caps are of something else
            info = None
        if info is None or info.finfo.format != self._video.VideoFormat.BGR:
            kind = "no raw video" if info is None else f"pictures in {info.finfo.name}"
            raise CannotWork(
                f"{self.description}: its appsink gets {kind}; put "
                "`videoconvert ! video/x-raw,format=BGR` before the appsink, or leave it out"
            )
        if self.nominal_rate_hz is None and info.fps_n > 0:
            self.nominal_rate_hz = info.fps_n / info.fps_d
        buffer = sample.get_buffer()
        meta = self._video.buffer_get_video_meta(buffer)
        stride, offset = info.stride[0], info.offset[0]
        if meta is not None:  # the buffer's own layout, where it differs from the caps' default
            stride, offset = meta.stride[0], meta.offset[0]
        pixels = bytes_of(buffer, self._memory)
        end = offset + stride * (info.height - 1) + 3 * info.width
        if len(pixels) < end:  # what lies behind it is not this picture's
            raise Failure(
                f"{self.description}: a picture of {info.width}x{info.height} px came with {len(pixels)} "
                f"bytes instead of {end}; check the caps before the appsink"
            )
        return np.lib.stride_tricks.as_strided(
            pixels[offset:end],
            (info.height, info.width, 3),
            (stride, 3, 1),
        )

    def _failure(self) -> Failure | None:
        """The first error on the bus as a Failure; None when there is none."""
        bus, kinds = self._pipeline.get_bus(), self._gst.MessageType
        message = bus.pop_filtered(kinds.ERROR)
        if message is None:
            return None
        error, debug = message.parse_error()
        detail = f" ({debug.splitlines()[-1].strip()})" if debug else ""
        mend = "check the camera, its cable and its address"
        decoders = re.findall(r"Missing decoder: ([^(\n]+?) ?\(", debug or "")
        if decoders:
            detail = f" (no decoder for {', '.join(decoders)})"
            mend = "install the decoder: `apt install gstreamer1.0-libav gstreamer1.0-plugins-bad`"
        return Failure(
            f"{self.description}: {message.src.get_name()}: "
            f"{shown(error.message.rstrip('.') + detail[:200])}; {mend}"
        )

    def _silence(self, limit_s: float) -> Failure:
        stuck = ""
        if self.dropped:
            stuck = f" ({self.dropped} came whose time was not later than the one before)"
        return Failure(
            f"{self.description}: no frame for {limit_s:g} s after {self._index} frames{stuck}; "
            "check that the camera is on and that nothing else uses it"
        )


def pipeline_for(camera: Camera, gst: Any) -> str:
    """The pipeline for a camera on this machine; a USB camera is asked what it can send.

    Raises:
        Failure: the device is not there or in use, or has no pictures of the wanted size and rate.
    """
    jetson = gst.ElementFactory.find("nvvidconv") is not None
    if not camera.source.startswith("/dev/"):
        return pipeline_text(camera, jetson=jetson)
    return pipeline_text(camera, jetson=jetson, mjpeg=sends_mjpeg(camera, gst))


def import_gstreamer() -> Libraries:
    """GStreamer, ready to use. Raises CannotWork, with the packages, where it is not installed."""
    try:
        gi = importlib.import_module("gi")
    except ImportError:
        raise CannotWork(
            "GStreamer sources need PyGObject, which is not installed: `apt install python3-gi "
            "gir1.2-gst-plugins-base-1.0` where Python is the system's, or `pip install "
            "'PyGObject<3.52'` after `apt install libgirepository1.0-dev libcairo2-dev`"
        ) from None
    try:
        for name in ("Gst", "GstApp", "GstVideo"):
            gi.require_version(name, "1.0")
        gst = importlib.import_module("gi.repository.Gst")
        video = importlib.import_module("gi.repository.GstVideo")
        importlib.import_module("gi.repository.GstApp")  # gives the appsink its methods
    except (ImportError, ValueError):
        raise CannotWork(
            "GStreamer's descriptions for Python are not installed: `apt install "
            "gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good`"
        ) from None
    if not gst.is_initialized():
        gst.init(None)
    return Libraries(gst, video)


def _iterate(gst: Any, iterator: Any) -> Iterator[Any]:
    while True:
        result, element = iterator.next()
        if result == gst.IteratorResult.RESYNC:
            iterator.resync()
        elif result != gst.IteratorResult.OK:
            return
        else:
            yield element
