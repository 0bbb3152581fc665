"""Displacement of all regions on one even clock, as a CSV that modal analysis (pyOMA2) reads.

Columns: ``t_s``; ``<region>_<axis>_<unit>`` for every axis that was measured, all in mm where every
region has a scale, else all in px; ``interpolated``, 1 where any of the row's values was not measured.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import interpolate

from atomic_file import replaced
from calibration.scale import Axis
from failure import Failure
from runtime.replay.replay import RegionHistory
from runtime.vibration.levels import AXES
from runtime.vibration.record import FEWEST_SAMPLES, LONGEST_GAP_STEPS, Floats

_MEASURED = 0.75  # of a step: a measurement that is nearer than this is that sample's own


@dataclass(frozen=True, slots=True)
class ModalRecord:
    """``values`` (samples, channels) at even times (samples,); ``left_out`` names unmeasured axes."""

    t_s: Floats
    values: Floats
    channels: tuple[str, ...]
    interpolated: np.ndarray
    left_out: tuple[str, ...]

    @property
    def rate_hz(self) -> float:
        return float((len(self.t_s) - 1) / (self.t_s[-1] - self.t_s[0]))


def modal_record(regions: Sequence[RegionHistory]) -> ModalRecord:
    """The longest common part of all measured axes, gaps of up to 3 frames bridged by a cubic spline.

    Raises Failure where a region has a longer gap, nothing was measured, or too little.
    """
    t_s = np.array(regions[0].t_s)
    measured: list[tuple[RegionHistory, Axis, Floats]] = []
    left_out = []
    for history in regions:
        for axis, row in zip(AXES, (history.x_px, history.y_px), strict=True):
            values = np.array(row, dtype=np.float64)
            if np.isfinite(values).any():
                measured.append((history, axis, values))
            else:
                left_out.append(f"{history.name} {axis}")
    if not measured:
        raise Failure("no region was measured, so there are no samples to write; choose others")
    first = max(int(np.flatnonzero(np.isfinite(values))[0]) for *_, values in measured)
    end = min(int(np.flatnonzero(np.isfinite(values))[-1]) for *_, values in measured) + 1
    if end - first < FEWEST_SAMPLES:
        raise Failure(
            f"the regions were measured together in {max(end - first, 0)} frames only; modal analysis "
            f"needs {FEWEST_SAMPLES} at least: give a longer video, or leave a region out"
        )
    t_s = t_s[first:end]
    step_s = _step(t_s)
    count = round((t_s[-1] - t_s[0]) / step_s) + 1
    even_s = np.linspace(t_s[0], t_s[-1], count)
    in_mm = all(history.scale is not None for history, *_ in measured)
    columns, names = [], []
    interpolated = np.zeros(count, bool)
    for history, axis, values in measured:
        known = np.isfinite(values[first:end])
        known_s, known_px = t_s[known], values[first:end][known]
        _refuse_gaps(history, known_s, step_s)
        after = np.clip(np.searchsorted(known_s, even_s), 1, len(known_s) - 1)
        away_s = np.minimum(abs(even_s - known_s[after - 1]), abs(known_s[after] - even_s))
        interpolated |= away_s > _MEASURED * step_s
        even_px = interpolate.CubicSpline(known_s, known_px)(even_s)
        per_px = 1.0
        if in_mm and history.scale is not None:
            per_px = history.scale.mm(axis, 1.0)[0]
        columns.append(per_px * even_px)
        names.append(f"{history.name}_{axis}_{'mm' if in_mm else 'px'}")
    return ModalRecord(
        even_s, np.stack(columns, axis=1), tuple(names), interpolated, tuple(left_out)
    )


def write_record(path: Path, record: ModalRecord) -> None:
    """Write the CSV. Raises Failure when the disk refuses."""
    with replaced(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["t_s", *record.channels, "interpolated"])
        for t_s, row, flag in zip(record.t_s, record.values, record.interpolated, strict=True):
            table.writerow([f"{t_s:.9f}", *(f"{value:.9g}" for value in row), int(flag)])


def _step(t_s: Floats) -> float:
    """The mean step without lost frames: containers round times, which moves the median."""
    steps = np.diff(t_s)
    return float(steps[steps < 1.5 * np.median(steps)].mean())


def _refuse_gaps(history: RegionHistory, known_s: Floats, step_s: float) -> None:
    too_long = np.round(np.diff(known_s) / step_s) > LONGEST_GAP_STEPS  # frames jitter
    if not too_long.any():
        return
    at = int(np.argmax(too_long))
    why = f" ({'; '.join(sorted(history.reasons))})" if history.reasons else ""
    raise Failure(
        f'region "{history.name}" has no measurement from {known_s[at]:.2f} to {known_s[at + 1]:.2f} s'
        f"{why}, and modal analysis needs a record without gaps; cut the video there, or leave the "
        "region out of the configuration"
    )
