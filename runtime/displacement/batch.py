"""Least squares for many regions at once: a frame costs a few calls for some thousand pixels.

Regions of equal size share a batch. Per region and frame: cut out at the whole pixels of where the step is
linearised; convert to grey; subtract the moved template; multiply the difference with the step's
planes and with itself. Everything else is arithmetic on a few numbers.
Steps' linearisation points lie 1/4 px apart, and the one nearest to the last displacement is nearly
always near enough to the next; larger motion takes more steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

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

# Planes, and products of the difference with them: the step's own, ones, and the difference.
_BLUR, _TEMPLATE, _ONES, _DIFFERENCE = 0, 3, PLANES, PLANES + 1
_OF_ANSWER = slice(_BLUR + 1, _DIFFERENCE)  # those that x, y, gain and offset scale

_GRID_PX = 0.25
_MOST_STEPS = 6
_LONGEST_STEP_PX = 1.0
_LEAST_GAIN = 0.1
_FEWEST_BLOCKS = 12  # for the blocks' sums to tell anything
_DARK_GREY, _SATURATED_GREY, _MOST_CLIPPED = 3, 253, 0.25
_AT_ONCE_PX = 16384  # so that they stay in a core's own cache, which had 2 MB where this was found

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
    """Regions' pictures explained; arrays are (regions, ...), valid for those that were asked for, where
    there is no problem."""

    moved_px: Floats  # (regions, 2) from the template
    noise_gain: Floats  # (regions, 2) standard error for residuals of one grey level
    gain: Floats
    offset_grey: Floats
    residual_grey: Floats
    blur: Floats  # square of the defocus that the template would need, in its texture's own wave
    blur_share: Floats  # of the unexplained squares that this defocus explains
    flat: Flags  # whether it has too little texture along both axes
    far_px: Floats  # of the place from where the last step began, along the farther axis
    problem: Problems

    def take(self, rows: Sequence[int], newer: "Fits") -> None:
        """The newer fits of these rows in the place of the older."""
        for one in fields(Fits):
            older, values = getattr(self, one.name), getattr(newer, one.name)
            for row in rows:
                older[row] = values[row]


class Batch:
    """Regions of one size, where they were looked at last, and the steps taken from there."""

    def __init__(self, samples: Sequence[Box]) -> None:
        count, shape = len(samples), samples[0].shape
        pixels = shape[0] * shape[1]
        self._corner_px: Whole = np.array([(box.left, box.top) for box in samples])
        self._shape = shape
        self._every = np.arange(count)
        self._templates: list[Template | None] = [None] * count
        at_once = min(max(_AT_ONCE_PX // pixels, 1), count)
        self._parts = [slice(row, row + at_once) for row in range(0, count, at_once)]
        self._colour_32 = np.zeros((at_once, pixels, 3), np.float32)
        self._grey = np.zeros((at_once, pixels), np.float32)
        self._planes = np.zeros((count, PLANES + 2, pixels), np.float32)
        self._planes[:, _ONES] = 1.0
        self._products = np.zeros((count, PLANES + 2, 1), np.float32)
        left, top = (self._corner_px % BLOCK_PX).T
        self._down = _blocks(top, shape[0])
        self._across = _blocks(left, shape[1]).transpose(0, 2, 1)
        self._filled = self._down.any(axis=2).sum(axis=1) * self._across.any(axis=1).sum(axis=1)
        # Of two axes by regions in memory, which numpy is quicker with than with pairs.
        self._point = np.full((2, count), np.nan).T
        self._seen_px: Whole = self._corner_px.copy()  # the corner of what is cut out
        self._outside = np.zeros(count, bool)
        self._solution = np.zeros((count, 8, 5))
        self._sums = np.ones((count, 5, 1))  # what the solution is multiplied with
        self._linear = np.zeros((4, count))
        self._curve = np.zeros((count, 4, 7))
        self._blur_scale = np.ones(count)
        self._noise_gain = np.full((2, count), np.inf).T

    def expose(self, image: Picture, guess_px: Floats) -> Problems:
        """Look at all regions, near (regions, 2) displacements; why the light on each is of no use."""
        self._aim(image, self._every, guess_px)
        problems: Problems = [None] * len(self._every)
        windows = self._windows(image)
        for part in self._parts:
            levels = self._look(windows, part)
            darkest, brightest, _, _ = cv2.minMaxLoc(levels)
            if brightest >= _SATURATED_GREY or darkest <= _DARK_GREY:
                suspect = levels.max(axis=1) >= _SATURATED_GREY
                suspect |= levels.min(axis=1) <= _DARK_GREY
                for row in np.flatnonzero(suspect).tolist():
                    problems[part.start + row] = _clipped(levels[row])
        return problems

    def fit(self, image: Picture, rows: Rows, guess_px: Floats | None, textured: Floats) -> Fits:
        """Explain the pictures of ``rows``, which all have a template, beginning at ``guess_px``.

        None is where ``expose`` looked, which was called with this picture. Axes whose noise gain is
        not below ``textured`` (regions,) do not count as motion.
        """
        if guess_px is not None:
            self._look_again(image, rows, guess_px[rows])
        fits = self._solved(textured)
        moves = rows
        for _ in range(_MOST_STEPS - 1):
            goes_on = fits.far_px > LINEAR_PX
            if not goes_on.any():
                break
            goes_on &= (fits.gain >= _LEAST_GAIN) & ~self._outside
            moves = moves[goes_on[moves]]
            if not moves.size:
                break
            point = self._point[moves]
            step_px = (fits.moved_px[moves] - point).clip(-_LONGEST_STEP_PX, _LONGEST_STEP_PX)
            self._look_again(image, moves, point + step_px)
            fits = self._solved(textured)
        lost = (fits.gain < _LEAST_GAIN) | self._outside
        if lost.any():
            for row in rows[lost[rows]].tolist():
                fits.problem[row] = OUT_OF_PICTURE if self._outside[row] else NO_CONTRAST
        return fits

    def excess(self, fits: Fits) -> Floats:
        """Variance of x and y from sums over blocks, over that for white noise; (regions, 2).

        After ``fit``. NaN where too few blocks, or no more residual than rounding, tell nothing.
        """
        answer = self._linear.T[:, None].astype(np.float32)
        weights = self._solution[:, :2, :4].astype(np.float32)
        squares = np.empty((len(self._every), 2))
        for part in self._parts:
            columns = self._planes[part, _OF_ANSWER]
            shares = weights[part] @ columns
            shares *= self._planes[part, _DIFFERENCE, None] - answer[part] @ columns
            shares = shares.reshape(-1, 2, *self._shape)
            blocks = self._down[part, None] @ shares @ self._across[part, None]
            sums = blocks.reshape(-1, 2, 1, blocks[0, 0].size)
            squares[part] = (sums @ sums.transpose(0, 1, 3, 2))[:, :, 0, 0]
        tells = (self._filled >= _FEWEST_BLOCKS) & (fits.residual_grey > QUANTISATION_GREY)
        tells &= np.isfinite(self._noise_gain).all(axis=1)
        white = fits.residual_grey[tells, None] * self._noise_gain[tells]
        excess = np.full((len(self._every), 2), np.nan)
        excess[tells] = squares[tells] / white**2
        return excess

    def renew(self, row: int, template: Template) -> None:
        """The region has this template from now on."""
        self._templates[row] = template
        self._point[row] = np.nan

    def _aim(self, image: Picture, rows: Rows, guess_px: Floats) -> list[int]:
        """Take the steps whose linearisation points are nearest to the guesses (rows, 2).

        Returns the rows whose steps are others than before.
        """
        point = np.rint(guess_px / _GRID_PX) * _GRID_PX
        other = point != self._point[rows]
        if not other.any():
            return []
        others = other.any(axis=1)
        changed, point = rows[others], point[others]
        whole = np.rint(point)
        corner = self._corner_px[changed] + whole.astype(np.int64)
        furthest = np.subtract(image.shape[1::-1], self._shape[::-1])
        seen = np.maximum(np.minimum(corner, furthest), 0)
        self._seen_px[changed], self._outside[changed] = seen, (corner != seen).any(axis=1)
        self._point[changed] = point
        turned: list[int] = changed.tolist()
        for row, (x, y) in zip(turned, (point - whole).tolist(), strict=True):
            template = self._templates[row]
            if template is None:
                self._point[row] = np.nan  # it is looked at, and cannot be fitted
                continue
            step = template.step((x, y))
            self._planes[row, :PLANES] = step.planes
            self._solution[row], self._curve[row] = step.solution, step.curve
            self._blur_scale[row], self._noise_gain[row] = step.blur_scale, step.noise_gain
        return turned

    def _windows(self, image: Picture) -> Picture:
        """All places of a region as a view: indexing it by y and x is one call for many regions."""
        if image.strides[1:] != (3, 1):
            image = np.ascontiguousarray(image)
        (height, width), down = self._shape, image.strides[0]
        places = image.shape[0] - height + 1, image.shape[1] - width + 1
        shape, strides = (*places, height, 3 * width), (down, 3, down, 1)
        if image.flags.c_contiguous:  # then it takes a fifth of the time
            return np.ndarray(shape, np.uint8, image, strides=strides)
        return as_strided(image, shape, strides, writeable=False)

    def _look(self, windows: Picture, part: slice) -> Picture:
        """Cut these rows out, make them grey, and multiply; returns what was cut out, (rows, bytes)."""
        x, y = self._seen_px[part].T
        levels: Picture = windows[y, x].reshape(len(x), -1)
        colour_32, grey = self._colour_32[: len(levels)], self._grey[: len(levels)]
        np.copyto(colour_32, levels.reshape(colour_32.shape))
        cv2.cvtColor(colour_32, cv2.COLOR_BGR2GRAY, dst=grey)
        planes = self._planes[part]
        difference = planes[:, _DIFFERENCE]
        np.subtract(grey, planes[:, _TEMPLATE], out=difference)
        np.matmul(planes, difference[:, :, None], out=self._products[part])
        return levels

    def _look_again(self, image: Picture, rows: Rows, guess_px: Floats) -> None:
        """Look where the guesses (rows, 2) are now, at the rows that were not looked at there."""
        changed = self._aim(image, rows, guess_px)
        if changed:
            windows = self._windows(image)
            few = 2 * len(changed) <= len(self._every)
            for part in [slice(row, row + 1) for row in changed] if few else self._parts:
                self._look(windows, part)

    def _solved(self, textured: Floats) -> Fits:
        """What the last look at each region says."""
        self._sums[:, :4] = self._products[:, _OF_ANSWER]
        blur = self._products[:, _BLUR, 0].astype(np.float64)
        squares = self._products[:, _DIFFERENCE, 0].astype(np.float64)
        solved = np.ascontiguousarray((self._solution @ self._sums)[:, :, 0].T)
        linear = self._linear = solved[:4]
        squares += (linear * solved[4:]).sum(axis=0)
        np.maximum(squares, 1e-9, out=squares)
        counts = textured > self._noise_gain.T
        gain = np.maximum(1.0 + linear[2], _LEAST_GAIN)
        moved_px = (linear[:2] * counts / gain).clip(-2 * LINEAR_PX, 2 * LINEAR_PX)
        bent = powers(moved_px) * gain
        answer = linear - (self._curve @ bent.T[:, :, None])[:, :, 0].T
        gain = np.maximum(1.0 + answer[2], _LEAST_GAIN)
        moved_px = answer[:2] * counts / gain
        residual_grey = np.sqrt(squares / (self._planes.shape[2] - 4))
        return Fits(
            moved_px=self._point + moved_px.T,
            noise_gain=(self._noise_gain.T / gain).T,
            gain=1.0 + answer[2],
            offset_grey=answer[3],
            residual_grey=np.maximum(residual_grey, QUANTISATION_GREY),
            blur=blur * self._blur_scale / gain,
            blur_share=blur * blur / squares,
            flat=~(counts[0] | counts[1]),
            far_px=np.maximum(*np.abs(moved_px)),
            problem=[None] * len(textured),
        )


def _blocks(first: Whole, side_px: int) -> Pixels:
    """(regions, blocks, side): 1 where a line of the region is in the codec's block, which its first
    line enters at ``first``."""
    block = (first[:, None] + np.arange(side_px)) // BLOCK_PX
    number = np.arange(-(-(side_px + BLOCK_PX - 1) // BLOCK_PX))
    lines: Pixels = (number[:, None] == block[:, None]).astype(np.float32)
    return lines


def _clipped(levels: Picture) -> str | None:
    """What is wrong with the exposure, judged on green; levels are (bytes,) of one region."""
    green = levels[1::3]
    if np.count_nonzero(green >= _SATURATED_GREY) > _MOST_CLIPPED * green.size:
        return SATURATED
    if np.count_nonzero(green <= _DARK_GREY) > _MOST_CLIPPED * green.size:
        return DARK
    return None
