"""Pictures one after the other in one response, as ``<img>`` plays them (multipart/x-mixed-replace)."""

import asyncio
from contextlib import ExitStack

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from failure import Failure
from runtime.page.pictures import Pictures, View

PICTURES_HZ = 15.0
"""More would cost the board more than it tells the eye."""
STALLED_S = 10.0
"""A browser that takes nothing for so long is not there any more."""
PATIENCE_S = 1.0
"""For a place: a browser that changes its view asks for the new one before it has left the old."""
_LOOK_S = 0.05
_BOUNDARY = b"--picture\r\n"


class PictureStream:
    """Sends the newest picture whenever there is one and the browser has taken the last.

    A slow browser gets fewer pictures, never older ones; only its own connection waits for it. Where too
    many watch it is told that in one sentence.
    """

    def __init__(self, pictures: Pictures, view: View, ending: asyncio.Event) -> None:
        self._pictures, self._view, self._ending = pictures, view, ending

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
            try:
                await self._send_pictures(left, send)
            except (asyncio.TimeoutError, OSError):
                pass
            finally:
                left.cancel()

    async def _send_pictures(self, left: "asyncio.Future[None]", send: Send) -> None:
        index: int | None = None
        # A browser shows a picture when it sees the boundary behind it.
        await _sent(send, _BOUNDARY)
        while not (left.done() or self._ending.is_set()):
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
