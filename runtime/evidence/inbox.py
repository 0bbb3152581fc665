"""What other threads hand over to the evidence: in order, bounded, never waiting."""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.displacement import Displacement
from runtime.messages import AlertMessage


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture (height, width, 3) as it came from the camera, or magnified ``gain`` times; not a copy."""

    t_ns: int
    image: NDArray[np.uint8]
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class Sampled:
    """The displacements of one frame; ``unix_s`` is its time of day, None where it has none."""

    t_ns: int
    unix_s: float | None
    displacements: tuple[Displacement, ...]


Item = Shot | Sampled | AlertMessage

ROOM: dict[type, int] = {Shot: 8, Sampled: 5000, AlertMessage: 1000}
"""Of each kind, how many may wait: 8 pictures of full HD are 50 MB, 5000 samples 20 s of 240 Hz."""


class Inbox:
    """A queue with room of its own for each kind; what finds no room is lost, and counted."""

    def __init__(self, room: Mapping[type, int] = ROOM) -> None:
        self.lost: Counter[type] = Counter()
        self._room = room
        self._items: deque[Item] = deque()
        self._waiting: Counter[type] = Counter()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Item) -> bool:
        """Hand over; False when it was lost. Never waits for the reader."""
        kind = type(item)
        with self._changed:
            if self._closed or self._waiting[kind] >= self._room[kind]:
                self.lost[kind] += 1
                return False
            self._waiting[kind] += 1
            self._items.append(item)
            self._changed.notify()
            return True

    def get(self, timeout_s: float) -> Item | None:
        """The oldest item; None when there is none within the time, or none will come any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._waiting[type(item)] -= 1
            return item

    def close(self) -> None:
        """Take nothing more; what waits can still be fetched."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def waiting(self, kind: type) -> int:
        """How many of a kind have not been fetched."""
        return self._waiting[kind]

    @property
    def done(self) -> bool:
        """Closed, and everything was fetched."""
        with self._changed:
            return self._closed and not self._items
