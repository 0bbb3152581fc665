"""The inbox: bounded for each kind, in order, and never in the way of who hands over."""

import threading
import time

import numpy as np

from runtime.evidence.inbox import Inbox, Sampled, Shot

PICTURE = np.zeros((4, 4, 3), np.uint8)


def test_each_kind_has_room_of_its_own_and_what_is_lost_is_counted() -> None:
    inbox = Inbox({Shot: 2, Sampled: 3})
    taken = [inbox.put(Shot(number, PICTURE)) for number in range(5)]
    assert taken == [True, True, False, False, False]
    assert all(inbox.put(Sampled(number, None, ())) for number in range(3))
    assert (inbox.lost[Shot], inbox.lost[Sampled]) == (3, 0)
    got = [inbox.get(0) for _ in range(6)]
    assert [type(one) for one in got] == [Shot, Shot, Sampled, Sampled, Sampled, type(None)]
    assert inbox.put(Shot(9, PICTURE)), "what was fetched makes room"


def test_a_picture_is_handed_over_without_being_copied() -> None:
    inbox = Inbox()
    inbox.put(Shot(1, PICTURE))
    shot = inbox.get(0)
    assert isinstance(shot, Shot)
    assert shot.image is PICTURE


def test_a_closed_inbox_gives_what_waits_and_takes_nothing_more() -> None:
    inbox = Inbox()
    inbox.put(Sampled(1, None, ()))
    inbox.close()
    assert not inbox.put(Sampled(2, None, ()))
    assert not inbox.done
    assert inbox.get(10) is not None
    assert inbox.done
    assert inbox.get(10) is None, "it does not wait for what cannot come"


def test_a_reader_that_waits_gets_what_comes() -> None:
    inbox = Inbox()
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(inbox.get(30)))
    reader.start()
    time.sleep(0.05)
    inbox.put(Sampled(7, None, ()))
    reader.join(10)
    assert got == [Sampled(7, None, ())]
