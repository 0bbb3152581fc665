"""A network camera of the test's own: motion JPEG over HTTP, which fails when it is told to."""

import threading
import time
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

from benchmarks.clips import Scene, render

RATE_HZ = 25.0
MOVES_HZ, MOVES_PX = 2.5, 0.4
PHASES_HZ = 250.0
"""There is a picture for every 4 ms, so that one which a busy machine sends late shows what it should."""
LOOP = 100
"""Pictures after which the film begins again: one period of the motion."""

_BOUNDARY = "tremor"


@lru_cache
def film(width: int = 64, height: int = 64, *, moves_px: float = MOVES_PX) -> list[bytes]:
    """JPEGs of a noisy scene that moves sideways at MOVES_HZ, PHASES_HZ of them a second."""
    x_px = moves_px * np.sin(2 * np.pi * MOVES_HZ * np.arange(LOOP) / PHASES_HZ)
    scene = Scene(width, height)
    frames = render(scene, x_px, np.zeros(LOOP), rate_hz=PHASES_HZ, seed=4)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 98]
    return [cv2.imencode(".jpg", frame.image, quality)[1].tobytes() for frame in frames]


class HttpCamera:
    """Sends what ``pictures`` hold; attributes may be changed while it runs, by any thread."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.pictures = film()
        self.every = 1
        """Only every so many pictures are sent: the rate is divided by it."""
        self.held = False
        """The same picture is sent again and again."""
        self.silent = False
        """Nothing is sent, and the connection stays."""
        self.broken = False
        """What is sent is no picture."""
        self.connections = 0
        self._cut = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._host, self._port = host, 0

    @property
    def source(self) -> str:
        """The camera as ``camera.source`` has it."""
        return (
            f"gst: souphttpsrc location=http://{self._host}:{self._port}/ is-live=true "
            "do-timestamp=true retries=0 keep-alive=false ! multipartdemux ! jpegdec"
        )

    def start(self) -> None:
        """Listen; at the same port as before, if there was one."""
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                kind = f"multipart/x-mixed-replace;boundary={_BOUNDARY}"
                self.send_header("Content-Type", kind)
                self.end_headers()
                camera._send(self.wfile)

            def log_message(self, *_: Any) -> None:
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer((self._host, self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        self._cut.clear()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def unplug(self) -> None:
        """End every connection and answer no more."""
        self._cut.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _send(self, out: Any) -> None:
        self.connections += 1
        number = 0
        while not self._cut.is_set():
            step_s = self.every / RATE_HZ
            if self._cut.wait(step_s - time.monotonic() % step_s):
                return
            if self.silent:
                continue
            number = number if self.held else round(time.monotonic() * PHASES_HZ)
            picture = self.pictures[number % LOOP]
            if self.broken:
                picture = b"\xff\xd8no picture" + picture[len(picture) // 2 :]
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}"
            try:
                out.write(f"{head}\r\n\r\n".encode() + picture + b"\r\n")
            except OSError:
                return
