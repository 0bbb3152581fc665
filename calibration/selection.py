"""Which runs are kept while more and more come by: a bounded number that differ most from each other.

Time, picture and amount of motion all count, so that calibration sees noon and dusk, and the lorry as
well as the quiet between two.
"""

from dataclasses import dataclass

import numpy as np

from calibration.motion import Floats, Seen

# What counts as much as the whole time since the first run was seen:
_PICTURE_GREY = 32.0  # RMS difference of the mean pictures in small
_MOTION_RATIO = 16.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that could be kept; ``number`` is for whoever stores its pictures."""

    number: int
    t_ns: int
    """Capture time of its first picture."""
    seen: Seen


class Selection:
    """Keeps up to ``wanted`` of the candidates that it is offered, in the order of their times.

    When there is one too many, one of the two that are most alike is dropped, and from then on a
    candidate that is no less alike to one that is kept is not taken at all. This is the threshold
    algorithm for k centres of a stream (Charikar, Chekuri, Feder and Motwani, "Incremental clustering
    and dynamic information retrieval", STOC 1997), with one centre dropped at a time.
    """

    def __init__(self, wanted: int) -> None:
        self.kept: list[Candidate] = []
        self._wanted = wanted
        self._alike = 0.0

    def takes(self, candidate: Candidate) -> bool:
        """Whether a candidate, later than all before, differs enough from what is kept."""
        return not self.kept or self._apart([*self.kept, candidate])[-1].min() > self._alike

    def keep(self, candidate: Candidate) -> Candidate | None:
        """Keep a candidate; returns the one that is dropped for it, which may be itself."""
        self.kept.append(candidate)
        if len(self.kept) <= self._wanted:
            return None
        apart = self._apart(self.kept)
        pair = np.unravel_index(int(apart.argmin()), apart.shape)
        self._alike = float(apart[pair])
        # Of the two, the one that the others miss less.
        others = np.sort(apart[list(pair)], axis=1)[:, 1:]
        return self.kept.pop(int(pair[int(others[:, 0].argmin())]))

    @staticmethod
    def _apart(candidates: list[Candidate]) -> Floats:
        """How much candidates differ from one another, (n, n); infinite on the diagonal."""
        t_ns = np.array([one.t_ns for one in candidates], dtype=np.float64)
        motion = np.log([one.seen.motion_px for one in candidates]) / np.log(_MOTION_RATIO)
        pictures = np.stack([one.seen.picture for one in candidates]).reshape(len(candidates), -1)
        apart: Floats = np.abs(t_ns[:, None] - t_ns) / max(np.ptp(t_ns), 1.0)
        apart += np.abs(motion[:, None] - motion)
        difference = pictures[:, None] - pictures
        apart += np.sqrt(np.square(difference).mean(axis=2)) / _PICTURE_GREY
        np.fill_diagonal(apart, np.inf)
        return apart
