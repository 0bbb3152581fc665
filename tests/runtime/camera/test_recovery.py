"""One camera, opened as often as it takes: what is tried, in which order, and what is told of it."""

import os
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtime.camera.recovery
from failure import Failure
from runtime.camera.locks import Locks
from runtime.camera.problem import CannotWork, Resized
from runtime.camera.recovery import ARGUS_REQUEST, HUNG_S, Clock, RecoveringCamera
from runtime.camera.source import BaseSource
from runtime.config import Camera, Recovery
from runtime.frame import Frame

STEP_NS = 100_000_000
RNG = np.random.default_rng(2)

needs_gstreamer = pytest.mark.skipif(
    os.environ.get("TREMORSCOPE_WITHOUT_GSTREAMER") == "1",
    reason="TREMORSCOPE_WITHOUT_GSTREAMER=1",
)


class Simulated(Clock):
    """Time that passes with frames and waits only."""

    def __init__(self) -> None:
        self.s = 0.0
        self.waits_s: list[float] = []

    def now_s(self) -> float:
        return self.s

    def wait(self, ended: threading.Event, seconds: float) -> None:
        assert not ended.is_set()
        self.waits_s.append(seconds)
        self.s += seconds


class Film(BaseSource):
    """A live camera with ten frames a second of the given widths, which then fails."""

    def __init__(self, clock: Simulated, widths: list[int], locks: Locks) -> None:
        super().__init__("film")
        self.locked = 0
        self._clock, self._widths, self._locks = clock, widths, locks

    def frames(self) -> Iterator[Frame]:
        for width in self._widths:
            self._clock.s += STEP_NS / 1e9
            image = RNG.integers(0, 255, (48, width, 3), dtype=np.uint8)
            yield self._frame(round(self._clock.s * 1e9), image)
        raise Failure("film: torn")

    def lock(self) -> Locks:
        self.locked += 1
        return self._locks

    def close(self) -> None:
        pass


class Films:
    """Opens one film after the other; None is a camera that cannot be opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *films: list[int] | None) -> None:
        self.clock = Simulated()
        self.locks = Locks()
        self.opened: list[Film] = []
        self._films = iter(films)
        monkeypatch.setattr(runtime.camera.recovery, "open_source", self._open)

    def _open(self, _: Camera, **__: Any) -> Film:
        widths = next(self._films, None)
        if widths is None:
            raise Failure("film: not there")
        self.opened.append(Film(self.clock, widths, self.locks))
        return self.opened[-1]

    def camera(self, source: str = "gst: film", **recovery: float) -> RecoveringCamera:
        settings = Recovery.model_validate(recovery)
        return RecoveringCamera(Camera(source=source), settings, clock=self.clock)


def test_a_camera_is_opened_again_until_it_delivers(monkeypatch: pytest.MonkeyPatch) -> None:
    films = Films(monkeypatch, [64] * 3, None, None, [64] * 4)
    one = films.camera()
    assert one.problem is None
    frames = list(islice(one.frames(), 7))
    assert len(frames) == 7
    assert one.counters.reopened == 3
    assert films.clock.waits_s == [1.0, 2.0, 4.0]
    assert one.problem is None, "it delivers"


def test_what_the_camera_says_is_known_while_it_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    films = Films(monkeypatch, [64])
    one = films.camera(give_up_after_s=0.5)
    with pytest.raises(Failure, match="film: not there; given up"):
        list(one.frames())
    assert str(one.problem) == "film: not there"


def test_a_camera_is_locked_once_it_has_settled_at_every_opening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    films = Films(monkeypatch, [64] * 15, [64] * 60, [64] * 60)
    films.locks = Locks(unlocked=("gain: no",))
    one = films.camera()
    frames = one.frames()
    list(islice(frames, 15 + 19))
    assert [film.locked for film in films.opened] == [0, 0], "not before two seconds"
    list(islice(frames, 60))
    assert [film.locked for film in films.opened] == [0, 1, 0]
    list(islice(frames, 10))
    assert [film.locked for film in films.opened] == [0, 1, 1]
    assert one.unlocked == ("gain: no",)


def test_a_wrong_size_is_never_handed_over_and_opened_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    films = Films(monkeypatch, [64] * 5 + [80] * 10 + [64] * 5 + [80] * 100, [80] * 20, [64] * 5)
    one = films.camera(silent_s=3.0)
    frames = one.frames()
    assert {frame.image.shape for frame in islice(frames, 10)} == {(48, 64, 3)}
    assert one.counters.reopened == 0, "it came back by itself within silent_s"
    assert {frame.image.shape for frame in islice(frames, 5)} == {(48, 64, 3)}
    assert len(films.opened) == 3
    assert one.counters.other_size == pytest.approx(10 + 30 + 20, abs=1)


def test_a_wrong_size_is_the_problem_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    films = Films(monkeypatch, [64] * 5 + [80] * 100)
    one = films.camera(silent_s=3.0)
    seen: list[object] = []

    def wait(*_: object) -> None:
        seen.append(one.problem)
        one.stop()

    films.clock.wait = wait  # type: ignore[assignment,method-assign]
    assert len(list(one.frames())) == 5
    assert isinstance(seen[0], Resized)


@pytest.mark.parametrize("where", ["while it waits", "before it begins"])
def test_stopping_ends_it(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    films = Films(monkeypatch)
    one = films.camera()
    if where == "before it begins":
        one.stop()
    else:
        films.clock.wait = lambda *_: one.stop()  # type: ignore[method-assign]
    assert list(one.frames()) == []


def test_a_file_is_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    films = Films(monkeypatch)
    with pytest.raises(Failure, match=r"^film: not there$"):
        list(films.camera("clip.mkv").frames())


def test_argus_is_asked_to_restart_through_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    one = Films(monkeypatch).camera("csi:0")
    with pytest.raises(Failure, match="given up after 21600 s"):
        list(one.frames())
    assert (tmp_path / ARGUS_REQUEST).read_text() == "csi:0\n"
    assert 6 * 3600 / 700 < one.counters.argus_restarts <= 6 * 3600 / 600


def test_nobody_is_asked_where_there_is_no_runtime_folder(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    one = Films(monkeypatch).camera("csi:0", give_up_after_s=60.0)
    with pytest.raises(Failure, match="given up"):
        list(one.frames())
    assert one.counters.argus_restarts == 0
    assert caplog.text.count("sudo systemctl restart nvargus-daemon") == 1


def test_frames_left_out_are_counted_across_openings(monkeypatch: pytest.MonkeyPatch) -> None:
    films = Films(monkeypatch, [64] * 5, [64] * 5, [64] * 2)
    one = films.camera()
    for number, _ in enumerate(islice(one.frames(), 11)):
        if number in (3, 4, 8):
            films.opened[-1].dropped += 1
    assert one.counters.not_advancing == 3


class Hanging(Films):
    """Whose driver does not come back from opening the camera a second time, until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *films: list[int] | None) -> None:
        super().__init__(monkeypatch, *films)
        self.released = threading.Event()
        self.openings = 0

    def _open(self, _: Camera, **others: Any) -> Film:
        self.openings += 1
        if self.openings > 1:
            assert self.released.wait(60)
        return super()._open(_, **others)

    def camera(self, source: str = "csi:0", **recovery: float) -> RecoveringCamera:
        return super().camera(source, **{"first_frame_s": 0.02, "silent_s": 0.02} | recovery)


