"""What a window costs at least in this design: its pixels made grey, the sums of one step, its result.

A part of ``python -m benchmarks.marks``.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from runtime.config import Region
from runtime.displacement import Displacement
from runtime.frame import Frame

Bytes = NDArray[np.uint8]
Pixels = NDArray[np.float32]
Whole = NDArray[np.int64]

_BLUE, _GREEN, _RED = np.float32(0.114), np.float32(0.587), np.float32(0.299)


@dataclass(frozen=True, slots=True)
class Floor:
    """Processor time for one window of one frame, in microseconds."""

    kernel_us: float
    """Cut out, made grey, less the template, four sums and the squares: compiled with numba."""
    result_us: float
    """To make a Displacement of ready numbers."""

    @property
    def whole_us(self) -> float:
        return self.kernel_us + self.result_us


def floor(regions: Sequence[Region], frames: Sequence[Frame], runs: int) -> Floor:
    """Medians of some runs; the regions have one size."""
    from numba import njit

    count, height, width = len(regions), regions[0].height, regions[0].width
    corners = np.array([(one.y, one.x) for one in regions])
    planes = np.random.default_rng(1).normal(size=(count, 3, height * width)).astype(np.float32)
    grey, sums = np.empty_like(planes[:, 0]), np.empty((count, 5), np.float32)
    look, add = njit(fastmath=True)(_grey), njit(fastmath=True)(_sums)
    names, numbers = [one.name for one in regions], [0.01] * count

    def kernel(frame: Frame) -> None:
        look(frame.image, corners, height, width, grey)
        add(grey, planes, sums)

    def results(frame: Frame) -> None:
        _results(names, frame.t_capture_ns, numbers)

    kernel(frames[0])  # compiles it
    took_s = [[_took_s(way, frames) for way in (kernel, results)] for _ in range(runs)]
    windows = len(frames) * count
    kernel_us, result_us = (1e6 * np.median(took_s, axis=0) / windows).tolist()
    return Floor(kernel_us, result_us)


def _took_s(way: Callable[[Frame], object], frames: Sequence[Frame]) -> float:
    begun_s = time.process_time()
    for frame in frames:
        way(frame)
    return time.process_time() - begun_s


def _grey(image: Bytes, corners: Whole, height: int, width: int, grey: Pixels) -> None:
    """Grey levels (windows, pixels) of windows whose corners are (windows, 2), y and x.

    For numba: slices that begin at 0, and floats made first, are what it vectorises best.
    """
    lines = image.reshape(len(image), -1)
    colour = np.empty((height, 3 * width), np.float32)
    for row in range(len(corners)):
        top, left = corners[row]
        for y in range(height):
            seen, line = lines[top + y][3 * left : 3 * (left + width)], colour[y]
            for x in range(3 * width):
                line[x] = seen[x]
        flat, out = colour.reshape(-1), grey[row]
        for x in range(height * width):
            out[x] = _BLUE * flat[3 * x] + _GREEN * flat[3 * x + 1] + _RED * flat[3 * x + 2]


def _sums(grey: Pixels, planes: Pixels, sums: Pixels) -> None:
    """Of each window less its template, with x slope, y slope, template, 1 and itself; (windows, 5).

    planes (windows, 3, pixels): x slope, y slope, template. For numba.
    """
    for row in range(len(grey)):
        seen, across, down, template = grey[row], planes[row, 0], planes[row, 1], planes[row, 2]
        x_sum = y_sum = template_sum = plain_sum = squares = np.float32(0)
        for at in range(len(seen)):
            less = seen[at] - template[at]
            x_sum += less * across[at]
            y_sum += less * down[at]
            template_sum += less * template[at]
            plain_sum += less
            squares += less * less
        sums[row, 0], sums[row, 1], sums[row, 2] = x_sum, y_sum, template_sum
        sums[row, 3], sums[row, 4] = plain_sum, squares


def _results(names: list[str], t_ns: int, numbers: list[float]) -> tuple[Displacement, ...]:
    """As the meter makes them."""
    nothing = repeat(None)
    columns = (names, repeat(t_ns), *[numbers] * 4, repeat(True), nothing, numbers, numbers)
    rest = len(Displacement._fields) - len(columns)
    rows = zip(*columns, *[nothing] * rest, strict=False)
    return tuple(map(Displacement._make, rows))
