"""How long frames take to each station, and how often they come: the newest of them, in fixed memory.

For one writing thread and any number of readers, without a lock: a slot of a list is replaced as a whole.
Adding costs less than a microsecond.
"""

import math
from itertools import pairwise
from statistics import median

from pydantic import BaseModel, ConfigDict

NEWEST = 1024
"""Frames that the percentiles are of: 17 s at 60 Hz."""


class Spread(BaseModel):
    """Of the newest ``of`` frames."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: int
    p50_ms: float
    p99_ms: float
    slowest_ms: float


class Latency:
    """From capture to one station."""

    def __init__(self) -> None:
        self._newest_ns = [0] * NEWEST
        self._count = 0

    def add(self, took_ns: int) -> None:
        self._newest_ns[self._count % NEWEST] = took_ns
        self._count += 1

    def spread(self) -> Spread | None:
        """None before the first frame. A percentile is a frame's own latency, never one between two."""
        of = min(self._count, NEWEST)
        if of == 0:
            return None
        newest = sorted(self._newest_ns[:of])
        p50_ns, p99_ns = (newest[math.ceil(share * of) - 1] for share in (0.5, 0.99))
        return Spread(of=of, p50_ms=p50_ns / 1e6, p99_ms=p99_ns / 1e6, slowest_ms=newest[-1] / 1e6)


class Pace:
    """How many frames a second pass a station, from the newest of them."""

    def __init__(self) -> None:
        self._newest_ns = [0] * 128
        self._count = 0

    def add(self, t_ns: int) -> None:
        self._newest_ns[self._count % len(self._newest_ns)] = t_ns
        self._count += 1

    def age_s(self, now_ns: int) -> float | None:
        """Since the newest; None before the first."""
        if self._count == 0:
            return None
        return (now_ns - max(self._newest_ns)) / 1e9

    def step_s(self) -> float | None:
        """The usual time between two, whatever silence is now; None before the second."""
        known = sorted(self._newest_ns[: min(self._count, len(self._newest_ns))])
        if len(known) < 2:
            return None
        return median(later - one for one, later in pairwise(known)) / 1e9

    def rate_hz(self, now_ns: int) -> float | None:
        """None before the second. The silence since the newest counts once it is longer than a step."""
        known = sorted(self._newest_ns[: min(self._count, len(self._newest_ns))])
        if len(known) < 2:
            return None
        step_ns = (known[-1] - known[0]) / (len(known) - 1)
        return 1e9 / max(step_ns, now_ns - known[-1] - step_ns, 1.0)
