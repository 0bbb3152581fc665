"""A daemon on a camera that moves at first and is then still, and a SIGKILL at a chosen point.

    python dying_daemon.py FOLDER POINT NUMBER FRAMES

All processes on one FOLDER share the camera's clock and film, as one camera would go on: each begins
where the film was when the one before ended. The motion lasts for MOVES_S of the film.
"""

import os
import queue
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from videos import RATE_HZ, moving

from atomic_file import replaced
from runtime.alerts.memory import AlertMemory
from runtime.camera.source import BaseSource
from runtime.config import Alert, Camera, Config, Region, Vibration
from runtime.daemon import Daemon
from runtime.delivery.outbox import Outbox
from runtime.frame import Frame
from runtime.messages import AlertMessage
from runtime.service.rounds import Rounds

MOVES_S = 12.0
STEP_HZ, AMPLITUDE_PX = 5.0, 0.3
SOON, LATE = 60, 200  # frames

folder, point, number, frames = (
    Path(sys.argv[1]),
    sys.argv[2],
    int(sys.argv[3]),
    int(sys.argv[4]),
)
passages = 0


def passes(name: str) -> None:
    """Die here if this is the place."""
    global passages
    passages += name == point
    if passages == number:
        os.kill(os.getpid(), signal.SIGKILL)


class Film(BaseSource):
    """The film, from where the process before left it."""

    def __init__(self) -> None:
        super().__init__("film")
        self._reached = folder / "film"

    def frames(self) -> Iterator[Frame]:
        start = int(self._reached.read_text()) if self._reached.exists() else 0
        index = np.arange(start, start + frames)
        moved = AMPLITUDE_PX * np.sin(2 * np.pi * STEP_HZ * index / RATE_HZ)
        moved *= index / RATE_HZ < MOVES_S
        for frame in moving(moved):
            now = start + frame.index
            with replaced(self._reached) as scratch:
                scratch.write_text(str(now))
            yield Frame(frame.index, round(now / RATE_HZ * 1e9), frame.image)
            if frame.index in (SOON, LATE):
                passes("soon" if frame.index == SOON else "late")

    def close(self) -> None:
        pass


class Publisher:
    """Puts alerts into the outbox and sends nothing."""

    def __init__(self) -> None:
        self._outbox = Outbox(folder / "outbox.sqlite")
        self.outbox_problem = None
        self.rounds = Rounds()

    def publish_alert(self, alert: AlertMessage) -> None:
        self._outbox.put("alerts", alert.model_dump_json().encode())
        passes("in the outbox")

    def publish_telemetry(self, _: object) -> None:
        pass

    def announce(self, **_: object) -> None:
        pass

    def serve(self, _: object) -> None:
        pass

    def tell_controls(self, _: object) -> None:
        pass


class Memory(AlertMemory):
    def keep(
        self,
        t_s: float,
        kept: Any,
        untold: Any = (),
        *,
        baselines: Any = None,
        at_once: bool = False,
    ) -> None:
        if untold:
            passes("before keeping")
        before = self._written
        super().keep(t_s, kept, untold, baselines=baselines, at_once=at_once)
        if untold:
            passes("kept")
        elif before is not None and before[1]:
            passes("kept again")


def patiently(self: Daemon, frame: Frame | None) -> None:
    """No frame is dropped, so that every run sees the same."""
    while not self._stopping.is_set():
        try:
            self._to_measure.put(frame, timeout=0.2)
        except queue.Full:
            continue
        return


mock.patch("runtime.camera.recovery.open_source", side_effect=lambda _, **__: Film()).start()
mock.patch.object(Daemon, "_put_for_measuring", patiently).start()
rule = Alert(
    name="sway",
    quantity="displacement_rms_px",
    raise_above=0.1,
    raise_after_s=0.3,
    clear_after_s=0.5,
)
config = Config(
    name="bridge",
    camera=Camera(source="gst: film"),
    regions=(Region(name="girder", x=12, y=12, width=40, height=40),),
    vibration=Vibration(level_s=0.6),
    alerts=(rule,),
)
Daemon(
    config,
    magnifier=None,
    publisher=Publisher(),  # type: ignore[arg-type]
    memory=Memory(folder / "alerts.json", "bridge"),
).run()
