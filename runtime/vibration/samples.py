"""The newest samples of a record in memory that does not grow."""

import numpy as np
from numpy.typing import NDArray

from runtime.vibration.record import Floats


class Samples:
    """Rows of a time stamp (ns) and ``columns`` values, oldest first; bounded in time and number.

    A table of twice the room is filled from the front; when it is full, what is still wanted moves to
    its front. So the newest rows always lie together, and reading them copies nothing.
    """

    def __init__(self, columns: int, kept_ns: int, most: int) -> None:
        self._kept_ns = kept_ns
        self._most = most
        self._t_ns = np.zeros(64, np.int64)
        self._values = np.zeros((columns, 64))
        self._first = self._end = 0

    def __len__(self) -> int:
        return self._end - self._first

    def append(self, t_ns: int, values: tuple[float, ...]) -> None:
        """Add a row and forget those that are too old or too many.

        A time that is not later than the one before (a file that starts over, a camera that came
        back) empties the table first.
        """
        if len(self) and t_ns <= self._t_ns[self._end - 1]:
            self.clear()
        if self._end == len(self._t_ns):
            self._make_room()
        self._t_ns[self._end] = t_ns
        self._values[:, self._end] = values
        self._end += 1
        self._first = max(self._first, self._end - self._most)
        while t_ns - self._t_ns[self._first] > self._kept_ns:
            self._first += 1

    def clear(self) -> None:
        self._first = self._end = 0

    def newest(self, within_ns: int) -> tuple[NDArray[np.int64], Floats]:
        """Time stamps (n,) and values (columns, n) of the newest time; views, to be read at once."""
        t_ns = self._t_ns[self._first : self._end]
        if len(t_ns) == 0:
            return t_ns, self._values[:, :0]
        first = self._first + int(np.searchsorted(t_ns, t_ns[-1] - within_ns))
        return self._t_ns[first : self._end], self._values[:, first : self._end]

    def _make_room(self) -> None:
        kept = slice(self._first, self._end)
        count = len(self)
        if 2 * count > len(self._t_ns):
            room = 2 * len(self._t_ns)
            self._t_ns, old_ns = np.zeros(room, np.int64), self._t_ns
            self._values, old = np.zeros((len(self._values), room)), self._values
        else:
            old_ns, old = self._t_ns, self._values
        self._t_ns[:count] = old_ns[kept]
        self._values[:, :count] = old[:, kept]
        self._first, self._end = 0, count
