"""Least squares for many regions at once: a frame costs a few calls, whatever their number.

Regions of equal size share a batch. Per region and frame: cut out at the whole pixels of the last
displacement; convert to grey; subtract the moved template; multiply the difference with the step's
planes, with ones, and with itself. Everything else is arithmetic on a few numbers.
Steps' linearisation points lie 1/4 px apart, and the one nearest to the last displacement is nearly
always near enough to the next; larger motion takes more steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from runtime.displacement.box import Box, Floats, Picture, Pixels
from runtime.displacement.template import PLANES, QUANTISATION_GREY, Template, powers

LINEAR_PX = 0.15
"""From a linearisation point: within it, one step is enough."""
BLOCK_PX = 8
"""Of video codecs' transforms, on a grid from the picture's corner."""

_SUMS, _BLUR = slice(3), 3  # in the products: with x slope, y slope, template; with blur

_GRID_PX = 0.25
_MOST_STEPS = 6
_LONGEST_STEP_PX = 1.0
_LEAST_GAIN = 0.1
_FEWEST_BLOCKS = 12  # for the blocks' sums to tell anything
_DARK_GREY, _SATURATED_GREY, _MOST_CLIPPED = 3, 253, 0.25

SATURATED = "saturated: lower the exposure"
DARK = "too dark: raise the exposure or add light"
OUT_OF_PICTURE = "moved: out of the picture"
NO_CONTRAST = "changed: its contrast is lost"

Rows = NDArray[np.intp]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
Problems = list[str | None]
"""Why each region cannot be measured; None where it can."""


@dataclass(slots=True)
class Fits:
    """Each region's picture explained; arrays are (regions, ...), valid where there is no problem."""

    moved_px: Floats  # (regions, 2) from the template
    noise_gain: Floats  # (regions, 2) standard error for residuals of one grey level
    gain: Floats
    offset_grey: Floats
    residual_grey: Floats
    blur: Floats  # square of the defocus that the template would need, in its texture's own wave
    blur_share: Floats  # of the unexplained squares that this defocus explains
    flat: Flags  # whether it has too little texture along both axes
    settled: Flags  # whether the last step began near enough to its end
    problem: Problems

    @classmethod
    def empty(cls, count: int) -> "Fits":
        moved, noise_gain = np.zeros((2, count, 2))
        gain, offset, residual, blur, share = np.zeros((5, count))
        flat, settled = np.zeros((2, count), bool)
        arrays = (moved, noise_gain, gain, offset, residual, blur, share, flat, settled)
        return cls(*arrays, problem=[None] * count)


