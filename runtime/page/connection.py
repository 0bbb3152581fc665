"""One connection to the page: who keeps it open without using it is cut off, so that others find a place.

uvicorn limits how long a connection may be idle between two requests, and nothing else: whoever sends no
request, half of one, or does not take the answer, would hold one of its places for good.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""A connection has so long to send a complete request, from its beginning or from the last answer."""
TAKE_S = 20.0
"""Who takes nothing of an answer for so long is not there any more."""


class Connection(H11Protocol):
    """uvicorn's protocol with these two limits."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._asks_late: asyncio.TimerHandle | None = None
        self._takes_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._asks_late, self._takes_late):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        asked = self.cycle is not None and not self.cycle.more_body
        if asked and not self.cycle.response_complete and self._asks_late is not None:
            self._asks_late.cancel()

    def on_response_complete(self) -> None:
        self._wait_for_request()  # which may have come already
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._takes_late = self.loop.call_later(TAKE_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._takes_late is not None:
            self._takes_late.cancel()

    def _wait_for_request(self) -> None:
        if self._asks_late is not None:
            self._asks_late.cancel()
        self._asks_late = self.loop.call_later(REQUEST_S, self.transport.abort)
