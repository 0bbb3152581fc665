"""Collects calibration frames from any stream of pictures into a folder, in bounded memory and space."""

import shutil
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from atomic_file import replaced
from calibration.contact_sheet import cell, sheet
from calibration.frames import (
    FEWEST_FRAMES,
    FrameTable,
    StoredFrame,
    StoredRun,
    picture_path,
    run_folder,
    write_picture,
    write_table,
)
from calibration.motion import Run, look
from calibration.selection import Candidate, Selection
from failure import Failure

Picture = NDArray[np.uint8]

_LONGEST_STEP = 1.8
"""Times the run's median step: with a longer one, a frame between is missing."""


class Collector:
    """Cuts a stream into runs, and keeps in ``folder`` those that are usable and differ most.

    On the disk there are never more runs than wanted, and one.
    """

    def __init__(self, folder: Path, *, runs: int, frames_per_run: int) -> None:
        self.problems: Counter[str] = Counter()
        """How many runs could not be used, and why."""
        self._folder = folder
        self._frames_per_run = frames_per_run
        self._selection = Selection(runs)
        self._stored: dict[int, tuple[tuple[StoredFrame, ...], Picture]] = {}  # with its sheet cell
        self._run: list[tuple[int, Picture]] = []
        self._next = 0
        self._size_px = (0, 0)

    @property
    def kept(self) -> int:
        """Runs that would be kept if the stream ended now."""
        return len(self._selection.kept)

    def add(self, t_ns: int, picture: Picture) -> None:
        """Take the next frame: its capture time and its picture, (height, width, 3) uint8.

        All pictures have one size. Raises Failure when the disk refuses.
        """
        self._run.append((t_ns, picture))
        if len(self._run) < self._frames_per_run:
            return
        times = [t for t, _ in self._run]
        run = np.stack([picture for _, picture in self._run])
        self._run = []
        steps = np.diff(times)
        if steps.max() > _LONGEST_STEP * np.median(steps):
            self.problems["with missing frames"] += 1
            return
        seen = look(run)
        if seen.problem is not None:
            self.problems[seen.problem] += 1
            return
        candidate = Candidate(self._next, times[0], seen)
        if self._selection.takes(candidate):
            self._next += 1
            self._store(candidate, times, run)

    def _store(self, candidate: Candidate, times: list[int], run: Run) -> None:
        self._size_px = (run.shape[2], run.shape[1])
        dropped = self._selection.keep(candidate)
        if dropped is candidate:
            return
        place = self._place(candidate)
        frames = tuple(
            StoredFrame(t_ns=t_ns, sha256=write_picture(picture_path(place, index), picture))
            for index, (t_ns, picture) in enumerate(zip(times, run, strict=True))
        )
        self._stored[candidate.number] = (frames, cell(run))
        if dropped is not None:
            shutil.rmtree(self._place(dropped))
            del self._stored[dropped.number]

    def _place(self, candidate: Candidate) -> Path:
        return self._folder / f"candidate-{candidate.number}"

    def finish(self, source: str) -> FrameTable:
        """Number the runs, and write the contact sheet and, last, the table.

        Raises Failure when there are too few frames for a calibration; it says why runs were left out.
        """
        kept = self._selection.kept
        count = len(kept) * self._frames_per_run
        if count < FEWEST_FRAMES:
            why = ", ".join(f"{number} {problem}" for problem, number in self.problems.items())
            raise Failure(
                f"{source}: only {count} frames can be used for calibration, and {FEWEST_FRAMES} are "
                f"needed (runs of {self._frames_per_run} frames left out: {why or 'none'}); film "
                "longer, with more light, or while more vibrates"
            )
        runs, cells, captions = [], [], []
        for number, candidate in enumerate(kept):
            frames, picture = self._stored[candidate.number]
            self._place(candidate).rename(run_folder(self._folder, number))
            light_grey, motion_px = candidate.seen.light_grey, candidate.seen.motion_px
            runs.append(StoredRun(light_grey=light_grey, motion_px=motion_px, frames=frames))
            since_s = (candidate.t_ns - kept[0].t_ns) / 1e9
            cells.append(picture)
            captions.append(
                f"{number:02d}  {since_s:.1f} s  light {light_grey:.0f}  motion {motion_px:.2f} px"
            )
        with replaced(self._folder / "contact-sheet.jpg") as scratch:
            cv2.imwrite(str(scratch), sheet(cells, captions))
        table = FrameTable(
            source=source,
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            size_px=self._size_px,
            runs=tuple(runs),
        )
        write_table(self._folder, table)
        return table