class Batch:
    """Regions of one size, and the steps that they took last."""

    def __init__(self, samples: Sequence[Box]) -> None:
        count, shape = len(samples), samples[0].shape
        self._corner_px: Whole = np.array([(box.left, box.top) for box in samples])
        self._shape = shape
        self._every = np.arange(count)
        pixels = shape[0] * shape[1]
        self._colour_32 = np.zeros((count, pixels, 3), np.float32)
        self._grey = np.zeros((count, pixels), np.float32)
        self._difference = np.zeros((count, pixels), np.float32)
        # The steps' own, which are large and change often: nothing of them is copied.
        self._planes: list[Pixels] = [np.zeros((PLANES, pixels), np.float32)] * count
        self._ones = np.ones(pixels, np.float32)
        left, top = (self._corner_px % BLOCK_PX).T
        self._down = _blocks(top, shape[0])
        self._across = _blocks(left, shape[1]).transpose(0, 2, 1)
        self._filled = self._down.any(axis=2).sum(axis=1) * self._across.any(axis=1).sum(axis=1)
        self._whole: Whole = np.zeros((count, 2), np.int64)
        self._point = np.full((count, 2), np.nan)
        self._inverse, self._normal = np.zeros((2, count, 4, 4))
        self._bias, self._answer = np.zeros((2, count, 4))
        self._curve = np.zeros((count, 4, 7))
        self._blur_squares, self._fineness = np.ones((2, count))
        self._noise_gain = np.full((count, 2), np.inf)

    def expose(self, image: Picture, guess_px: Floats) -> Problems:
        """Cut all regions out, near (regions, 2) displacements; why each cannot be looked at."""
        colour, problems = self._cut(image, self._every, np.rint(guess_px).astype(np.int64))
        levels = colour.reshape(len(problems), -1)
        darkest, brightest, _, _ = cv2.minMaxLoc(levels)
        if brightest >= _SATURATED_GREY or darkest <= _DARK_GREY:
            suspect = (levels.max(axis=1) >= _SATURATED_GREY) | (levels.min(axis=1) <= _DARK_GREY)
            for row in np.flatnonzero(suspect):
                problems[row] = problems[row] or _clipped(colour[row])
        return problems

    def fit(
        self,
        image: Picture,
        rows: Rows,
        templates: Sequence[Template | None],
        guess_px: Floats,
        textured: Floats,
    ) -> Fits:
        """Explain the pictures of ``rows``, which all have a template, beginning at ``guess_px``.

        Axes whose noise gain is not below ``textured`` (regions,) do not count as motion. ``expose``
        was called with this picture.
        """
        count = len(self._every)
        fits = Fits.empty(count)
        guess_px = guess_px.copy()
        for _ in range(_MOST_STEPS):
            point = np.rint(guess_px[rows] / _GRID_PX) * _GRID_PX
            rows, point = self._cut_again(image, rows, point, fits)
            if not rows.size:
                break
            self._aim(rows, point, templates)
            self._solve(rows, fits, textured)
            step_px = fits.moved_px[rows] - point
            distance_px = np.abs(step_px).max(axis=1)
            fits.settled[rows] = distance_px <= 2 * LINEAR_PX
            goes_on = distance_px > LINEAR_PX
            lost = fits.gain[rows] < _LEAST_GAIN
            if lost.any():
                for row in rows[lost]:
                    fits.problem[row] = NO_CONTRAST
                goes_on &= ~lost
            if not goes_on.any():
                break
            rows = rows[goes_on]
            guess_px[rows] = (point + np.clip(step_px, -_LONGEST_STEP_PX, _LONGEST_STEP_PX))[
                goes_on
            ]
        return fits

    def excess(self, fits: Fits) -> Floats:
        """Variance of x and y from sums over blocks, over that for white noise; (regions, 2).

        After ``fit``. NaN where too few blocks, or no more residual than rounding, tell nothing.
        """
        count, (height, width) = len(self._every), self._shape
        answer, inverse = self._answer.astype(np.float32), self._inverse.astype(np.float32)
        shares = np.empty((count, 2, height * width), np.float32)
        for row, (planes, its) in enumerate(zip(self._planes, shares, strict=True)):
            columns = planes[:3]
            residual = self._grey[row] - columns[2]
            residual -= answer[row, :3] @ columns + answer[row, 3]
            np.matmul(inverse[row, :2, :3], columns, out=its)
            its += inverse[row, :2, 3, None]
            its *= residual
        blocks = (
            self._down[:, None] @ shares.reshape(count, 2, height, width) @ self._across[:, None]
        )
        sums = blocks.reshape(count, 2, -1).astype(np.float64)
        tells = (self._filled >= _FEWEST_BLOCKS) & (fits.residual_grey > QUANTISATION_GREY)
        tells &= np.isfinite(self._noise_gain).all(axis=1)
        white = fits.residual_grey[tells, None] * self._noise_gain[tells]
        excess = np.full((count, 2), np.nan)
        excess[tells] = np.square(sums[tells]).sum(axis=2) / white**2
        return excess

    def forget(self, row: int) -> None:
        """The region has another template now."""
        self._point[row] = np.nan

    def _cut(self, image: Picture, rows: Rows, whole: Whole) -> tuple[Picture, Problems]:
        """Take grey levels at these displacements; a region that leaves the picture has a problem.

        Returns what was cut out, too, (rows, height, width, 3).
        """
        height, width = self._shape
        corner = self._corner_px[rows] + whole
        furthest = (image.shape[1] - width, image.shape[0] - height)
        nearest = np.clip(corner, 0, furthest)
        # All places of the window as a view: indexing it is one call for all regions.
        down, across, _ = image.strides
        windows = as_strided(
            image,
            (furthest[1] + 1, furthest[0] + 1, height, width, 3),
            (down, across, *image.strides),
            writeable=False,
        )
        colour = windows[nearest[:, 1], nearest[:, 0]]
        self._whole[rows] = whole
        colour_32 = self._colour_32[: len(rows)]
        np.copyto(colour_32, colour.reshape(colour_32.shape))
        if len(rows) == len(self._every):
            cv2.cvtColor(colour_32, cv2.COLOR_BGR2GRAY, dst=self._grey)
        else:
            self._grey[rows] = cv2.cvtColor(colour_32, cv2.COLOR_BGR2GRAY)
        problems: Problems = [None] * len(rows)
        for row in np.flatnonzero((nearest != corner).any(axis=1)).tolist():
            problems[row] = OUT_OF_PICTURE
        return colour, problems

    def _cut_again(
        self, image: Picture, rows: Rows, point: Floats, fits: Fits
    ) -> tuple[Rows, Floats]:
        """Cut out again what a step moved by whole pixels; what is left to be measured."""
        whole = np.rint(point).astype(np.int64)
        elsewhere = (whole != self._whole[rows]).any(axis=1)
        if not elsewhere.any():
            return rows, point
        moved = rows[elsewhere]
        _, problems = self._cut(image, moved, whole[elsewhere])
        for row, problem in zip(moved, problems, strict=True):
            fits.problem[row] = problem
        stays = np.array([fits.problem[row] is None for row in rows], bool)
        return rows[stays], point[stays]

    def _aim(self, rows: Rows, point: Floats, templates: Sequence[Template | None]) -> None:
        """Take the steps whose linearisation points are ``point``."""
        other = (point != self._point[rows]).any(axis=1)
        if not other.any():
            return
        for row, at in zip(rows[other], point[other], strict=True):
            template = templates[row]
            assert template is not None, "only regions that have begun are fitted"
            x, y = (at - self._whole[row]).tolist()
            step = template.step((x, y))
            self._planes[row] = step.planes
            self._inverse[row], self._normal[row] = step.inverse, step.normal
            self._bias[row], self._curve[row] = step.bias, step.curve
            self._blur_squares[row], self._fineness[row] = step.blur_squares, step.fineness
            self._noise_gain[row] = step.noise_gain
        self._point[rows] = point

    def _solve(self, rows: Rows, fits: Fits, textured: Floats) -> None:
        """One step for each of the rows."""
        at = slice(None) if len(rows) == len(self._every) else rows  # a slice copies nothing
        difference = self._difference[: len(rows)]
        products = np.empty((len(rows), PLANES), np.float32)
        for row, one, its in zip(rows.tolist(), difference, products, strict=True):
            planes = self._planes[row]
            np.subtract(self._grey[row], planes[2], out=one)
            np.dot(planes, one, out=its)
        sums = np.hstack([products[:, _SUMS], (difference @ self._ones)[:, None]])
        sums, blur = sums.astype(np.float64), products[:, _BLUR].astype(np.float64)
        squares = (difference[:, None] @ difference[:, :, None])[:, 0, 0].astype(np.float64)
        linear = (self._inverse[at] @ sums[:, :, None])[:, :, 0] + self._bias[at]
        normal_linear = (self._normal[at] @ linear[:, :, None])[:, :, 0]
        squares += (linear * (normal_linear - 2 * sums)).sum(axis=1)
        np.maximum(squares, 0.0, out=squares)
        counts = self._noise_gain[at] < textured[at, None]
        fits.flat[at] = ~counts.any(axis=1)
        moved_px, gain = _motion(linear, counts)
        bent = powers(np.clip(moved_px, -2 * LINEAR_PX, 2 * LINEAR_PX)) * gain
        answer = linear - (self._curve[at] @ bent[:, :, None])[:, :, 0]
        moved_px, gain = _motion(answer, counts)
        self._answer[at] = linear
        fits.moved_px[at] = self._point[at] + moved_px
        fits.noise_gain[at] = self._noise_gain[at] / gain
        fits.gain[at] = 1.0 + answer[:, 2]
        fits.offset_grey[at] = answer[:, 3]
        residual_grey = np.sqrt(squares / (difference.shape[1] - 4))
        fits.residual_grey[at] = np.maximum(residual_grey, QUANTISATION_GREY)
        blur_squares = self._blur_squares[at]
        fits.blur[at] = 2 * blur / (blur_squares * gain[:, 0]) * self._fineness[at]
        fits.blur_share[at] = blur**2 / (blur_squares * np.maximum(squares, 1e-9))


def _blocks(first: Whole, side_px: int) -> Pixels:
    """(regions, blocks, side): 1 where a line of the region is in the codec's block, which its first
    line enters at ``first``."""
    block = (first[:, None] + np.arange(side_px)) // BLOCK_PX
    number = np.arange(-(-(side_px + BLOCK_PX - 1) // BLOCK_PX))
    lines: Pixels = (number[:, None] == block[:, None]).astype(np.float32)
    return lines


def _motion(answer: Floats, counts: Flags) -> tuple[Floats, Floats]:
    """Motion along the axes that count, (rows, 2), and gain, (rows, 1)."""
    gain = np.maximum(1.0 + answer[:, 2:3], _LEAST_GAIN)
    return np.where(counts, answer[:, :2] / gain, 0.0), gain


def _clipped(colour: Picture) -> str | None:
    """What is wrong with the exposure, judged on green."""
    most = _MOST_CLIPPED * colour.shape[0] * colour.shape[1]
    if np.count_nonzero(colour[:, :, 1] >= _SATURATED_GREY) > most:
        return SATURATED
    if np.count_nonzero(colour[:, :, 1] <= _DARK_GREY) > most:
        return DARK
    return None
