"""Pictures are encoded for whoever watches, the newest only, and nobody waits."""

import asyncio
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from pages import Served, configured
from starlette.types import Message
from videos import moving

from failure import Failure
from runtime.config import Magnification
from runtime.frame import Frame
from runtime.magnification import Magnified
from runtime.page import Pictures
from runtime.page import stream as stream_module
from runtime.page.stream import Pages, PictureStream
from runtime.views import View


def frame(index: int, grey: int = 90, width: int = 64) -> Frame:
    return Frame(index, index * 10**7, np.full((48, width, 3), grey, np.uint8))


def magnified(index: int, grey: int = 200) -> Magnified:
    shown = np.full((48, 64, 3), grey, np.uint8)
    return Magnified(frame(index), shown, Magnification())


def seen(jpeg: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def test_while_nobody_watches_nothing_is_kept_or_encoded() -> None:
    pictures = Pictures(2)
    pictures.see(frame(0))
    pictures.see_magnified(magnified(0))
    assert pictures.encoded("raw", None) is None
    with pictures.watching():
        assert pictures.encoded("raw", None) is None
        pictures.see(frame(1))
        assert pictures.encoded("raw", None) is not None
    assert pictures.encoded("raw", None) is None
    assert pictures.encoded_pictures == 1


def test_the_newest_is_encoded_once_for_all() -> None:
    pictures = Pictures(4)
    with pictures.watching(), pictures.watching():
        for index in range(5):
            pictures.see(frame(index))
        first, second = pictures.encoded("raw", None), pictures.encoded("raw", 3)
        assert first is second
        assert first is not None
        assert (first.index, first.t_capture_ns) == (4, 40_000_000)
        assert pictures.encoded("raw", 4) is None, "it was sent"
        assert pictures.encoded_pictures == 1


@pytest.mark.parametrize(
    ("view", "shape"),
    [("raw", (48, 64)), ("magnified", (48, 64)), ("beside", (48, 128)), ("below", (96, 64))],
)
def test_each_view_shows_what_it_says(view: View, shape: tuple[int, int]) -> None:
    pictures = Pictures(1)
    with pictures.watching():
        pictures.see(frame(3))
        pictures.see_magnified(magnified(3))
        encoded = pictures.encoded(view, None)
    assert encoded is not None
    picture = seen(encoded.jpeg)
    assert picture.shape[:2] == shape
    first, last = int(picture[0, 0, 0]), int(picture[-1, -1, 0])
    assert (first < 150) == (view != "magnified")
    assert (last < 150) == (view == "raw")


def test_a_wide_picture_is_made_smaller() -> None:
    pictures = Pictures(1)
    with pictures.watching():
        pictures.see(frame(0, width=1920))
        encoded = pictures.encoded("raw", None)
    assert encoded is not None
    assert seen(encoded.jpeg).shape == (24, 960, 3)


def test_one_watcher_too_many_is_refused_and_counted() -> None:
    pictures = Pictures(1)
    with pictures.watching(), pytest.raises(Failure, match=r"as many as page\.watchers allows"):  # noqa: SIM117
        with pictures.watching():
            pass
    assert (pictures.watchers, pictures.refused) == (0, 1)


def test_one_watcher_too_many_gets_503(tmp_path: Path) -> None:
    one = Served(configured(tmp_path, watchers=1))
    with one.pictures.watching():
        answer = one.client().get("/picture?view=raw")
    assert answer.status_code == 503
    assert "page.watchers" in answer.text


def test_an_unknown_view_is_404(tmp_path: Path) -> None:
    assert Served(configured(tmp_path)).client().get("/picture?view=inside").status_code == 404


class Browser:
    """Takes what a stream sends; ``takes`` clear is a browser that takes nothing."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.takes, self.left = asyncio.Event(), asyncio.Event()
        self.takes.set()

    async def send(self, message: Message) -> None:
        await self.takes.wait()
        self.sent.append(message)

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    def jpegs(self) -> list[bytes]:
        bodies = [one["body"] for one in self.sent if one["type"] == "http.response.body"]
        return [body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0] for body in bodies[1:]]


def test_a_slow_browser_misses_pictures_and_gets_no_old_ones() -> None:
    async def watch() -> None:
        pictures, browser = Pictures(1), Browser()
        stream = PictureStream(pictures, "raw", asyncio.Event())
        task = asyncio.ensure_future(stream({"type": "http"}, browser.receive, browser.send))
        await _until(lambda: len(browser.sent) == 2)
        pictures.see(frame(0, grey=10))
        await _until(lambda: len(browser.jpegs()) == 1)
        browser.takes.clear()
        for index in range(1, 200):
            pictures.see(frame(index, grey=index))
            await asyncio.sleep(0.001)
        browser.takes.set()
        await _until(lambda: bool(browser.jpegs()) and seen(browser.jpegs()[-1])[0, 0, 0] == 199)
        assert len(browser.jpegs()) <= 4
        browser.left.set()
        await asyncio.wait_for(task, 5)
        assert pictures.watchers == 0

    asyncio.run(watch())


def test_a_browser_that_takes_nothing_any_more_gives_its_place_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "STALLED_S", 0.1)

    async def watch() -> None:
        pictures, browser = Pictures(1), Browser()
        stream = PictureStream(pictures, "raw", asyncio.Event())
        task = asyncio.ensure_future(stream({"type": "http"}, browser.receive, browser.send))
        await _until(lambda: len(browser.sent) == 2)
        browser.takes.clear()
        pictures.see(frame(0))
        await asyncio.wait_for(task, 5)
        assert pictures.watchers == 0

    asyncio.run(watch())


def test_a_page_has_one_stream_and_none_once_it_is_not_heard_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Chromium reads streams on that no page shows any more."""

    async def watch() -> None:
        pictures, pages, browser = Pictures(2), Pages(), Browser()

        def begun() -> "asyncio.Future[None]":
            one = PictureStream(pictures, "raw", asyncio.Event(), pages=pages, page="7")
            return asyncio.ensure_future(one({"type": "http"}, browser.receive, browser.send))

        old = begun()
        await _until(lambda: pictures.watchers == 1)
        new = begun()
        await asyncio.wait_for(old, 5)
        assert pictures.watchers == 1
        assert not new.done()
        pages.hear("7")
        monkeypatch.setattr(stream_module, "UNHEARD_S", 0.1)
        await asyncio.wait_for(new, 5)
        assert pictures.watchers == 0

    asyncio.run(watch())


def test_the_end_of_the_daemon_ends_the_stream() -> None:
    async def watch() -> None:
        pictures, browser, ending = Pictures(1), Browser(), asyncio.Event()
        stream = PictureStream(pictures, "raw", ending)
        task = asyncio.ensure_future(stream({"type": "http"}, browser.receive, browser.send))
        await _until(lambda: len(browser.sent) == 2)
        ending.set()
        await asyncio.wait_for(task, 5)

    asyncio.run(watch())


def test_handing_over_never_waits_for_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder of this test does not return until every frame was handed over."""
    pictures, begun, goes_on = Pictures(1), threading.Event(), threading.Event()

    def slow(*_: object) -> bytes:
        begun.set()
        assert goes_on.wait(10), "the camera waits for the encoder"
        return b"jpeg"

    monkeypatch.setattr("runtime.page.pictures.jpeg", slow)
    with pictures.watching():
        pictures.see(frame(0))
        encoder = threading.Thread(target=pictures.encoded, args=("raw", None))
        encoder.start()
        assert begun.wait(10)
        for one in moving(np.zeros(20)):
            pictures.see(one)
            pictures.see_magnified(magnified(one.index))
        goes_on.set()
        encoder.join(10)


async def _until(condition: object) -> None:
    assert callable(condition)
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("not within 10 s")
