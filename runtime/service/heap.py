"""How the C library keeps the daemon's memory: so that it does not grow over months.

Left to itself, glibc raises the size from which memory is mapped, and later handed back, up to 32 MiB, and
gives many threads a heap of their own: pictures and what encodes clips of alerts then leave holes in each of
these heaps, which grow for hours.
"""

import ctypes

_TRIM, _MAPPED_FROM, _HEAPS = (
    -1,
    -3,
    -8,
)  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX of malloc.h
_MAPPED_FROM_BYTES = 4 << 20  # more than any array that a measured frame needs: mapping costs time
_TRIM_BYTES = 32 << 20  # as glibc would have it by then; much less costs a tenth of a frame's time
_MOST_HEAPS = 2


def keep_memory_flat() -> None:
    """For this process, before its threads begin. Does nothing where the C library isn't glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MAPPED_FROM, _MAPPED_FROM_BYTES)
    mallopt(_TRIM, _TRIM_BYTES)
    mallopt(_HEAPS, _MOST_HEAPS)
