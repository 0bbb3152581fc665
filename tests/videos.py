"""Video files and configurations for tests; their pictures come from ``benchmarks.clips``."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.clips import Floats, Scene, render
from runtime.demo.demo import SAMPLE
from runtime.frame import Frame

TICKS_A_SECOND = 90_000
RATE_HZ = 30.0
BURST_PX, BURST_HZ = 0.3, 5.0
_PLAYS, _PLAY_S = 12, 16


def write_video(
    path: Path,
    frames: Iterable[Frame],
    *,
    codec: str = "ffv1",
    pixels: str = "gray",
    options: dict[str, str] | None = None,
) -> Path:
    """A file with these frames at their own times; as it stands without any loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=round(RATE_HZ), options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, TICKS_A_SECOND)
        for frame in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = frame.image.shape[:2]
            if pixels == "gray":
                grey = np.ascontiguousarray(frame.image[:, :, 0])
                picture = av.VideoFrame.from_ndarray(grey, format="gray")
            else:
                picture = av.VideoFrame.from_ndarray(frame.image, format="bgr24")
            picture.pts = round(frame.t_capture_ns * TICKS_A_SECOND / 1e9)
            picture.time_base = Fraction(1, TICKS_A_SECOND)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def burst(seconds: float, from_s: float, to_s: float, amplitude_px: float = BURST_PX) -> Floats:
    """Stillness but for a sine of BURST_HZ between two times, one value a frame."""
    t_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    moves = (t_s >= from_s) & (t_s < to_s)
    moved: Floats = amplitude_px * np.sin(2 * np.pi * BURST_HZ * t_s) * moves
    return moved


def moving(x_px: Floats, *, scene: Scene | None = None, seed: int = 4) -> Iterator[Frame]:
    """A noisy scene that moves sideways."""
    return render(scene or Scene(64, 64), x_px, np.zeros_like(x_px), rate_hz=RATE_HZ, seed=seed)


def region(name: str = "girder", corner: int = 12, side: int = 40) -> str:
    """A region of a configuration file; as given here, it suits a picture of 64x64 px."""
    return (
        f'[[regions]]\nname = "{name}"\nx = {corner}\ny = {corner}\n'
        f"width = {side}\nheight = {side}\n"
    )


def played_again_and_again(path: Path) -> None:
    """The sample clip _PLAYS times, without encoding it again."""
    with av.open(str(path), "w") as out:
        stream = None
        for play in range(_PLAYS):
            with av.open(str(SAMPLE)) as clip:
                video = clip.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(video)
                assert video.time_base is not None
                begins = int(play * _PLAY_S / video.time_base)
                for packet in clip.demux(video):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts, packet.dts = packet.pts + begins, packet.dts + begins
                        packet.stream = stream
                        out.mux(packet)
