"""The demo's own MQTT broker: amqtt in a thread, on a free port of localhost only."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from amqtt.broker import Broker

from failure import Failure

START_TIMEOUT_S = 10.0


@contextmanager
def embedded_broker() -> Iterator[int]:
    """Runs a broker for as long as the context lasts; gives its port."""
    # Its logger tells every connection; only what goes wrong is worth showing.
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    port = _free_port()
    started, stop = threading.Event(), threading.Event()
    problems: list[BaseException] = []

    async def serve() -> None:
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            }
        )
        await broker.start()
        started.set()
        while not stop.is_set():
            await asyncio.sleep(0.1)
        await broker.shutdown()

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            problems.append(error)
            started.set()

    thread = threading.Thread(target=work, name="broker", daemon=True)
    thread.start()
    if not started.wait(START_TIMEOUT_S) or problems:
        reason = problems[0] if problems else "it did not start in time"
        raise Failure(f"the demo's broker cannot listen on 127.0.0.1:{port} ({reason}); try again")
    try:
        yield port
    finally:
        stop.set()
        thread.join(START_TIMEOUT_S)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
