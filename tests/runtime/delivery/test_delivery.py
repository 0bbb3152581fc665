from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.delivery.alerts import AlertDelivery, Answer
from runtime.delivery.outbox import Outbox

SUCCESS, NOBODY, NOT_AUTHORIZED, QUOTA = 0x00, 0x10, 0x87, 0x97


class Network:
    """Remembers what it was given; packet ids count from 1."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.replayed: list[bool] = []
        self.takes_more = True

    def send(self, _topic: str, payload: bytes, replayed: bool) -> int | None:
        if not self.takes_more:
            return None
        self.sent.append(payload)
        self.replayed.append(replayed)
        return len(self.sent)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.sqlite")
    for payload in (b"a", b"b", b"c"):
        box.put("t", payload)
    yield box
    box.close()


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def delivery(outbox: Outbox, network: Network) -> AlertDelivery:
    return AlertDelivery(outbox, network.send, window=2, retry_s=1000.0)


def test_no_more_than_the_window_is_on_its_way(delivery: AlertDelivery, network: Network) -> None:
    delivery.feed()
    delivery.feed()
    assert network.sent == [b"a", b"b"]
    assert delivery.acknowledged(1, SUCCESS, "") is Answer.DELIVERED
    delivery.feed()
    assert network.sent == [b"a", b"b", b"c"]


def test_nothing_newer_overtakes_what_a_lost_connection_left(
    delivery: AlertDelivery, network: Network
) -> None:
    delivery.window = 5
    network.takes_more = False
    delivery.feed()
    network.takes_more = True
    delivery.window = 1
    delivery.feed()
    delivery.connection_lost()
    delivery.window = 5
    delivery.feed()
    assert network.sent == [b"a"], "paho sends it again; the others wait"
    delivery.acknowledged(1, SUCCESS, "")
    delivery.settle()
    delivery.feed()
    assert network.sent == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("reason", "answer"), [(NOBODY, Answer.NOBODY_LISTENS), (QUOTA, Answer.LATER)]
)
def test_what_was_not_taken_waits_and_goes_first(
    delivery: AlertDelivery, network: Network, outbox: Outbox, reason: int, answer: Answer
) -> None:
    delivery.feed()
    assert delivery.acknowledged(1, reason, "") is answer
    delivery.acknowledged(2, reason, "")
    delivery.feed()
    assert network.sent == [b"a", b"b"], "held back for a while"
    assert delivery.is_idle()
    delivery.try_now()
    delivery.feed()
    assert network.sent[2:] == [b"a"], "one alone tries"
    delivery.acknowledged(3, SUCCESS, "")
    delivery.settle()
    delivery.feed()
    assert network.sent[3:] == [b"b", b"c"]
    assert outbox.counts().parked == 0


def test_a_refused_alert_is_parked_and_the_next_goes_on(
    delivery: AlertDelivery, network: Network, outbox: Outbox
) -> None:
    delivery.feed()
    assert delivery.acknowledged(1, NOT_AUTHORIZED, "Not authorized") is Answer.REFUSED
    delivery.settle()
    delivery.feed()
    assert network.sent == [b"a", b"b", b"c"]
    assert [reason for _, reason in outbox.parked(10)] == ["Not authorized"]


def test_a_late_answer_to_what_was_sent_before_a_start_over_is_ignored(
    delivery: AlertDelivery, network: Network, outbox: Outbox
) -> None:
    delivery.feed()
    delivery.start_over()
    assert delivery.acknowledged(1, SUCCESS, "") is Answer.STRANGE
    delivery.feed()
    assert network.sent == [b"a", b"b", b"a", b"b"]
    delivery.settle()
    assert outbox.counts().pending == 3


def test_an_answered_alert_is_not_sent_again_before_the_outbox_knows(
    delivery: AlertDelivery, network: Network
) -> None:
    delivery.feed()
    delivery.acknowledged(1, SUCCESS, "")
    delivery.acknowledged(2, SUCCESS, "")
    delivery.start_over()
    delivery.feed()
    delivery.feed()
    assert network.sent == [b"a", b"b", b"c"]
    assert not delivery.is_idle()


def test_what_waited_for_a_connection_is_marked(
    delivery: AlertDelivery, network: Network, outbox: Outbox
) -> None:
    delivery.window = 9
    delivery.connected()
    outbox.put("t", b"d")
    delivery.feed()
    assert dict(zip(network.sent, network.replayed, strict=True)) == {
        b"a": True,
        b"b": True,
        b"c": True,
        b"d": False,
    }


def test_after_going_back_what_was_parked_goes_when_all_answers_are_in(
    delivery: AlertDelivery, network: Network, outbox: Outbox
) -> None:
    delivery.feed()
    delivery.acknowledged(1, NOT_AUTHORIZED, "Not authorized")
    delivery.settle()
    outbox.unpark()
    delivery.go_back()
    delivery.feed()
    assert network.sent == [b"a", b"b"], "one is on its way"
    delivery.acknowledged(2, SUCCESS, "")
    delivery.settle()
    delivery.feed()
    assert network.sent == [b"a", b"b", b"a", b"c"]


def test_an_accepted_alert_stays_for_a_while_and_goes_again_if_the_connection_is_lost(
    outbox: Outbox, network: Network
) -> None:
    delivery = AlertDelivery(outbox, network.send, window=2, retry_s=1000.0, keep_s=1000.0)
    delivery.feed()
    for packet in (1, 2):
        delivery.acknowledged(packet, SUCCESS, "")
    delivery.settle()
    delivery.feed()
    assert (delivery.accepted, outbox.counts().pending) == (2, 3)
    delivery.acknowledged(3, SUCCESS, "")
    assert delivery.is_idle()
    delivery.connection_lost()
    delivery.feed()
    assert network.sent == [b"a", b"b", b"c", b"a", b"b"]
    for packet in (4, 5):
        delivery.acknowledged(packet, SUCCESS, "")
    delivery.settle(at_once=True)
    assert outbox.counts().pending == 1
