"""The station that keeps a live camera going: it opens the camera, watches it, and opens it again.

A camera is opened again when it says that it failed, when no usable frame has come for a while, and
when its picture is frozen. Opening always builds everything anew: nothing of what has failed is kept.

A driver may hang while a camera is opened or closed. Both are done in threads of their own, so that whoever
waits can climb on: the next attempt waits for the call that hangs, and begins no other beside it, which would
hang as well. A call that hangs for longer than HUNG_S ends the daemon, because only a new process is rid of it.
"""

import logging
import os
import threading
import time
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError
from concurrent.futures import wait as wait_for
from contextlib import suppress
from pathlib import Path
from typing import Any

from failure import Failure
from runtime.camera import is_file, open_source
from runtime.camera.driver_call import driver_call
from runtime.camera.ladder import Ladder
from runtime.camera.pipelines import shown
from runtime.camera.problem import CannotWork, Hangs, Resized
from runtime.camera.source import Source
from runtime.camera.watch import CameraCounters, FrameWatch
from runtime.config import Camera
from runtime.config.recovery import Recovery
from runtime.frame import Frame

log = logging.getLogger(__name__)

ARGUS_REQUEST = "restart-argus"
"""File in the service's runtime folder whose change asks for a restart of nvargus-daemon."""
LOCK_AFTER_NS = 2_000_000_000
"""What the camera sets by itself (exposure, gain, ...) has settled then, and is locked."""
HUNG_S = 600.0
"""A driver that has not come back from one call for so long does not come back any more."""

NEVER_NS = 2**63 - 1


class Clock:
    """Steady time, and waiting in it; a test brings its own."""

    def now_s(self) -> float:
        return time.monotonic()

    def wait(self, ended: threading.Event, seconds: float) -> None:
        ended.wait(seconds)


