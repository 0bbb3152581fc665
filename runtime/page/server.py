"""The thread that serves the page, from its socket to its end."""

import asyncio
import logging
import socket
import ssl
import threading
from pathlib import Path

import uvicorn

from failure import Failure
from runtime.config import Config
from runtime.config.page import Page
from runtime.config.password_file import password_in
from runtime.daemon import Daemon
from runtime.page.app import page_app
from runtime.page.connection import Connection
from runtime.page.pictures import Pictures

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 64
_GOODBYE_S = 1  # for answers that are on their way at the end
_LONGEST_GOODBYE_S = 5.0


class LivePage:
    """Serves one daemon's page until it is closed. A defect in it ends no alert."""

    def __init__(self, daemon: Daemon, config: Config, pictures: Pictures) -> None:
        """Begin to serve.

        Raises:
            Failure: the address is taken, or password, certificate or key cannot be used.
        """
        page = config.page
        file = page.password_file
        password = None if file is None else password_in(file, "page.password_file")
        if page.certificate is not None and page.key is not None:
            _check_certificate(page.certificate, page.key)
        self._ending = asyncio.Event()
        server_config = uvicorn.Config(
            page_app(daemon, config, pictures, password=password, ending=self._ending),
            loop="asyncio",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # whoever scans ports must not fill the log; the guard tells defects
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=_GOODBYE_S,
            ssl_certfile=page.certificate,
            ssl_keyfile=page.key,
        )
        self._server = uvicorn.Server(server_config)
        self._socket = _listening(page)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)
        self._thread.start()
        self.url = f"{page.scheme}://{_in_url(page.host)}:{self._socket.getsockname()[1]}/"
        log.info("live page at %s", self.url)

    def close(self) -> None:
        """End soon; whoever watches is cut off."""
        self._server.should_exit = True
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(_LONGEST_GOODBYE_S)
        self._socket.close()

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception:
            log.exception(
                "a defect ended the live page, please report it; measurement and alerts go on"
            )

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])


def _listening(page: Page) -> socket.socket:
    where = f"page.host = {page.host}, page.port = {page.port}"
    try:
        [family, *_, address] = socket.getaddrinfo(
            page.host, page.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise Failure(f"{where}: {error.strerror}; correct page.host") from None
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        raise Failure(
            f"{where}: cannot be listened on ({error.strerror}); choose another page.port, or an "
            "address of this machine"
        ) from None
    return listening


def _check_certificate(certificate: Path, key: Path) -> None:
    for name, path in (("certificate", certificate), ("key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise Failure(
                f"page.{name}: {path} cannot be read ({error.strerror}); put it there, and let the "
                "daemon's user read it"
            ) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a passphrase would else ask for it at a terminal that nobody sees.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError):
        raise Failure(
            f"page.certificate and page.key: {certificate} and {key} are no certificate with its key "
            "without passphrase, both in PEM; make them anew, as docs/page.md says"
        ) from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
