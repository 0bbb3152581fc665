"""Pictures one after the other in one response, as ``<img>`` plays them (multipart/x-mixed-replace)."""

import asyncio
import time
from contextlib import ExitStack

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from failure import Failure
from runtime.page.pictures import Pictures
from runtime.views import View

PICTURES_HZ = 15.0
"""More would cost the board more than it tells the eye."""
STALLED_S = 10.0
"""A browser that takes nothing for so long is not there any more."""
UNHEARD_S = 10.0
"""A page asks for the rest of what it shows every second."""
PATIENCE_S = 1.0
"""For a place: a browser that changes its view asks for the new one before it has left the old."""
_LOOK_S = 0.05
_BOUNDARY = b"--picture\r\n"


class Pages:
    """Which stream each page shows now. For the page's own thread.

    Browsers may read a stream on that no page shows any more: the newest of a page is the only one, and it
    ends when the page has not been heard of for UNHEARD_S.
    """

    def __init__(self) -> None:
        self._shown: dict[str, tuple[object, float]] = {}

    def hear(self, page: str | None) -> None:
        """A page has asked for something."""
        if page in self._shown:
            self._shown[page] = (self._shown[page][0], time.monotonic())

    def shows(self, page: str | None, stream: object) -> None:
        if page is not None:
            self._shown[page] = (stream, time.monotonic())

    def shows_no_more(self, page: str | None, stream: object) -> None:
        if page is not None and self._shown.get(page, (None,))[0] is stream:
            del self._shown[page]

    def has_forgotten(self, page: str, stream: object) -> bool:
        shown, heard_s = self._shown.get(page, (None, 0.0))
        return shown is not stream or time.monotonic() - heard_s > UNHEARD_S


class PictureStream:
    """Sends the newest picture whenever there is one and the browser has taken the last.

    A slow browser gets fewer pictures, never older ones; only its own connection waits for it. Where too
    many watch it is told that in one sentence.
    """

    def __init__(
        self,
        pictures: Pictures,
        view: View,
        ending: asyncio.Event,
        *,
        pages: "Pages | None" = None,
        page: str | None = None,
    ) -> None:
        """``page`` is what the page that shows it is called among ``pages``; None for anything else."""
        self._pictures, self._view, self._ending = pictures, view, ending
        self._pages = Pages() if pages is None else pages
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        waited_s = 0.0
        while self._pictures.is_full and waited_s < PATIENCE_S:
            await asyncio.sleep(_LOOK_S)
            waited_s += _LOOK_S
        with ExitStack() as watching:
            try:
                watching.enter_context(self._pictures.watching())
            except Failure as failure:
                await PlainTextResponse(f"{failure}\n", 503)(scope, receive, send)
                return
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [
                        (b"content-type", b"multipart/x-mixed-replace; boundary=picture"),
                        (b"cache-control", b"no-store"),
                    ],
                }
            )
            left = asyncio.ensure_future(_left(receive))
            self._pages.shows(self._page, self)
            try:
                await self._send_pictures(left, send)
            except (asyncio.TimeoutError, OSError):
                pass
            finally:
                left.cancel()
                self._pages.shows_no_more(self._page, self)

    @property
    def _is_forgotten(self) -> bool:
        return self._page is not None and self._pages.has_forgotten(self._page, self)

    async def _send_pictures(self, left: "asyncio.Future[None]", send: Send) -> None:
        index: int | None = None
        # A browser shows a picture when it sees the boundary behind it.
        await _sent(send, _BOUNDARY)
        while not (left.done() or self._ending.is_set() or self._is_forgotten):
            wait = asyncio.ensure_future(asyncio.sleep(1 / PICTURES_HZ))
            new = await asyncio.to_thread(self._pictures.encoded, self._view, index)
            if new is not None:
                index = new.index
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(new.jpeg)}\r\n\r\n"
                await _sent(send, head.encode() + new.jpeg + b"\r\n" + _BOUNDARY)
                self._pictures.sent += 1
            await wait
        await _sent(send, b"", more=False)


async def _sent(send: Send, body: bytes, *, more: bool = True) -> None:
    message = {"type": "http.response.body", "body": body, "more_body": more}
    await asyncio.wait_for(send(message), STALLED_S)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