class RecoveringCamera:
    """One camera, opened as often as it takes.

    One thread iterates over ``frames()``; ``stop`` may be called from any. ``problem`` and ``unlocked``
    are replaced as a whole, and may be read from any thread.
    """

    def __init__(self, camera: Camera, recovery: Recovery, *, clock: Clock | None = None) -> None:
        self.counters = CameraCounters()
        self.problem: Failure | None = None
        """Why no usable frame comes; None while the camera delivers, and before it has failed."""
        self.unlocked: tuple[str, ...] = ()
        """What the camera still changes by itself against the configuration's wish; sentences."""
        self._camera = camera
        self._recovery = recovery
        self._clock = clock or Clock()
        self._ladder = Ladder(recovery, csi=camera.source.startswith("csi:"))
        self._watch = FrameWatch(
            shown(camera.source),
            self.counters,
            frozen_s=recovery.frozen_s,
            size=camera.size,
        )
        self._stopping = threading.Event()
        self._stopped: Future[None] = Future()  # wakes whoever waits for a driver
        self._opening: Future[Source] | None = None
        self._closing: Future[None] | None = None
        self._called_s = 0.0
        self._source: Source | None = None
        self._good_s = 0.0
        self._lock_at_ns: int | None = None
        self._failed_s: float | None = None

    def frames(self) -> Generator[Frame, None, None]:
        """Its frames, across all that can be mended; ends with a file's end and with ``stop``.

        Raises:
            Failure: a file cannot be read, trying again does not help, or it is time to give up.
        """
        while not self._stopping.is_set():
            try:
                yield from self._opened()
                return
            except CannotWork:
                raise
            except Failure as failure:
                if is_file(self._camera.source):
                    raise
                self._climb(failure)

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()
        with suppress(InvalidStateError):  # it was stopped before
            self._stopped.set_result(None)
        source = self._source
        if source is not None:
            source.close()

    def _opened(self) -> Generator[Frame, None, None]:
        """The frames of one opening of the camera."""
        counters = self.counters
        left_out = counters.not_advancing
        source = self._open()
        if source is None:
            return
        self._source = source
        try:
            if self._stopping.is_set():  # while it was opened
                return
            log.info("%s: opened", source.description)
            self._watch.opened()
            self._good_s, self._lock_at_ns = self._clock.now_s(), None
            for frame in source.frames():
                if self._stopping.is_set():
                    return
                counters.not_advancing = left_out + source.dropped
                if not source.live:
                    yield frame
                elif (seen := self._seen(frame)) is not None:
                    self._lock_once_settled(source, frame.t_capture_ns)
                    yield seen
        finally:
            counters.not_advancing = left_out + source.dropped
            self._source = None
            self._close(source)

    def _open(self) -> Source | None:
        """The opened camera; None when it was stopped meanwhile. Raises Failure, and Hangs when it is time."""
        if self._closing is not None:
            if not self._has_come_back(self._closing, "closing"):
                return None
            self._closing.result()
            self._closing = None
        if self._opening is None:
            self._called_s = self._clock.now_s()
            self._opening = driver_call(self._call_open)
        try:
            if self._has_come_back(self._opening, "opening"):
                return self._opening.result()
        except Hangs:
            raise
        except BaseException:
            self._opening = None
            raise
        log.error("%s: its driver still opens the camera; ending without it", self._watch.name)
        self._opening.add_done_callback(_closed)  # whenever that will be
        return None

    def _call_open(self) -> Source:
        limits = self._recovery
        return open_source(
            self._camera, timeout_s=limits.silent_s, first_timeout_s=limits.first_frame_s
        )

    def _close(self, source: Source) -> None:
        """Close the camera; a driver that hangs in that is waited for before it is opened again."""
        self._opening, self._called_s = None, self._clock.now_s()
        self._closing = driver_call(source.close)
        wait_for([self._closing], self._recovery.silent_s)
        if self._closing.done():
            self._closing.result()

    def _has_come_back(self, call: "Future[Any]", doing: str) -> bool:
        """Wait for a call; False when the camera was stopped. Raises Hangs when it takes too long."""
        limits = self._recovery
        # A source has its own limit for its first frame; a file's reader has none, and needs none.
        limit_s = limits.first_frame_s + limits.silent_s
        wait_for(
            [call, self._stopped],
            None if is_file(self._camera.source) else limit_s,
            FIRST_COMPLETED,
        )
        if call.done():
            return True
        if self._stopping.is_set():
            return False
        since_s = max(self._clock.now_s() - self._called_s, limit_s)
        name = self._watch.name
        sentence = (
            f"{name}: its driver has not come back from {doing} the camera for {since_s:.0f} s"
        )
        if since_s >= HUNG_S:
            raise CannotWork(f"{sentence}; ending, because only a new process is rid of that call")
        raise Hangs(f"{sentence}; check the camera and its cable")

    def _seen(self, frame: Frame) -> Frame | None:
        """The frame, if it can be used; a wrong size may mend itself for ``silent_s``."""
        now_s = self._clock.now_s()
        try:
            seen = self._watch.see(frame)
        except Resized as failure:
            if self.problem is None:
                log.error("%s", failure)
            self.problem = failure
            if now_s - self._good_s >= self._recovery.silent_s:
                raise
            return None
        if not seen.repeated:
            self._is_well(now_s)
        return seen

    def _is_well(self, now_s: float) -> None:
        self._good_s = now_s
        self._ladder.good(now_s)
        self.problem = None
        if self._failed_s is not None:
            log.warning("%s: is back after %.1f s", self._watch.name, now_s - self._failed_s)
            self._failed_s = None

    def _climb(self, failure: Failure) -> None:
        """Take the next rung. Raises Failure at the end of the ladder."""
        now_s = self._clock.now_s()
        # Its traceback would keep what has failed, sockets and all, for as long as it is remembered.
        self.problem = failure.with_traceback(None)
        self._failed_s = now_s if self._failed_s is None else self._failed_s
        step = self._ladder.failed(now_s)
        if step is None:
            raise Failure(
                f"{failure}; given up after {self._recovery.give_up_after_s:g} s of attempts "
                "(recovery.give_up_after_s)"
            ) from failure
        hangs = isinstance(failure, Hangs)
        doing = "waiting on after" if hangs else "opening it again in"
        log.error("%s; %s %.3g s", failure, doing, step.wait_s)
        if step.restart_argus:
            self._request_argus_restart()
        self.counters.reopened += not hangs
        self._clock.wait(self._stopping, step.wait_s)

    def _lock_once_settled(self, source: Source, now_ns: int) -> None:
        if self._lock_at_ns is None:
            self._lock_at_ns = now_ns + LOCK_AFTER_NS
        if now_ns < self._lock_at_ns:
            return
        self._lock_at_ns = NEVER_NS
        unlocked = source.lock().unlocked
        for sentence in unlocked:
            if sentence not in self.unlocked:
                log.warning("%s: %s", self._watch.name, sentence)
        self.unlocked = unlocked

    def _request_argus_restart(self) -> None:
        """Ask systemd/tremorscope-argus@.path, which watches this file, without any privilege."""
        folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        if not folder:
            log.warning(
                "NVIDIA's camera service may hang; restart it with `sudo systemctl restart "
                "nvargus-daemon` (under systemd, tremorscope-argus@.path does so)"
            )
            return
        try:
            Path(folder, ARGUS_REQUEST).write_text(f"{self._watch.name}\n")
        except OSError as error:
            log.error("%s: cannot ask for a restart of Argus (%s)", folder, error.strerror)
            return
        self.counters.argus_restarts += 1
        log.warning("asked for a restart of NVIDIA's camera service (nvargus-daemon)")


def _closed(opening: "Future[Source]") -> None:
    """Nobody waits any more for what was opened here."""
    if opening.exception() is None:
        opening.result().close()
