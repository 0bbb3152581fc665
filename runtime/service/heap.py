"""How the C library keeps the daemon's memory: so that it does not grow over months.

Left to itself, glibc raises the size from which memory is mapped, and later handed back, up to 32 MiB, and
gives many threads a heap of their own: pictures and what encodes clips of alerts then leave holes in each of
these heaps, which grow for hours.
"""

import ctypes
import logging

_log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h
_SETTINGS = {
    _M_MMAP_THRESHOLD: 4
    << 20,  # more than any array that a measured frame needs: mapping costs time
    _M_TRIM_THRESHOLD: 32
    << 20,  # as glibc would have it by then; much less costs time in each frame
    _M_ARENA_MAX: 2,
}


def keep_memory_flat() -> None:
    """For this process, before its threads begin. Does nothing where the C library isn't glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    refused = [setting for setting, value in _SETTINGS.items() if not mallopt(setting, value)]
    if refused:
        _log.warning("the C library refuses settings %s: memory may grow for hours", refused)
