"""From a motion's first frame to its MQTT message: a real daemon, GStreamer, Mosquitto and a subscriber.

The picture jumps by MOVED_PX for a tenth of a second at times drawn by chance, and one rule is on the distance
from zero, without hold time, so that the motion's first frame decides. The film says which frame that is, and
its rate when that was captured. The clock stops when a subscriber in another process has the message. All that
the daemon does for an alert lies between: frame out of GStreamer, 16 regions measured, rules, the alert
remembered and put into the outbox (each synced to disk), MQTT. The network magnifies meanwhile.
"""

import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks.daemon_process import Reading, running
from benchmarks.film import Size, camera, pictures, regions
from benchmarks.mosquitto import mosquitto
from failure import Failure
from runtime.config import Alert, Camera, Config, Evidence, Magnification, Mqtt, Rectangle, Storage
from runtime.snapshot import Snapshot

SIZE_PX: Size = (1920, 1080)
AREA = Rectangle(x=768, y=348, width=384, height=384)
RATES_HZ = (30, 60)
REGIONS, SIDE_PX = 16, 64
MOVED_PX, THRESHOLD_PX = 2.0, 1.0
MOVED_S = 0.1
STILL_S = (0.5, 0.9)
LEARNING_S = 12.0
"""The window of the spectrum is full then, and zero is learned."""
NOISES = 6


@dataclass(frozen=True, slots=True)
class Delays:
    """At one frame rate."""

    rate_hz: int
    motions: int
    from_motion_ms: tuple[float, ...]
    """From the capture of a motion's first frame to the receipt; of the motions that were told."""
    from_deciding_ms: tuple[float, ...]
    """From the capture of the frame on which the alert was raised."""
    snapshot: Snapshot
    """The daemon's own account at the end."""

    @property
    def missed(self) -> int:
        return self.motions - len(self.from_motion_ms)

    @property
    def two_frames_ms(self) -> float:
        return 2e3 / self.rate_hz

    @property
    def soon(self) -> float:
        """The share of all motions whose message came within two frame times."""
        return sum(took_ms < self.two_frames_ms for took_ms in self.from_motion_ms) / self.motions

    @property
    def missed_frames(self) -> int:
        """That the daemon never saw, by the gaps in their times, or did not measure."""
        return self.snapshot.camera.lost + self.snapshot.frames.not_measured


def percentile(values: Sequence[float], percent: float) -> float:
    """One of the values: the smallest that so many percent do not exceed. NaN of none."""
    ordered = sorted(values)
    return ordered[math.ceil(percent / 100 * len(ordered)) - 1] if ordered else math.nan


def measure(rate_hz: int, *, seconds: float = 80.0, size_px: Size = SIZE_PX) -> Delays:
    """Motions for so many seconds. Raises Failure where no Mosquitto is installed."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        files = pictures(folder / "pictures", size_px, (0.0, MOVED_PX, -MOVED_PX), noises=NOISES)
        shown, begins = schedule(rate_hz, seconds)
        frames = [files[3 * (number % NOISES) + which] for number, which in enumerate(shown)]
        with mosquitto(folder) as port:
            if port is None:
                raise Failure("the latency needs a broker: install Debian's mosquitto")
            config = _config(
                folder, port, camera(folder / "film", frames, size_px, rate_hz), size_px
            )
            with _subscribed(port) as received, running(config) as daemon:
                ends_ns = daemon.reading().began_ns + round(1e9 * len(shown) / rate_hz)
                time.sleep(max(0.0, (ends_ns - time.monotonic_ns()) / 1e9 - 0.5))
                reading = daemon.reading()
        return _delays(begins, received, reading, rate_hz)


def schedule(rate_hz: int, seconds: float) -> tuple[list[int], list[int]]:
    """For every frame 0 (still), 1 or 2 (moved either way, by turns), and the frames at which motions begin.

    The last two seconds are still.
    """
    random = np.random.default_rng(7)
    shown = [0] * round(LEARNING_S * rate_hz)
    begins: list[int] = []
    for turn in count():
        begins.append(len(shown))
        shown += [1 + turn % 2] * round(MOVED_S * rate_hz)
        shown += [0] * round(random.uniform(*STILL_S) * rate_hz)
        if len(shown) >= (LEARNING_S + seconds) * rate_hz:
            break
    return shown + [0] * (2 * rate_hz), begins


def _config(folder: Path, port: int, source: str, size_px: Size) -> Config:
    whole = size_px[0] < AREA.x + AREA.width or size_px[1] < AREA.y + AREA.height
    return Config(
        camera=Camera(source=source),
        regions=regions(REGIONS, SIDE_PX, size_px),
        alerts=(
            Alert(
                name="jump",
                regions=("r0",),
                quantity="displacement_px",
                raise_above=THRESHOLD_PX,
                raise_after_s=0.0,
                clear_after_s=0.0,
            ),
        ),
        magnification=Magnification(area=None if whole else AREA),
        # A clip is done before the next motion: where alerts are rare, no clip is in the making either.
        evidence=Evidence(before_s=0.2, after_s=0.2),
        storage=Storage(directory=folder),
        mqtt=Mqtt(host="127.0.0.1", port=port),
    )


@dataclass(slots=True)
class Received:
    """What the subscriber got: when, on CLOCK_MONOTONIC, and what."""

    messages: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


@contextmanager
def _subscribed(port: int) -> Iterator[Received]:
    received, ready = Received(), threading.Event()

    def note(_client: Client, _data: object, message: MQTTMessage) -> None:
        now_ns = time.monotonic_ns()
        received.messages.append((now_ns, json.loads(message.payload)))

    client = Client(
        CallbackAPIVersion.VERSION2, client_id="latency", protocol=MQTTProtocolVersion.MQTTv5
    )

    def connected(*_: Any) -> None:
        client.subscribe("tremorscope/+/alerts", qos=1)

    client.on_message = note
    client.on_connect = connected
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        if not ready.wait(10):
            raise Failure(f"127.0.0.1:{port}: the subscriber could not subscribe within 10 s")
        yield received
    finally:
        client.disconnect()
        client.loop_stop()


def _delays(begins: Sequence[int], received: Received, reading: Reading, rate_hz: int) -> Delays:
    if reading.snapshot.camera.reopened:
        raise Failure(
            "the camera was opened again meanwhile, so its film's times are not known; run again"
        )
    told = [
        (at_ns, round(1e9 * message["t_s"]))
        for at_ns, message in received.messages
        if (message["rule"], message["kind"], message["type"]) == ("jump", "vibration", "new")
    ]
    from_motion_ms, from_deciding_ms = [], []
    for number in begins:
        begun_ns = reading.began_ns + round(1e9 * number / rate_hz)
        # Frame times are rounded: a motion's first frame may seem to lie a little before it.
        mine = [one for one in told if -1e6 < one[1] - begun_ns < 1e9 * MOVED_S]
        for at_ns, t_ns in mine[:1]:
            from_motion_ms.append((at_ns - begun_ns) / 1e6)
            from_deciding_ms.append((at_ns - t_ns) / 1e6)
    return Delays(
        rate_hz, len(begins), tuple(from_motion_ms), tuple(from_deciding_ms), reading.snapshot
    )
