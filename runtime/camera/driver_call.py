"""A call into a camera's driver, which may never come back, in a thread of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def driver_call(call: Callable[[], T]) -> "Future[T]":
    """Begin the call; whoever waits for it may stop waiting. It keeps no process from ending."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    threading.Thread(target=run, name="driver", daemon=True).start()
    return answer
