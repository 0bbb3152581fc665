"""Threads that only show or keep give way to those that see and measure."""

import os
from contextlib import suppress

NICENESS = 5


def give_way() -> None:
    """The calling thread, and those that it starts, are less urgent than before (Linux: a thread's own)."""
    with suppress(OSError):
        os.nice(NICENESS)
