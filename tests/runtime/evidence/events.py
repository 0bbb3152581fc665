"""What the tests of evidence share: a film that a keeper sees without threads, so that all is decided."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from videos import RATE_HZ, moving

from benchmarks.clips import Scene
from runtime.config import Alert, Camera, Config, Evidence, Region, Storage, Vibration
from runtime.evidence.inbox import Sampled
from runtime.evidence.keeper import EventKeeper
from runtime.evidence.ring import PictureRing
from runtime.frame import Frame
from runtime.measurement import Measurement
from runtime.messages import AlertMessage

GIRDER = Region(name="girder", x=12, y=12, width=40, height=40)
SWAY = Alert(
    name="sway",
    quantity="displacement_rms_px",
    raise_above=0.1,
    raise_after_s=0.3,
    clear_after_s=0.5,
)
SOON = Evidence(before_s=1.0, after_s=0.5, longest_s=20.0, clip_rate_hz=60.0)


def config(folder: Path, source: str = "gst: film", **others: Any) -> Config:
    given: dict[str, Any] = {"regions": (GIRDER,), "alerts": (SWAY,), "evidence": SOON}
    return Config(
        name="bridge",
        camera=Camera(source=source),
        vibration=Vibration(level_s=0.6),
        storage=Storage(directory=folder),
        **(given | others),
    )


class Film:
    """Frames that a measurement and a keeper see one after the other."""

    def __init__(self, settings: Config, *, engine: str | None = None, memory: float = 8e6) -> None:
        self.settings = settings
        self.ring = PictureRing(round(memory))
        self.keeper = EventKeeper(settings, self.ring, engine=engine)
        self.measurement = Measurement(settings)
        self.messages: list[AlertMessage] = []

    def play(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.ring.add("raw", frame.t_capture_ns, frame.image)
            measured = self.measurement.process(frame)
            unix_s = 1_750_000_000 + frame.t_capture_ns / 1e9
            self.keeper.take_samples(Sampled(frame.t_capture_ns, unix_s, measured.displacements))
            for message in measured.alerts:
                self.messages.append(message)
                self.keeper.take_message(message)
            while self.keeper.work():
                pass


def film(
    moved_px: NDArray[np.float64], begins_s: float = 0.0, scene: Scene | None = None
) -> Iterator[Frame]:
    """The pictures of a motion sideways, from a time on the camera's clock."""
    for frame in moving(moved_px, scene=scene):
        t_ns = frame.t_capture_ns + round(begins_s * 1e9)
        yield Frame(frame.index, t_ns, frame.image)


def pictures_in(clip: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(clip)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].pix_fmt == "yuv420p"
        return [
            frame.to_ndarray(format="bgr24").astype(np.uint8) for frame in container.decode(video=0)
        ]


def frames_in(seconds: float) -> int:
    return round(seconds * RATE_HZ)
