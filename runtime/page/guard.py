"""Who is let in: every request passes here first. What it keeps out, and how:

- people without the password: HTTP Basic, compared in constant time; wrong ones wait, one after the other;
- pages of others in the same browser: a command must be JSON from this page's own origin, and what a
  foreign page embeds is refused by ``Sec-Fetch-Site``;
- a foreign name that was pointed at this machine (DNS rebinding): ``Host`` must be one of ours. A number
  is no name that anybody can point elsewhere.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.config.page import Page

log = logging.getLogger(__name__)

WRONG_PASSWORD_S = 1.0
"""After a wrong password, before the answer: so many guesses a second are possible, in all."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Refuses with one sentence, or passes on; adds the security headers to every answer."""

    def __init__(self, app: ASGIApp, page: Page, password: str | None) -> None:
        """``password`` is None where anybody who reaches the page may see it."""
        self._app = app
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", *(one.lower() for one in page.names)}
        self._names.add(page.host.lower())
        self._expected = None if password is None else _digest(f"{page.user}:{password}".encode())
        self._one_guess = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        refused = self._refused(scope) or await self._not_known(scope)
        try:
            await (refused or self._app)(scope, receive, with_headers)
        except Exception:
            log.exception("a defect of the live page at %s, please report it", scope["path"])

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return _told(
                403,
                f"this page is not known as {host[:100]!r}; use the machine's address, or add the name "
                "to page.names",
            )
        # Browsers say from where a request comes; only a link may lead here from elsewhere.
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if foreign and headers.get("sec-fetch-mode") != "navigate":
            return _told(403, "another site asked for this; open this page itself")
        if scope["method"] in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return _told(
                403, f"a command from {origin[:100]!r}, which is not this page, is refused"
            )
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _told(415, "a command must be JSON; send it with Content-Type: application/json")
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _not_known(self, scope: Scope) -> Response | None:
        if self._expected is None:
            return None
        given = Headers(scope=scope).get("authorization", "")
        kind, _, encoded = given.partition(" ")
        try:
            pair = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            pair = b""
        if kind.lower() == "basic" and hmac.compare_digest(_digest(pair), self._expected):
            return None
        if given:
            client = scope.get("client") or ("?",)
            log.warning("the page was asked for with a wrong user or password, from %s", client[0])
            async with self._one_guess:
                await asyncio.sleep(WRONG_PASSWORD_S)
        refused = _told(401, "user and password are needed")
        refused.headers["www-authenticate"] = 'Basic realm="tremorscope", charset="UTF-8"'
        return refused


def _digest(text: bytes) -> bytes:
    """Of one length, whatever is given: the time of a comparison tells nothing."""
    return hashlib.sha256(text).digest()


def _told(status: int, sentence: str) -> Response:
    return PlainTextResponse(sentence + "\n", status)
