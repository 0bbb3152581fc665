"""Pictures that are ordered from afar: which, how large, and when not."""

import json
import time
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from videos import moving

from runtime.config import Magnification
from runtime.controls import Controls
from runtime.frame import Frame
from runtime.last_seen import MOST_BYTES, LastSeen
from runtime.magnification import Magnified
from runtime.remote import Remote
from runtime.views import bounded_jpeg


class Ordered:
    """What an order sends, through the command of that name."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.free = True
        self.last = LastSeen(self._send)
        self.remote = Remote(
            Controls(Magnification()), lambda _event_id: None, snapshot=self.last.order
        )

    def _send(self, jpeg: bytes) -> bool:
        if self.free:
            self.sent.append(jpeg)
        return self.free

    def refused(self, values: dict[str, Any]) -> str:
        reply = self.remote.answer("snapshot", json.dumps(values).encode())
        assert not reply.accepted
        return str(reply.reason)

    def picture(self, values: dict[str, Any]) -> NDArray[np.uint8]:
        reply = self.remote.answer("snapshot", json.dumps(values).encode())
        assert reply.accepted, reply.reason
        picture = cv2.imdecode(np.frombuffer(self.sent[-1], np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        return np.asarray(picture, np.uint8)


def frame() -> Frame:
    return next(iter(moving(np.zeros(1))))


def magnified() -> Magnified:
    """A white picture, which no frame of the tests is."""
    one = frame()
    return Magnified(one, np.full_like(one.image, 255), Magnification())


def test_the_view_that_is_ordered_is_sent() -> None:
    one = Ordered()
    one.last.see(frame())
    assert one.picture({}).mean() < 250, "nothing was magnified yet"
    one.last.see_magnified(magnified())
    assert one.picture({}).mean() > 250
    assert one.picture({"view": "magnified"}).mean() > 250
    assert one.picture({"view": "raw", "request_id": "7"}).mean() < 250
    height, width = frame().image.shape[:2]
    assert one.picture({"view": "beside"}).shape[:2] == (height, 2 * width)
    assert one.picture({"view": "below"}).shape[:2] == (2 * height, width)


@pytest.mark.parametrize(
    "values", [{"view": "back"}, {"view": 1}, {"view": "raw", "x": 1}, {"x": 1}]
)
def test_an_order_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    one = Ordered()
    one.last.see(frame())
    assert 'one of "magnified", "raw", "beside", "below"' in one.refused(values)
    assert one.sent == []


def test_no_old_picture_is_sent_as_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Ordered()
    assert "delivers no picture now" in one.refused({})
    one.last.see(frame())
    one.last.see_magnified(magnified())
    later_s = time.monotonic() + 60
    monkeypatch.setattr("runtime.last_seen.time.monotonic", lambda: later_s)
    assert "delivers no picture now" in one.refused({})
    one.last.see(frame())  # the camera is back, and nothing was magnified since
    assert one.picture({}).mean() < 250


def test_one_is_sent_after_the_other() -> None:
    one = Ordered()
    one.last.see(frame())
    one.free = False
    assert "still on its way" in one.refused({})


def test_without_the_setting_no_picture_is_sent() -> None:
    remote = Remote(Controls(Magnification()), lambda _event_id: None)
    reply = remote.answer("snapshot", b"{}")
    assert not reply.accepted
    assert "mqtt.pictures = true" in str(reply.reason)


@pytest.mark.parametrize("side", [64, 960])
@pytest.mark.parametrize("most_bytes", [MOST_BYTES, 2_000])
def test_no_picture_is_larger_than_it_may_be(side: int, most_bytes: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    jpeg = bounded_jpeg(noise, most_bytes)
    assert len(jpeg) <= most_bytes
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) is not None
