"""The newest samples of all regions, and the CSV file that keeps an event's."""

import csv
import os
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.scale import Scale
from runtime.displacement import Displacement
from runtime.evidence.inbox import Sampled
from runtime.messages import utc_text
from runtime.vibration.levels import AXES

MOST_HELD = 200_000
"""Displacements that are held at most, of all regions together: 70 MB, 52 s of 32 regions at 120 Hz."""


class SampleRing:
    """The newest seconds of samples, oldest first; for one thread."""

    def __init__(self) -> None:
        self._rows: list[Sampled] = []

    @property
    def newest(self) -> Sampled | None:
        return self._rows[-1] if self._rows else None

    def add(self, row: Sampled) -> None:
        """Keep a frame's samples; its time is later than that of the one before."""
        self._rows.append(row)
        if len(self._rows) * max(len(row.displacements), 1) > MOST_HELD:
            del self._rows[: len(self._rows) // 8]

    def since(self, t_ns: int) -> list[Sampled]:
        return self._rows[bisect_left(self._rows, t_ns, key=_time) :]

    def record(
        self, region: str, from_ns: int, to_ns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times (n,) before ``to_ns`` (s, negative), x and y (2, n) in px, NaN where missing."""
        first = bisect_left(self._rows, from_ns, key=_time)
        end = bisect_right(self._rows, to_ns, key=_time)
        found = [(row.t_ns, _of(row, region)) for row in self._rows[first:end]]
        known = [(t_ns, one) for t_ns, one in found if one is not None]
        t_s = np.array([(t_ns - to_ns) / 1e9 for t_ns, _ in known])
        moved = np.array([(one.x_px, one.y_px) for _, one in known], np.float64).reshape(-1, 2)
        return t_s, moved.T

    def forget(self, before_ns: int) -> None:
        del self._rows[: bisect_left(self._rows, before_ns, key=_time)]

    def clear(self) -> None:
        self._rows.clear()


class SamplesFile:
    """A CSV that grows while an event goes on. A cell is empty where its value is missing.

    ``t_utc`` is the time of day, ``t_monotonic_s`` the camera's steady clock, which orders frames and
    never jumps. Per region: displacement since the first picture with its standard error, and the
    standard error of this one measurement (``noise``), in pixels and, with a scale, in millimetres;
    then whether it is valid, and the reason where it is not.
    """

    def __init__(
        self, path: Path, regions: Sequence[str], scales: Mapping[str, Scale | None]
    ) -> None:
        """Raises OSError, as all that follows, when the disk refuses."""
        self.rows = 0
        self._regions = tuple(regions)
        self._scales = scales
        self._file = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(["t_utc", "t_monotonic_s", *self._names()])

    def write(self, row: Sampled) -> None:
        cells: list[str] = [
            "" if row.unix_s is None else utc_text(row.unix_s),
            f"{row.t_ns / 1e9:.6f}",
        ]
        for region in self._regions:
            one = _of(row, region)
            assert one is not None, "every frame has every configured region"
            cells += self._cells(one)
        self._csv.writerow(cells)
        self.rows += 1

    def flush(self) -> None:
        """What was written survives the process."""
        self._file.flush()

    def close(self) -> None:
        """What was written survives a power cut."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _names(self) -> list[str]:
        names = []
        for region in self._regions:
            units = ["px"] if self._scales.get(region) is None else ["px", "mm"]
            for unit in units:
                names += [
                    f"{region}_{axis}{part}_{unit}"
                    for part in ("", "_se", "_noise")
                    for axis in AXES
                ]
            names += [f"{region}_valid", f"{region}_reason"]
        return names

    def _cells(self, one: Displacement) -> list[str]:
        values = (one.x_px, one.y_px, one.x_se_px, one.y_se_px, one.x_noise_px, one.y_noise_px)
        cells = [_text(value) for value in values]
        scale = self._scales.get(one.region)
        if scale is not None:
            cells += [_text(value) for value in _in_mm(one, scale)]
        return [*cells, str(int(one.valid)), one.reason or ""]


def _in_mm(one: Displacement, scale: Scale) -> list[float | None]:
    """In the order of the pixels' columns. Noise is without the scale's error, as it changes nothing."""
    moved: list[float | None] = []
    errors: list[float | None] = []
    noises: list[float | None] = []
    for axis, value, se, noise in zip(
        AXES,
        (one.x_px, one.y_px),
        (one.x_se_px, one.y_se_px),
        (one.x_noise_px, one.y_noise_px),
        strict=True,
    ):
        value_mm, se_mm = (None, None) if value is None else scale.mm(axis, value, se or 0.0)
        moved.append(value_mm)
        errors.append(se_mm)
        noises.append(None if noise is None else scale.mm(axis, noise)[0])
    return [*moved, *errors, *noises]


def mended(path: Path) -> bool:
    """Cut off the line that a killed process left unfinished; whether a sample is left. Raises OSError."""
    with path.open("rb+") as file:
        lines = file.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            file.truncate(sum(len(line) for line in lines[:-1]))
            lines.pop()
        os.fsync(file.fileno())
    return len(lines) > 1


def _of(row: Sampled, region: str) -> Displacement | None:
    return next((one for one in row.displacements if one.region == region), None)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _time(row: Sampled) -> int:
    return row.t_ns
