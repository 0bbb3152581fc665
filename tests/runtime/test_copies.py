"""How often a full frame is copied on its way: only where it must."""

import ctypes
import gc
import tracemalloc
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from daemons import Engine, FakeCamera, config, needs_gstreamer
from numpy.typing import NDArray

import runtime.camera.recovery
from runtime.camera.gst_buffer import MOST_HELD, MOST_REUSED, Memory, bytes_of
from runtime.camera.gstreamer import GStreamerSource
from runtime.config import Camera, Config, Magnification, Rectangle, Region
from runtime.daemon import Daemon
from runtime.engine import Coming, Follow
from runtime.evidence import EvidenceRecorder
from runtime.evidence.inbox import Shot
from runtime.frame import Frame
from runtime.magnification import Magnified, Magnifier
from runtime.measurement import Measurement

WIDE, HIGH = 640, 480
FRAME_BYTES = WIDE * HIGH * 3
AREA = Rectangle(x=8, y=8, width=64, height=64)


def frames(count: int) -> list[Frame]:
    noise = np.random.default_rng(0)
    return [
        Frame(number, number * 20_000_000, noise.integers(0, 256, (HIGH, WIDE, 3)).astype(np.uint8))
        for number in range(count)
    ]


class Film(FakeCamera):
    """Delivers frames of the test's own."""

    def __init__(self, films: list[Frame]) -> None:
        super().__init__(0, lambda: None)
        self._films = films

    def frames(self) -> Iterator[Frame]:
        yield from self._films


class Seeing(Engine):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[NDArray[np.uint8]] = []

    def step(
        self, image: NDArray[np.uint8], gain: float, follow: Follow, coming: Coming | None = None
    ) -> NDArray[np.uint8]:
        self.given.append(image)
        return super().step(image, gain, follow, coming)


@pytest.mark.parametrize("area", [None, AREA])
def test_every_station_sees_the_camera_thread_s_own_memory(
    monkeypatch: pytest.MonkeyPatch, area: Rectangle | None
) -> None:
    films = frames(12)
    monkeypatch.setattr(runtime.camera.recovery, "open_source", lambda _, **__: Film(films))
    measured: list[Frame] = []
    kept: list[Shot] = []
    shown: list[Magnified] = []
    original = Measurement.process

    def process(self: Measurement, frame: Frame) -> Any:
        measured.append(frame)
        return original(self, frame)

    settings = config("gst: fake")
    evidence = EvidenceRecorder(settings, engine="engine of a test")
    monkeypatch.setattr(Measurement, "process", process)
    monkeypatch.setattr(evidence.pictures, "put", kept.append)
    engine = Seeing()
    Daemon(
        settings,
        magnifier=Magnifier(Magnification(area=area), engine),
        publisher=None,
        shown=shown.append,
        evidence=evidence,
    ).run()
    assert len(measured) == len(films)
    assert all(any(one.image is film.image for film in films) for one in measured)
    assert all(any(np.shares_memory(one, film.image) for film in films) for one in engine.given)
    raw = [shot for shot in kept if shot.gain is None]
    assert raw
    assert all(any(shot.image is film.image for film in films) for shot in raw)
    assert shown
    # The engine of this test gives back what it was given.
    assert all(np.shares_memory(one.part, one.frame.image) for one in shown)
    whole = shown[-1].picture
    assert np.shares_memory(whole, shown[-1].frame.image) == (area is None)
    assert shown[-1].picture is whole, "put together once, whoever asks"


def test_measuring_allocates_far_less_than_a_frame() -> None:
    """Grey levels are made of regions alone; the look at the whole picture takes a sample of it."""
    regions = tuple(
        Region(name=f"r{number}", x=64 * number, y=64, width=48, height=48) for number in range(8)
    )
    measurement = Measurement(Config(camera=Camera(source="gst: fake"), regions=regions))
    films = frames(60)
    for frame in films[:50]:
        measurement.process(frame)
    gc.collect()
    tracemalloc.start()
    try:
        for frame in films[50:]:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            measurement.process(frame)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < FRAME_BYTES, "numpy's memory is traced, too"
    finally:
        tracemalloc.stop()


def owner(image: NDArray[np.uint8]) -> Any:
    """What the pixels lie in."""
    base: Any = image
    while getattr(base, "base", None) is not None:
        base = base.base
    return base


