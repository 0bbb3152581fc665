"""A live camera in a process of its own: pictures through shared memory, at an even rate, cheap for who reads.

``python -m benchmarks.shared_camera SOCKET WIDTH HEIGHT RATE`` sends for ever, and tells after every
picture, as a line on standard output, how many it has sent, and how many of them late. A texture is still for
40 s and moves for 20 s, again and again. GStreamer's ``shmsrc`` reads them without a copy; ``description`` is
its pipeline.
"""

import sys
import time
from itertools import count
from typing import Any

import numpy as np

from benchmarks.clips import Scene, render, sine

PHASES = 12
STILLS = 6
MOVES_PX = 0.3
MOVES_S, EVERY_S = 20.0, 60.0
LATE_S = 0.010
ROOM = 24
"""Pictures that the shared memory holds: what the reader has not given back yet."""


def description(socket: str, width: int, height: int, rate: int) -> str:
    """A ``gst:`` source that reads this camera."""
    return (
        f"gst: shmsrc socket-path={socket} is-live=true do-timestamp=true ! "
        f"video/x-raw,format=BGR,width={width},height={height},framerate={rate}/1"
    )


def main() -> None:
    socket, *numbers = sys.argv[1:]
    width, height, rate = (int(number) for number in numbers)
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst

    Gst.init(None)
    pictures = [Gst.Buffer.new_wrapped(one) for one in _pictures(width, height, rate)]
    size = width * height * 3
    caps = f"video/x-raw,format=BGR,width={width},height={height},framerate={rate}/1"
    pipeline = Gst.parse_launch(
        # What the sink cannot take is lost, as a camera's frames are: the newest stay.
        f"appsrc name=camera format=time max-buffers=4 leaky-type=downstream caps={caps} ! shmsink "
        f"socket-path={socket} shm-size={ROOM * size} sync=false wait-for-connection=true"
    )
    camera = pipeline.get_by_name("camera")
    pipeline.set_state(Gst.State.PLAYING)
    _send(pictures, camera, rate)


def _send(pictures: list[Any], camera: Any, rate: int) -> None:
    rng = np.random.default_rng(7)
    late, begun_s = 0, time.monotonic()
    last = -1
    for number in count():
        due_s = begun_s + number / rate
        wait_s = due_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        late += wait_s < -LATE_S
        moves = (number / rate) % EVERY_S >= EVERY_S - MOVES_S
        if moves:
            chosen = number % PHASES
        else:  # never the same twice: that would be a frozen camera
            chosen = PHASES + int(rng.integers(STILLS - 1))
            chosen += chosen >= last >= PHASES
        last = chosen
        # A buffer that has been sent may still be on its way: each goes as a view of its own.
        camera.emit("push-buffer", pictures[chosen].copy())
        print(f"{number + 1} {late}", flush=True)


def _pictures(width: int, height: int, rate: int) -> list[bytes]:
    x_px = np.append(sine(PHASES, rate, rate / PHASES, MOVES_PX), np.zeros(STILLS))
    scene = Scene(width, height, finest_px=10.0)
    return [one.image.tobytes() for one in render(scene, x_px, 0.5 * x_px, rate_hz=rate)]


if __name__ == "__main__":
    main()
