"""What a window costs at least in this design: its pixels made grey and the sums of one step, compiled; and
all that is neither pixels nor least squares, as it is.

A part of ``python -m benchmarks.marks``.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from runtime.config import Region
from runtime.displacement import Displacement, DisplacementMeter
from runtime.displacement.batch import Batch, Fits
from runtime.displacement.template_keeper import TemplateKeeper
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
    rest_us: float
    """All of the measurement but what becomes of pixels: standard errors, what is refused, results."""

    @property
    def whole_us(self) -> float:
        return self.kernel_us + self.rest_us


def floor(regions: Sequence[Region], frames: Sequence[Frame], learning: int, runs: int) -> Floor:
    """Medians of some runs over the frames after the first ``learning``.

    The regions have one size, and none is a reference.
    """
    kernel = _kernel(regions, frames[0])
    took_s = [
        [_took_s(way, frames[learning:]) for way in (kernel, _rest(regions, frames[:learning]))]
        for _ in range(runs)
    ]
    windows = len(frames[learning:]) * len(regions)
    kernel_us, rest_us = (1e6 * np.median(took_s, axis=0) / windows).tolist()
    return Floor(kernel_us, rest_us)


def _took_s(way: Callable[[Sequence[Frame]], object], frames: Sequence[Frame]) -> float:
    begun_s = time.process_time()
    way(frames)
    return time.process_time() - begun_s


def _kernel(regions: Sequence[Region], first: Frame) -> Callable[[Sequence[Frame]], None]:
    from numba import njit

    count, height, width = len(regions), regions[0].height, regions[0].width
    corners = np.array([(one.y, one.x) for one in regions])
    planes = np.random.default_rng(1).normal(size=(count, 3, height * width)).astype(np.float32)
    grey, sums = np.empty_like(planes[:, 0]), np.empty((count, 5), np.float32)
    look, add = njit(fastmath=True)(_grey), njit(fastmath=True)(_sums)

    def kernel(frames: Sequence[Frame]) -> None:
        for frame in frames:
            look(frame.image, corners, height, width, grey)
            add(grey, planes, sums)

    kernel([first])  # compiles it
    return kernel


def _rest(
    regions: Sequence[Region], learning: Sequence[Frame]
) -> Callable[[Sequence[Frame]], tuple[Displacement, ...]]:
    """The measurement after these frames, to which all others look like the last of them.

    What it returns says what the last of its frames came to.
    """
    meter, count, fit = DisplacementMeter(regions), len(regions), Batch.fit
    fits: list[Fits] = []

    def kept(*given: Any) -> Fits:
        fits.append(fit(*given))
        return fits[-1]

    with patch.object(Batch, "fit", kept):
        for frame in learning:
            meter.measure(frame)

    def rest(frames: Sequence[Frame]) -> tuple[Displacement, ...]:
        with (
            patch.object(Batch, "expose", lambda *_: [None] * count),
            patch.object(Batch, "fit", lambda *_: replace(fits[-1], problem=[None] * count)),
            patch.object(Batch, "excess", lambda *_: np.ones((count, 2))),
            patch.object(TemplateKeeper, "follow", lambda *_: False),
        ):
            for frame in frames[:-1]:
                meter.measure(frame)
            return meter.measure(frames[-1])

    return rest


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
