"""Publishers to the tests' brokers, and what waits for them."""

import json
from collections.abc import Callable

from broker import Listener, wait_until

from runtime.messages import State
from runtime.mqtt.publisher import Publisher

STATE = State(state="online", version="1", source="test")

Listen = Callable[..., Listener]
Publish = Callable[..., Publisher]


def event_ids(listener: Listener) -> list[str]:
    return [json.loads(payload)["event_id"] for payload in listener.payloads("/alerts")]


def connected(publisher: Publisher) -> None:
    wait_until(lambda: publisher.counts().connected, "the publisher connects")


def drained(publisher: Publisher, timeout_s: float = 15.0) -> None:
    wait_until(lambda: publisher.counts().queued == 0, "the outbox is empty", timeout_s)
