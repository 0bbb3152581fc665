"""Puts the stamp on what is published: which device, which run, the how manieth of its stream, when."""

import hashlib
import hmac
import platform
import threading
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

from runtime.messages import Message, Stamp, utc_text
from runtime.mqtt.clock_state import clock_state

_MACHINE_ID = Path("/etc/machine-id")


class Stamps:
    """One run of one camera's daemon; for any thread.

    A message is counted when it is made. One that is dropped afterwards leaves a gap in the numbers, by
    which a consumer sees it.
    """

    def __init__(self) -> None:
        self._device = device_id()
        self._run_id = uuid4().hex
        self._numbers: Counter[str] = Counter()
        self._lock = threading.Lock()

    def payload(self, stream: str, message: Message) -> bytes:
        """A message of a stream, which is its topic below the camera's, stamped, as JSON."""
        with self._lock:
            self._numbers[stream] += 1
            number = self._numbers[stream]
        return _json(message, self._stamp(number))

    def will(self, message: Message) -> bytes:
        """A last will, which the broker publishes at a time that nobody knows yet: it has no number."""
        return _json(message, self._stamp(None))

    def for_picture(self, stream: str) -> str:
        """The stamp of a message that is no JSON, for its MQTT 5 user property."""
        with self._lock:
            self._numbers[stream] += 1
            number = self._numbers[stream]
        return self._stamp(number).model_dump_json()

    def _stamp(self, number: int | None) -> Stamp:
        state = clock_state()
        return Stamp(
            device=self._device,
            run_id=self._run_id,
            number=number,
            time_utc=utc_text(time.time()),
            monotonic_s=round(time.monotonic(), 6),
            clock=state.clock,
            clock_error_s=state.error_s,
        )


def device_id() -> str:
    """32 hex digits that stay with this machine's system.

    They are a hash of systemd's machine id, which itself is not to be shown to others
    (machine-id(5)); where there is none, of the host's name.
    """
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        machine = ""
    source = machine or platform.node()
    return hmac.new(source.encode(), b"tremorscope", hashlib.sha256).hexdigest()[:32]


def _json(message: Message, stamp: Stamp) -> bytes:
    return message.model_copy(update={"stamp": stamp}).model_dump_json().encode()