def drawn(number_of_pictures: int) -> GStreamerSource:
    """Pictures that a converter makes, as from every camera that does not send BGR itself."""
    caps = f"video/x-raw,format=NV12,width={WIDE},height={HIGH}"
    source = f"gst: videotestsrc num-buffers={number_of_pictures} pattern=ball ! {caps}"
    return GStreamerSource(Camera(source=source, real_time=False))


@needs_gstreamer
def test_a_converter_s_picture_stays_where_it_is() -> None:
    with drawn(4) as camera:
        images = [frame.image for frame in camera.frames()]
    assert len(images) == 4
    assert not any(np.shares_memory(a, b) for a, b in pairwise(images))
    assert all(isinstance(owner(one), ctypes.Array) for one in images), "GStreamer's own"
    # The pipeline is gone, and the pictures are what they were.
    gc.collect()
    with drawn(4) as camera:
        again = [frame.image.copy() for frame in camera.frames()]
    assert all(np.array_equal(a, b) for a, b in zip(images, again, strict=True))


@needs_gstreamer
def test_a_converter_s_buffer_goes_back_once_no_view_of_it_is_left() -> None:
    places: set[int] = set()
    views: list[NDArray[np.uint8]] = []
    with drawn(200) as camera:
        for frame in camera.frames():
            places.add(frame.image.ctypes.data)
            views = [*views[-3:], frame.image[8:16, 8:16]]
            del frame
    assert 4 < len(places) < 40, "as many as wait in the pipeline, and not one for each frame"


@needs_gstreamer
def test_a_jam_does_not_make_a_converter_s_pool_large() -> None:
    with drawn(MOST_HELD + 5) as camera:
        images = [frame.image for frame in camera.frames()]
    held = [isinstance(owner(one), ctypes.Array) for one in images]
    assert held == [True] * MOST_HELD + [False] * 5
    assert not any(np.shares_memory(a, b) for a, b in combinations(images, 2))


@needs_gstreamer
@pytest.mark.parametrize("most", [0, 4])
def test_a_buffer_of_few_is_copied_and_one_of_many_is_not(most: int) -> None:
    gst = gstreamer()
    pool = gst.BufferPool.new()
    settings = pool.get_config()
    gst.BufferPool.config_set_params(settings, None, FRAME_BYTES, 0, most)
    assert pool.set_config(settings)
    assert pool.set_active(True)
    _, buffer = pool.acquire_buffer(None)
    base = owner(bytes_of(buffer, Memory()))
    assert isinstance(base, np.ndarray if most else ctypes.Array)
    assert pool.set_active(False)


@needs_gstreamer
def test_a_buffer_without_a_pool_is_copied_once() -> None:
    base = owner(bytes_of(gstreamer().Buffer.new_wrapped(bytes(FRAME_BYTES)), Memory()))
    assert isinstance(base, np.ndarray), "not bytes, which would be a second copy"
    assert base.nbytes == FRAME_BYTES


def gstreamer() -> Any:
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst

    Gst.init(None)
    return Gst


def test_memory_is_used_again_only_once_no_view_of_it_is_left() -> None:
    memory = Memory()
    held = memory.take(64)[8:16].reshape(2, 4)
    held[...] = 7
    other = memory.take(64)
    other[...] = 1
    assert (held == 7).all()
    place = held.ctypes.data - 8
    del held
    assert memory.take(64).ctypes.data == place
    assert memory.take(32).size == 32, "after another size"


def test_a_jam_gets_memory_and_does_not_keep_it() -> None:
    memory = Memory()
    jam = [memory.take(64) for _ in range(2 * MOST_REUSED)]
    assert not any(np.shares_memory(a, b) for a, b in combinations(jam, 2))
    first = jam[0].ctypes.data
    jam.clear()
    assert {memory.take(64).ctypes.data for _ in range(9)} == {first}


@needs_gstreamer
@pytest.mark.parametrize("fast", [True, False])
def test_the_copy_is_the_buffer_s_content_either_way(
    monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    content = bytes(range(256)) * 11
    if not fast:
        monkeypatch.setattr("runtime.camera.gst_buffer._library", lambda: None)
    got = bytes_of(gstreamer().Buffer.new_wrapped(content), Memory())
    assert got.tobytes() == content
    got[0] = 7