def test_a_driver_that_hangs_while_the_camera_is_opened_does_not_hold_up_the_ladder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    films = Hanging(monkeypatch, [64] * 3, [64] * 4)
    one = films.camera()
    simulated = films.clock.wait

    def wait(ended: threading.Event, seconds: float) -> None:
        simulated(ended, seconds)
        if (tmp_path / ARGUS_REQUEST).exists():  # whose restart lets go of what hangs
            films.released.set()

    films.clock.wait = wait  # type: ignore[method-assign]
    assert len(list(islice(one.frames(), 7))) == 7
    assert one.counters.argus_restarts == 1
    assert films.openings == 2, "a second one beside the one that hangs would hang as well"
    assert one.problem is None, "it delivers"


def test_a_driver_that_hangs_is_the_problem_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    films = Hanging(monkeypatch, [64] * 3)
    one = films.camera()
    told: list[str] = []

    def wait(*_: object) -> None:
        told.append(str(one.problem))
        if len(told) == 2:
            one.stop()

    films.clock.wait = wait  # type: ignore[assignment,method-assign]
    assert len(list(one.frames())) == 3
    assert "csi:0: its driver has not come back from opening the camera for" in told[1]
    films.released.set()


def test_a_driver_that_hangs_for_good_ends_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    films = Hanging(monkeypatch, [64] * 3)
    one = films.camera()
    with pytest.raises(CannotWork, match="only a new process is rid of that call"):
        list(one.frames())
    assert HUNG_S <= films.clock.s <= HUNG_S + 60
    films.released.set()


def test_what_a_driver_opens_after_the_end_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    films = Hanging(monkeypatch, [64] * 3, [64] * 3)
    closed = threading.Event()

    def close(film: Film) -> None:
        if film is not films.opened[0]:
            closed.set()

    monkeypatch.setattr(Film, "close", close)
    one = films.camera(silent_s=30.0)
    frames = one.frames()
    list(islice(frames, 3))
    stopping = threading.Timer(0.2, one.stop)
    stopping.start()
    assert list(frames) == []
    films.released.set()
    assert closed.wait(20)


def test_a_driver_that_hangs_in_closing_is_waited_for_before_it_is_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    films = Films(monkeypatch, [64] * 3, [64] * 4)
    released = threading.Event()
    monkeypatch.setattr(Film, "close", lambda _: released.wait(60))
    one = films.camera(first_frame_s=0.02, silent_s=0.02)
    simulated = films.clock.wait

    def wait(ended: threading.Event, seconds: float) -> None:
        simulated(ended, seconds)
        if films.clock.s > 5:
            released.set()
        else:
            assert len(films.opened) == 1

    films.clock.wait = wait  # type: ignore[method-assign]
    assert len(list(islice(one.frames(), 7))) == 7
    assert len(films.opened) == 2


@needs_gstreamer
def test_opening_again_and_again_leaves_nothing_behind() -> None:
    source = "gst: videotestsrc is-live=true num-buffers=2 ! video/x-raw,framerate=100/1"

    class AtOnce(Clock):
        def wait(self, ended: threading.Event, seconds: float) -> None:
            pass

    one = RecoveringCamera(Camera(source=source), Recovery(), clock=AtOnce())
    frames = one.frames()

    def after(count: int) -> tuple[int, int]:
        list(islice(frames, count))
        both = (len(list(Path("/proc/self", kind).iterdir())) for kind in ("fd", "task"))
        return next(both), next(both)

    before = after(10)
    now = after(60)
    assert one.counters.reopened >= 30
    assert now[0] <= before[0] + 2
    assert now[1] <= before[1] + 2
    frames.close()
