"""The newest pictures, as JPEGs, in memory that does not grow.

A picture at most 960 px wide takes 30 to 130 KB as a JPEG of quality 85, most for fine texture. 15 a
second, raw and magnified, over 10 s before an event and 2 s until they are written are 360 pictures: 11
to 47 MB, which the 64 MB of ``evidence.memory_mb`` hold. Encoding one takes 1 to 4 ms of the evidence's
own thread; the full picture is never copied for it.
"""

import threading
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

WIDEST_PX = 960
QUALITY = 85

Picture = NDArray[np.uint8]
Kind = Literal["raw", "magnified"]


def keepable(image: Picture, widest_px: int | None = WIDEST_PX) -> Picture:
    """What may be kept of a picture, made smaller where it is wider than ``widest_px``.

    Every picture of evidence passes here before it is encoded, clips' and snapshots' alike: what must
    not be stored has to be removed here.
    """
    height, width = image.shape[:2]
    if widest_px is None or width <= widest_px:
        return image
    size = (widest_px, max(round(height * widest_px / width), 1))
    # Averages over two by two pixels take OpenCV a tenth of the time of averages over any other area.
    while min(image.shape[1] // size[0], image.shape[0] // size[1]) >= 2:
        image = _resized(image, (image.shape[1] // 2, image.shape[0] // 2), cv2.INTER_AREA)
    return image if image.shape[1::-1] == size else _resized(image, size, cv2.INTER_LINEAR)


def _resized(image: Picture, size: tuple[int, int], interpolation: int) -> Picture:
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """``jpeg`` of a picture taken at ``t_ns``, and its size before it was made smaller; the ``gain`` of a
    magnified one."""

    t_ns: int
    jpeg: bytes
    width_px: int
    height_px: int
    gain: float | None = None

    def decoded(self) -> Picture:
        found = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert found is not None, "it was encoded here"
        return np.asarray(found, np.uint8)


class PictureRing:
    """Raw and magnified pictures of the newest seconds; one thread adds, another reads and forgets.

    Beyond ``most_bytes`` the oldest are dropped, whatever still needs them, and counted.
    """

    def __init__(self, most_bytes: int) -> None:
        self.dropped = 0
        self.dropped_to_ns = -(2**62)
        """Time of the newest picture that was dropped for lack of room."""
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: dict[Kind, list[KeptPicture]] = {"raw": [], "magnified": []}
        self._newest: dict[Kind, tuple[Picture, float | None]] = {}
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """What the pictures take; never more than ``most_bytes``."""
        return self._bytes

    def add(self, kind: Kind, t_ns: int, image: Picture, gain: float | None = None) -> None:
        """Keep a picture; a time that goes back empties the ring first."""
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        good, encoded = cv2.imencode(".jpg", keepable(image), options)
        assert good, "OpenCV encodes every 8-bit picture"
        height, width = image.shape[:2]
        with self._lock:
            kept = self._kept[kind]
            if kept and t_ns <= kept[-1].t_ns:
                self._clear()
            kept.append(KeptPicture(t_ns, encoded.tobytes(), width, height, gain))
            self._bytes += len(encoded)
            self._newest[kind] = image, gain
            while self._bytes > self._most_bytes:
                self._drop_oldest()

    def newest(self, kind: Kind) -> tuple[Picture, float | None] | None:
        """The newest picture in its own size, for a snapshot, and its gain."""
        with self._lock:
            newest = self._newest.get(kind)
        return None if newest is None else (keepable(newest[0], None), newest[1])

    def raw_after(self, t_ns: int) -> KeptPicture | None:
        """The first raw picture later than ``t_ns``."""
        with self._lock:
            raw = self._kept["raw"]
            place = bisect_right(raw, t_ns, key=_time)
            return raw[place] if place < len(raw) else None

    def magnified_at(self, t_ns: int) -> KeptPicture | None:
        """The newest magnified picture that is not later than ``t_ns``."""
        with self._lock:
            magnified = self._kept["magnified"]
            place = bisect_right(magnified, t_ns, key=_time)
            return magnified[place - 1] if place else None

    def forget(self, before_ns: int) -> None:
        """Let go of what is older than ``before_ns``."""
        with self._lock:
            for kept in self._kept.values():
                place = bisect_right(kept, before_ns - 1, key=_time)
                self._bytes -= sum(len(one.jpeg) for one in kept[:place])
                del kept[:place]

    def _clear(self) -> None:
        for kept in self._kept.values():
            kept.clear()
        self._bytes, self.dropped_to_ns = 0, -(2**62)

    def _drop_oldest(self) -> None:
        oldest = min((kept for kept in self._kept.values() if kept), key=lambda kept: kept[0].t_ns)
        dropped = oldest.pop(0)
        self._bytes -= len(dropped.jpeg)
        self.dropped_to_ns = dropped.t_ns
        self.dropped += 1


def _time(picture: KeptPicture) -> int:
    return picture.t_ns
