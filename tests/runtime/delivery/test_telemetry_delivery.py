from collections.abc import Iterator
from pathlib import Path

import pytest

import runtime.delivery.telemetry
from runtime.delivery.outbox import Kind, Outbox
from runtime.delivery.telemetry import TelemetryDelivery

SUCCESS, NOT_AUTHORIZED, QUOTA = 0x00, 0x87, 0x97


class Network:
    """Remembers what it was given; packet ids count from 1."""

    def __init__(self) -> None:
        self.is_up = True
        self.sent: list[tuple[str, bytes, bool]] = []

    def send(self, topic: str, payload: bytes, replayed: bool) -> int:
        self.sent.append((topic, payload, replayed))
        return len(self.sent)

    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _ in self.sent]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(runtime.delivery.telemetry, "monotonic", one)
    return one


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.sqlite")
    yield box
    box.close()


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def delivery(outbox: Outbox, network: Network, clock: Clock) -> TelemetryDelivery:
    assert clock.now_s
    one = TelemetryDelivery(
        outbox, network.send, is_connected=lambda: network.is_up, replay_hz=50.0, retry_s=30.0
    )
    one.most_live, one.most_replayed = 2, 3
    return one


def put(delivery: TelemetryDelivery, *payloads: bytes) -> None:
    for payload in payloads:
        delivery.publish("now", payload, later="then")


def on_disk(outbox: Outbox) -> list[bytes]:
    return [row.payload for row in outbox.pending(1000, kind=Kind.TELEMETRY)]


def test_with_a_connection_nothing_touches_the_disk(
    delivery: TelemetryDelivery, network: Network, outbox: Outbox
) -> None:
    put(delivery, b"a", b"b")
    delivery.write(at_once=True)
    assert network.sent == [("now", b"a", False), ("now", b"b", False)]
    assert on_disk(outbox) == []
    assert not delivery.is_idle()
    assert delivery.acknowledged(1, SUCCESS)
    assert delivery.acknowledged(2, SUCCESS)
    assert delivery.is_idle()
    assert not delivery.acknowledged(3, SUCCESS), "nobody's"


def test_a_burst_waits_in_memory_for_the_answers_and_goes_as_what_is_now(
    delivery: TelemetryDelivery, network: Network, outbox: Outbox
) -> None:
    put(delivery, b"a", b"b", b"c", b"d")
    delivery.write()
    assert network.payloads() == [b"a", b"b"]
    delivery.acknowledged(2, SUCCESS)
    delivery.acknowledged(1, SUCCESS)
    assert network.sent[2:] == [("now", b"c", False), ("now", b"d", False)]
    assert on_disk(outbox) == []


def test_what_the_broker_leaves_unanswered_for_too_long_waits_on_the_disk(
    delivery: TelemetryDelivery,
    network: Network,
    outbox: Outbox,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime.delivery.telemetry, "MOST_SOON", 1)
    put(delivery, b"a", b"b", b"c", b"d")
    delivery.write()
    assert network.payloads() == [b"a", b"b"]
    assert on_disk(outbox) == [b"d"]
    network.is_up = False
    clock.now_s += 1
    delivery.write()
    assert on_disk(outbox) == [b"d", b"c"]


def test_what_waited_follows_under_another_topic_marked_and_within_its_share(
    delivery: TelemetryDelivery, network: Network, outbox: Outbox, clock: Clock
) -> None:
    network.is_up = False
    put(delivery, b"a", b"b", b"c", b"d")
    delivery.write(at_once=True)
    network.is_up = True
    clock.now_s += 1
    delivery.replay()
    assert network.sent == [("then", payload, True) for payload in (b"a", b"b", b"c")]
    put(delivery, b"new")
    assert network.sent[-1] == ("now", b"new", False), "it does not queue behind the old"
    for packet in (1, 2, 3):
        delivery.acknowledged(packet, SUCCESS)
    clock.now_s += 1
    delivery.replay()
    delivery.acknowledged(5, SUCCESS)
    delivery.write(at_once=True)
    assert on_disk(outbox) == []
    delivery.replay()
    assert not delivery.backlog
    assert network.payloads() == [b"a", b"b", b"c", b"new", b"d"]


def test_the_pace_holds_however_fast_the_broker_answers(
    delivery: TelemetryDelivery, network: Network, clock: Clock
) -> None:
    network.is_up = False
    put(delivery, *(bytes([number]) for number in range(200)))
    delivery.write(at_once=True)
    network.is_up = True
    for _ in range(200):
        clock.now_s += 0.01
        delivery.replay()
        for packet in range(1, len(network.sent) + 1):
            delivery.acknowledged(packet, SUCCESS)
    assert 95 <= len(network.sent) <= 106, "2 s at 50 a second, and what a pause allows"


def test_a_refused_message_is_counted_and_not_sent_again(
    delivery: TelemetryDelivery, network: Network, outbox: Outbox, clock: Clock
) -> None:
    network.is_up = False
    put(delivery, b"a")
    delivery.write(at_once=True)
    clock.now_s += 1
    delivery.replay()
    delivery.acknowledged(1, NOT_AUTHORIZED)
    delivery.write(at_once=True)
    assert on_disk(outbox) == []
    assert delivery.refused == 1


def test_a_broker_that_asks_for_patience_gets_it_and_then_the_message(
    delivery: TelemetryDelivery, network: Network, clock: Clock
) -> None:
    network.is_up = False
    put(delivery, b"a", b"b")
    delivery.write(at_once=True)
    clock.now_s += 1
    delivery.replay()
    delivery.acknowledged(1, QUOTA)
    delivery.acknowledged(2, SUCCESS)
    clock.now_s += 29
    delivery.replay()
    assert network.payloads() == [b"a", b"b"]
    clock.now_s += 2
    delivery.replay()
    assert network.payloads() == [b"a", b"b", b"a"]
    assert delivery.refused == 0


def test_a_disk_that_cannot_forget_does_not_have_it_sent_again(
    delivery: TelemetryDelivery,
    network: Network,
    outbox: Outbox,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network.is_up = False
    put(delivery, b"a")
    delivery.write(at_once=True)
    clock.now_s += 1
    delivery.replay()
    delivery.acknowledged(1, SUCCESS)
    monkeypatch.setattr(outbox, "done", lambda _: False)
    for _ in range(3):
        clock.now_s += 1
        delivery.write()
        delivery.replay()
    assert network.payloads() == [b"a"]
    monkeypatch.undo()
    delivery.write(at_once=True)
    assert on_disk(outbox) == []


def test_what_comes_faster_than_the_disk_takes_it_is_dropped_and_counted(
    delivery: TelemetryDelivery, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.delivery.telemetry, "MOST_IN_MEMORY", 3)
    network.is_up = False
    put(delivery, b"a", b"b", b"c", b"d", b"e")
    assert delivery.dropped == 2


def test_after_a_start_over_all_that_is_on_the_disk_is_sent_again(
    delivery: TelemetryDelivery, network: Network, clock: Clock
) -> None:
    network.is_up = False
    put(delivery, b"a", b"b")
    delivery.write(at_once=True)
    clock.now_s += 1
    delivery.replay()
    delivery.start_over()
    clock.now_s += 1
    delivery.replay()
    assert network.payloads() == [b"a", b"b"] * 2
    assert not delivery.acknowledged(1, SUCCESS)
