"""The bytes of a GStreamer buffer as an array, with one copy and without holding Python's lock.

PyGObject's own ways (``extract_dup``, ``map``) copy twice, the second time into ``bytes`` while every other
thread waits: 3.3 ms instead of 0.5 for a picture of full HD. So GStreamer's own function is called, with
the address that a buffer's hash is, as NVIDIA's DeepStream does it. Where that is not so, or there is no
such library, the slow way is taken.

The copy is needed: cameras have a few buffers, which must go back to them while frames still wait. Its memory
is that of a frame that nobody holds any more, where there is one: the system would clear new memory first,
which takes a third as long as the copy.
"""

import ctypes
import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

_Extract = Callable[[int, int, int, int], int]

MOST_REUSED = 8
"""Frames whose memory is kept for the next ones; in a jam, more are held by those who wait for them."""


def _holders(arrays: list[NDArray[np.uint8]]) -> list[int]:
    """How many references each array has, those of the list and of the count among them."""
    return [sys.getrefcount(one) for one in arrays]


_NO_OTHER = _holders([np.empty(1, np.uint8)])[0]
"""Of an array that only a list holds. Which references Python counts differs from version to version."""


class Memory:
    """Memory for one camera's frames, which is used again. For one thread; frames may go to any."""

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint8]] = []

    def take(self, size: int) -> NDArray[np.uint8]:
        """(size,) bytes of any content, which nobody else has as long as they, or a view of them, live."""
        self._kept = [one for one in self._kept if one.size == size]
        # Every view refers to its array, which then has more holders than the list.
        for place, holders in enumerate(_holders(self._kept)):
            if holders == _NO_OTHER:
                return self._kept[place][:]
        new = np.empty(size, np.uint8)
        if len(self._kept) < MOST_REUSED:
            self._kept.append(new)
        return new[:]


def bytes_of(buffer: Any, memory: Memory) -> NDArray[np.uint8]:
    """What a ``Gst.Buffer`` holds, (size,), in memory of its own, which may be written to."""
    size = buffer.get_size()
    content = memory.take(size)
    extract, address = _extract(), hash(buffer) % 2**64
    # What PyGObject prints of a buffer names its address: nothing is read from anywhere else.
    if extract is not None and f"GstBuffer at {address:#x})" in repr(buffer):
        content = content[: extract(address, 0, content.ctypes.data, size)]
    else:
        content[:] = np.frombuffer(buffer.extract_dup(0, size), np.uint8)
    return content


@functools.cache
def _extract() -> _Extract | None:
    """``gst_buffer_extract(buffer, offset, to, size)``, which tells how many bytes it copied."""
    try:
        function = ctypes.CDLL("libgstreamer-1.0.so.0").gst_buffer_extract
    except (OSError, AttributeError) as error:
        _log.info("GStreamer's buffers are copied twice: %s", error)
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)
    function.restype = ctypes.c_size_t
    return function
