"""Whose work is urgent, and how many threads do it."""

import os
from contextlib import suppress

import cv2
from threadpoolctl import threadpool_limits

NICENESS = 5


def give_way() -> None:
    """The calling thread, and those that it starts, are less urgent than before (Linux: a thread's own)."""
    with suppress(OSError):
        os.nice(NICENESS)


def stay_in_thread() -> None:
    """From now on numpy, scipy and OpenCV compute in the thread that calls them, everywhere in the process.

    Their helpers wait for the next call by spinning: on the small arrays of a measurement, that costs more
    than they ever save. Engines have threads of their own.
    """
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")
