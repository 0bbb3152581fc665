"""Backends that run the network, behind one small protocol."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Follow = tuple[float, float]
"""How far the two low-passes of the graph's temporal filter follow this frame, each 0..1."""

Coming = Callable[[float], NDArray[np.uint8] | None]
"""Waits so many seconds at most for the frame that will probably be next; None when none came."""


class Engine(Protocol):
    """Runs the streaming graph; keeps its state between calls, where the graph runs."""

    @property
    def description(self) -> str:
        """What runs, where, and why nothing faster does; for logs and messages."""
        ...

    @property
    def size_px(self) -> tuple[int, int] | None:
        """(width, height) of the only pictures that it takes; None for any."""
        ...

    def reset(self) -> None:
        """Forget all frames."""
        ...

    def step(
        self,
        image: NDArray[np.uint8],
        gain: float,
        follow: Follow,
        coming: Coming | None = None,
    ) -> NDArray[np.uint8]:
        """Magnify one frame, (height, width, 3) uint8 in and out.

        The first frame after a reset, or after its size changed, must come with ``gain`` 1 and
        ``follow`` (1, 1): it fills the state. An engine with memory of its own asks ``coming`` while it
        computes, and fetches that frame meanwhile; it must stay as it is until the next call, which may
        well be of another frame.
        """
        ...

    def close(self) -> None:
        """Give back what it holds; it magnifies nothing any more. Later calls do nothing."""
        ...
