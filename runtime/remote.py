"""What may be ordered from afar, and the answer to it. No network: that is ``mqtt/commands.py``."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json

from failure import Failure
from runtime.controls import Controls
from runtime.messages import Reply

log = logging.getLogger(__name__)

MOST_BYTES = 4096
"""A longer command is refused unread."""
_MOST_MARKS = 64  # of a request_id

Command = Callable[[Mapping[str, Any]], object]
"""Raises Failure for values that cannot be, and has no effect then."""


class Remote:
    """Carries out commands. Whatever comes gets one reply, and only what was accepted has an effect."""

    def __init__(
        self,
        controls: Controls,
        acknowledge: Callable[[str], None],
        *,
        snapshot: Command | None = None,
    ) -> None:
        """``acknowledge`` raises Failure for an alert that is not open; ``snapshot`` sends a picture, None:
        pictures stay here."""
        self._commands: dict[str, Command] = {
            "magnification": controls.change,
            "acknowledge": lambda values: acknowledge(_event_id(values)),
            "snapshot": _no_pictures if snapshot is None else snapshot,
        }

    def answer(self, name: str, payload: bytes) -> Reply:
        """Carry out the command ``name`` with a JSON object, which may hold a ``request_id``."""
        request_id = None
        try:
            values = _read(payload)
            request_id = _request_id(values)
            command = self._commands.get(name)
            if command is None:
                raise Failure(f"there is no such command; known are: {', '.join(self._commands)}")
            command(values)
        except Failure as failure:
            log.warning("command %s refused: %s", name[:_MOST_MARKS], failure)
            return Reply(command=name, request_id=request_id, accepted=False, reason=str(failure))
        return Reply(command=name, request_id=request_id, accepted=True)


def _read(payload: bytes) -> dict[str, Any]:
    if len(payload) > MOST_BYTES:
        raise Failure(f"{len(payload)} bytes are no command; send at most {MOST_BYTES}")
    try:
        values = from_json(payload)
    except ValueError as error:
        raise Failure(f'not valid JSON ({error}); send an object such as {{"gain": 50}}') from None
    if not isinstance(values, dict):
        raise Failure('not a JSON object; send one such as {"gain": 50}')
    return values


def _request_id(values: dict[str, Any]) -> str | None:
    """Taken out of what was sent."""
    request_id = values.pop("request_id", None)
    if request_id is None or (isinstance(request_id, str) and len(request_id) <= _MOST_MARKS):
        return request_id
    raise Failure(f"request_id must be text of at most {_MOST_MARKS} marks; shorten it")


def _event_id(values: Mapping[str, Any]) -> str:
    if set(values) != {"event_id"} or not isinstance(values["event_id"], str):
        raise Failure('send the alert\'s event_id and nothing else, as {"event_id": "..."}')
    return str(values["event_id"])


def _no_pictures(_values: Mapping[str, Any]) -> None:
    raise Failure("pictures are not sent; set mqtt.pictures = true in the configuration")
