"""The bytes of a GStreamer buffer as an array, where they lie or with one copy, without holding Python's lock.

A buffer of a converter's pool may be held as long as a frame lives: the pool makes others meanwhile. Every
pipeline that is built here ends in such a converter, unless the camera sends what is wanted, so that nothing
is converted. A camera's own buffers are few, and must go back to it while frames still wait: these are copied,
into the memory of a frame that nobody holds any more, where there is one. The system would clear new memory
first, which takes a third as long as the copy.

PyGObject's own ways (``extract_dup``, ``map``) copy twice, the second time into ``bytes`` while every other
thread waits: 3.3 ms instead of 0.5 for a picture of full HD. So GStreamer's own functions are called, with
the address that a buffer's hash is, as NVIDIA's DeepStream does it. Where that is not so, or there is no
such library, the slow way is taken.
"""

import ctypes
import functools
import logging
import sys
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

MOST_REUSED = 8
"""Frames whose memory is kept for the next ones; in a jam, more are held by those who wait for them."""
MOST_HELD = 12
"""Buffers that are held at once; beyond, frames are copied. A pool never gives memory back, so a jam must
not make it large: with those that wait in the appsink, at most 28 of full HD are 175 MB."""

_POOLS = ("GstVideoBufferPool", "GstBufferPool")  # and not a driver's own kind
_READ = 1  # GST_MAP_READ


class _MapInfo(ctypes.Structure):
    """GstMapInfo, which has been the same since GStreamer 1.0."""

    _fields_ = (
        ("memory", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("maxsize", ctypes.c_size_t),
        ("user_data", ctypes.c_void_p * 4),
        ("reserved", ctypes.c_void_p * 4),
    )


def _holders(arrays: list[NDArray[np.uint8]]) -> list[int]:
    """How many references each array has, those of the list and of the count among them."""
    return [sys.getrefcount(one) for one in arrays]


_NO_OTHER = _holders([np.empty(1, np.uint8)])[0]
"""Of an array that only a list holds. Which references Python counts differs from version to version."""


class Memory:
    """Memory for one camera's frames. For one thread; frames may go to any."""

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint8]] = []
        self._held: list[weakref.finalize[..., Any]] = []
        self._pool: Any = None
        self._pool_grows = False

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

    def may_hold(self, buffer: Any) -> bool:
        """Whether a buffer can stay away from where it comes from as long as a frame lives."""
        if buffer.pool is not self._pool:
            # Memory of another kind, a device's, may not be written to.
            of_system = buffer.n_memory() == 1 and buffer.peek_memory(0).is_type("SystemMemory")
            self._pool, self._pool_grows = buffer.pool, of_system and _grows(buffer.pool)
        self._held = [one for one in self._held if one.alive]
        return self._pool_grows and len(self._held) < MOST_HELD

    def hold(self, buffer: Any, address: int) -> NDArray[np.uint8] | None:
        """The buffer's own bytes; it goes back once no view of them is left. None where they cannot be had."""
        library, info = _library(), _MapInfo()
        assert library is not None, "it told the address"
        if not library.gst_buffer_map(address, ctypes.byref(info), _READ):
            return None
        content = (ctypes.c_uint8 * info.size).from_address(info.data)
        back = weakref.finalize(content, _give_back, buffer, address, info)
        back.atexit = False  # frames may still be in use then, and nothing needs to go back
        self._held.append(back)
        return np.frombuffer(content, np.uint8)


def bytes_of(buffer: Any, memory: Memory) -> NDArray[np.uint8]:
    """What a ``Gst.Buffer`` holds, (size,), for as long as it is wanted; it may be written to."""
    library, address = _library(), hash(buffer) % 2**64
    # What PyGObject prints of a buffer names its address: nothing is read from anywhere else.
    told = library is not None and f"GstBuffer at {address:#x})" in repr(buffer)
    if told and memory.may_hold(buffer):
        held = memory.hold(buffer, address)
        if held is not None:
            return held
    size = buffer.get_size()
    content = memory.take(size)
    if library is not None and told:
        return content[: library.gst_buffer_extract(address, 0, content.ctypes.data, size)]
    content[:] = np.frombuffer(buffer.extract_dup(0, size), np.uint8)
    return content


def _grows(pool: Any) -> bool:
    """Whether a pool makes as many buffers as are wanted."""
    if pool is None or type(pool).__gtype__.name not in _POOLS:
        return False
    known, _, _, _, most = pool.config_get_params(pool.get_config())
    return bool(known and most == 0)


def _give_back(buffer: Any, address: int, info: _MapInfo) -> None:
    library = _library()
    assert library is not None, "it was mapped with it"
    library.gst_buffer_unmap(address, ctypes.byref(info))
    del buffer  # it was held until here


@functools.cache
def _library() -> ctypes.CDLL | None:
    """GStreamer, with the types of what is called here; None where it cannot be called."""
    try:
        library = ctypes.CDLL("libgstreamer-1.0.so.0")
        extract, to_map, unmap = (
            getattr(library, f"gst_buffer_{name}") for name in ("extract", "map", "unmap")
        )
    except (OSError, AttributeError) as error:
        _log.info("GStreamer's buffers are copied twice: %s", error)
        return None
    extract.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)
    extract.restype = ctypes.c_size_t
    to_map.argtypes = (ctypes.c_void_p, ctypes.POINTER(_MapInfo), ctypes.c_int)
    to_map.restype = ctypes.c_int
    unmap.argtypes, unmap.restype = (ctypes.c_void_p, ctypes.POINTER(_MapInfo)), None
    return library
