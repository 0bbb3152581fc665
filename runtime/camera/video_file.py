"""Video files through PyAV, with exact times from the container."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import monotonic_ns

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from failure import Failure
from runtime.camera.source import BaseSource
from runtime.config import Rectangle
from runtime.frame import Frame

_log = logging.getLogger(__name__)

BETWEEN_FRAMES = {
    "h264": "H.264",
    "hevc": "H.265",
    "mpeg4": "MPEG-4",
    "vp8": "VP8",
    "vp9": "VP9",
    "libvpx": "VP8",
    "libvpx-vp9": "VP9",
    "av1": "AV1",
    "libdav1d": "AV1",
    "mpeg2video": "MPEG-2",
    "mpeg1video": "MPEG-1",
    "wmv2": "WMV",
    "theora": "Theora",
}
"""Decoders of codecs that predict pictures from others, and so take small motion away."""


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a file says of itself, and what was left out of it."""

    container: str
    codec: str
    pixel_format: str
    bits_a_second: int | None
    bytes: int
    nominal_rate_hz: float | None
    dropped: int


class VideoFile(BaseSource):
    """A video file, played at its own rate or as fast as it is asked for.

    In real time, ``t_capture_ns`` is the CLOCK_MONOTONIC time at which the frame is due: the start
    of playing plus its presentation time. No frame is skipped when the reader is slow; it then
    comes later than its time. Otherwise ``t_capture_ns`` is the time since the first frame.

    A frame without a time of its own counts one average frame time on from the one before. Frames
    that go back in time or that the decoder marks as corrupt are left out, and counted in
    ``dropped``. ``damage`` says what was wrong with the file and what was left out of it, once its
    end has been reached.
    """

    live = False

    def __init__(self, path: Path, *, real_time: bool, mask: tuple[Rectangle, ...] = ()) -> None:
        """Open the file and decode its first frame.

        Raises:
            Failure: there is no such file, it is not a video, or no frame of it can be decoded.
        """
        super().__init__(str(path), mask=mask)
        self.damage: str | None = None
        self._real_time = real_time
        self._closed = threading.Event()
        self._decoding = threading.Lock()  # FFmpeg must not be closed in the middle of a call
        self._clock = _Clock()
        self._end_ticks = 0
        self._errors = 0
        self._corrupt = 0
        self._newest_s: Fraction | None = None
        self._container, self._stream = _open(path)
        self._predicts = self._stream.codec_context.name in BETWEEN_FRAMES
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._rate = Fraction(rate) if rate else None
        self.nominal_rate_hz = float(self._rate) if self._rate else None
        length = self._container.duration
        self.announced_s = length / av.time_base if length else None
        self._decoded = self._decode()
        try:
            self._first = self._next()
        except Failure:
            self._container.close()
            raise
        if self._first is None:
            self._container.close()
            raise Failure(
                f"{path}: not a single frame can be decoded; the file is damaged or incomplete, "
                "so copy or record it again"
            )
        height, width = self._first[1].shape[:2]
        self.size = (width, height)

    def frames(self) -> Iterator[Frame]:
        """The frames in order of presentation.

        Raises:
            Failure: the picture size changes within the file.
        """
        start_ns = monotonic_ns()
        item, self._first = self._first, None
        first_s = item[0] if item is not None else Fraction(0)
        while item is not None:
            time_s, image, predicted = item
            t_ns = round((time_s - first_s) * 1_000_000_000)
            if self._real_time:
                t_ns += start_ns
                self._closed.wait(max(0, t_ns - monotonic_ns()) / 1e9)
            if self._closed.is_set():
                return
            if self._advances(t_ns):
                yield self._frame(t_ns, image, predicted=predicted)
            item = self._next()
        if not self._closed.is_set():
            self._report_damage()

    def facts(self) -> VideoFacts:
        """What can be told of the file; ``dropped`` up to now. Not after ``close``."""
        context = self._stream.codec_context
        return VideoFacts(
            container=self._container.format.long_name,
            codec=context.name,
            pixel_format=context.pix_fmt or "unknown",
            bits_a_second=self._container.bit_rate or None,
            bytes=self._container.size,
            nominal_rate_hz=self.nominal_rate_hz,
            dropped=self.dropped,
        )

    def close(self) -> None:
        self._closed.set()
        with self._decoding:
            self._container.close()

    def _next(self) -> tuple[Fraction, NDArray[np.uint8], bool] | None:
        """Time (s) and pixels of the next good frame, and whether others are in it; None at the end."""
        with self._decoding:
            if self._closed.is_set():
                return None
            for frame in self._decoded:
                time_s = self._time_s(frame)
                if frame.is_corrupt:
                    self._corrupt += 1
                    self.dropped += 1
                    continue
                image = frame.to_ndarray(format="bgr24")
                # PyAV types every format alike.
                return (
                    time_s,
                    image.astype(np.uint8, copy=False),
                    self._predicts and not frame.key_frame,
                )
        return None

    def _decode(self) -> Iterator[VideoFrame]:
        """Decode as much as there is, across damaged stretches."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, EOFError):
                self._errors += 1
                return
            if packet is None:
                return
            if packet.pts is not None:
                self._end_ticks = max(self._end_ticks, packet.pts + (packet.duration or 0))
            try:
                yield from packet.decode()
            except (av.FFmpegError, EOFError):
                self._errors += 1

    def _time_s(self, frame: VideoFrame) -> Fraction:
        ticks = self._clock.time(frame.pts, frame.dts)
        if ticks is not None and frame.time_base is not None:
            self._newest_s = ticks * Fraction(frame.time_base)
            return self._newest_s
        if self._rate is None:
            raise Failure(
                f"{self.description}: frames have no times, and the file tells no frame rate; "
                "write it into a container that has them, such as MP4 or Matroska"
            )
        if self._newest_s is None:
            _log.warning(
                "%s: frames without times; they are taken to be %.6g Hz, the file's average rate",
                self.description,
                float(self._rate),
            )
        step = 1 / self._rate
        self._newest_s = Fraction(0) if self._newest_s is None else self._newest_s + step
        return self._newest_s

    def _report_damage(self) -> None:
        missing = self._missing_s()
        problems = []
        if missing > 0:
            problems.append(f"the last {missing:.2f} s that it announces are missing")
        if self.dropped > self._corrupt:
            problems.append(
                f"{self.dropped - self._corrupt} frames are not later than the one before and were "
                "left out"
            )
        if self._corrupt:
            problems.append(f"{self._corrupt} frames are corrupt and were left out")
        if self._errors:
            problems.append(f"{self._errors} parts cannot be decoded")
        if problems:
            self.damage = f"{', '.join(problems)}; {self._index} frames were read"
            _log.warning("%s: the file is damaged: %s", self.description, self.damage)

    def _missing_s(self) -> float:
        """How much sooner the frames end than the file announces; 0 for less than three frames.

        By time and not by number of frames read, since an AVI counts the repeated ones, too. An
        AVI's header keeps the number of frames even where FFmpeg shortens the duration of a file
        that was cut off; Matroska tells only the duration of the whole.
        """
        stream, container = self._stream, self._container
        if stream.time_base is None or self._rate is None:
            return 0.0
        announced_s = stream.frames / self._rate
        begin_ticks = stream.start_time or 0
        if stream.duration is not None:
            announced_s = max(announced_s, stream.duration * stream.time_base)
        elif container.duration is not None and len(container.streams) == 1:
            announced_s = max(announced_s, Fraction(container.duration, av.time_base))
            begin_ticks = 0  # Matroska counts its duration from 0, whenever the first frame is
        missing_s = announced_s - (self._end_ticks - begin_ticks) * stream.time_base
        return float(missing_s) if missing_s > 3 / self._rate else 0.0


class _Clock:
    """Chooses between the presentation and the decoding time of frames in order of presentation.

    XviD in AVI packs two frames into one packet, which leaves presentation times out of order
    while decoding times advance. The rule is FFmpeg's own (``guess_correct_pts`` in libavcodec):
    whichever of the two has failed to advance less often.
    """

    def __init__(self) -> None:
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._faulty_pts = 0
        self._faulty_dts = 0

    def time(self, pts: int | None, dts: int | None) -> int | None:
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        if pts is not None and (dts is None or self._faulty_pts <= self._faulty_dts):
            return pts
        return dts


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    if path.is_dir():
        raise Failure(f"{path}: is a folder; give the path of a video file in it")
    if not path.exists():
        raise Failure(f"{path}: there is no such file; check camera.source")
    try:
        # A relative name with a colon in it would be taken for a protocol.
        container = av.open(str(path.absolute()), mode="r")
    except PermissionError:
        raise Failure(f"{path}: may not be read; check its owner and permissions") from None
    except (av.FFmpegError, EOFError, OSError):
        raise Failure(
            f"{path}: is not a video that FFmpeg can read; give another file, or copy it again if "
            "it should be one"
        ) from None
    if not container.streams.video:
        container.close()
        raise Failure(f"{path}: has no video in it, only other streams; give another file")
    return container, container.streams.video[0]
