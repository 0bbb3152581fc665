"""Displacement of every configured region on every frame, from raw pictures.

The mathematics of one step is in ``registration.py``; here is what makes a measurement of it. A
frame costs one matrix product: the steps' linearisation points lie 1/4 px apart, and the one
nearest to the last displacement is nearly always near enough to the next. Larger motion takes more
steps, or a first guess from phase correlation.

Zero is the region in its first usable picture. One noisy picture is a poor reference, so it is
replaced by the average of the first ``LEARNED_FRAMES`` usable ones, each moved back onto the first
by its own measured displacement; zero stays where it was, and the first picture's noise is part of
every displacement as one constant.

Two standard errors are published:

- ``x_se_px`` is for x_px against the true displacement since the first usable picture.
- ``x_noise_px`` leaves out the first picture's share, which never changes. It is what limits the
  measurement of vibrations, and smaller than ``x_se_px`` by about the square root of 2.

Both come from what each picture's fit leaves unexplained, times the estimator's own response to
noise; for white noise that is the Cramer-Rao bound. Video compression leaves less noise, but
blocks of it that are wrong together; where sums over blocks show it, the errors grow
(cluster-robust variance: Liang and Zeger, Biometrika 73, 1986). No residual can show what a codec
takes away evenly: H.264 drops much of a motion of some hundredths of a pixel, and what is left
reads too small.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from failure import Failure
from runtime.config import Region
from runtime.frame import Frame
from runtime.registration import (
    EDGE_PX,
    QUANTISATION_GREY,
    Box,
    Floats,
    Picture,
    Pixels,
    Reference,
    Step,
    moved_back,
    noise_of,
    whole_and_part,
)

LEARNED_FRAMES = 32
"""Usable pictures that the reference is averaged from."""
LARGEST_SE_PX = 0.2
"""An axis with a larger standard error is not published: the region is too flat along it."""
LARGEST_MOTION_PX = 16.0
"""Displacements beyond this, or beyond half the region, are refused."""

_MARGIN_PX = 8  # of reference around the region, where the picture has it
_GRID_PX = 0.25  # between linearisation points
_LINEAR_PX = 0.15  # from a linearisation point: within it, one step is enough
_MOST_STEPS = 6
_DARK_GREY, _SATURATED_GREY, _MOST_CLIPPED = 3, 253, 0.25
_MOST_UNEXPLAINED = 0.25  # of the texture's standard deviation, and ...
_MOST_EXCESS = 4.0  # ... times the noise so far: a larger residual is another picture
_LEAST_GAIN = 0.1
_BLOCK_PX = 8  # of video codecs' transforms, on a grid from the picture's corner
_FEWEST_BLOCKS = 12  # for the blocks' sums to tell anything
_INFLATION_FRAMES = 64  # that the blocks' excess of variance is averaged over
_FLAT = "flat: too little texture for a displacement"


@dataclass(frozen=True, slots=True)
class Displacement:
    """Where one region is in one frame, relative to its first usable picture.

    x to the right, y down, in pixels of the picture. An axis that could not be measured is None, in
    its value and its errors. ``valid`` says that at least one axis was measured; ``reason`` says
    why one or both are missing.
    """

    region: str
    t_capture_ns: int
    x_px: float | None
    y_px: float | None
    x_se_px: float | None
    """Standard error of x_px against the true displacement since the first picture."""
    y_se_px: float | None
    valid: bool
    reason: str | None = None
    x_noise_px: float | None = None
    """Standard error of this one measurement, without the first picture's constant share."""
    y_noise_px: float | None = None


class DisplacementMeter:
    """Measures the regions of one camera; frames go in one after the other.

    The first frame fixes the picture's size. Raises Failure from the first ``measure`` if a region
    lies outside the picture, and from a later one if the picture's size has changed.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        self._regions = tuple(regions)
        self._meters: tuple[_RegionMeter, ...] = ()
        self._size_px: tuple[int, int] | None = None

    def measure(self, frame: Frame) -> tuple[Displacement, ...]:
        """The displacement of each region, in the order in which they were configured."""
        height_px, width_px = frame.image.shape[:2]
        if self._size_px is None:
            self._meters = tuple(_RegionMeter(one, width_px, height_px) for one in self._regions)
            self._size_px = (width_px, height_px)
        elif self._size_px != (width_px, height_px):
            raise Failure(
                f"The picture's size changed from {self._size_px[0]}x{self._size_px[1]} to "
                f"{width_px}x{height_px} px, so the configured regions no longer fit; set the "
                "camera back to its former size, or start again with regions for the new one."
            )
        return tuple(meter.measure(frame) for meter in self._meters)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One picture explained: displacement, its error, brightness, residual."""

    moved_px: Floats  # (2,)
    noise_px: Floats  # (2,) from the residual: the noise of picture and reference together
    excess: Floats | None  # (2,) variance that blocks of residual show, over that of white noise
    gain: float
    offset_grey: float
    residual_grey: float


class _RegionMeter:
    """One region: its reference, and what was learned of its noise."""

    def __init__(self, region: Region, width_px: int, height_px: int) -> None:
        place = (
            f'Region "{region.name}" (x={region.x}, y={region.y}, width={region.width}, '
            f"height={region.height}) "
        )
        right, bottom = region.x + region.width, region.y + region.height
        if right > width_px or bottom > height_px:
            raise Failure(
                f"{place}reaches beyond the picture of {width_px}x{height_px} px; move it inside "
                "or make it smaller in the configuration."
            )
        self._patch = Box(
            max(region.x - _MARGIN_PX, 0),
            max(region.y - _MARGIN_PX, 0),
            min(right + _MARGIN_PX, width_px),
            min(bottom + _MARGIN_PX, height_px),
        )
        self._samples = Box(
            max(region.x, self._patch.left + EDGE_PX),
            max(region.y, self._patch.top + EDGE_PX),
            min(right, self._patch.right - EDGE_PX),
            min(bottom, self._patch.bottom - EDGE_PX),
        )
        if min(self._samples.width_px, self._samples.height_px) < EDGE_PX:
            raise Failure(
                f"{place}leaves too little of itself beside the edges of the picture of "
                f"{width_px}x{height_px} px; make it larger, or move it away from the edge."
            )
        self._name = region.name
        self._refused, self._began_flat = 0, False
        self._range_px = min(LARGEST_MOTION_PX, 0.5 * region.width, 0.5 * region.height)
        self._reference: Reference | None = None
        self._noise_grey = QUANTISATION_GREY  # of one picture
        self._residuals: list[float] = []  # of the learned pictures, two pictures' noise in each
        self._learned: Floats | None = None  # sum of the pictures moved back; None when done
        self._last_px: Floats = np.zeros(2)
        self._inflation: Floats = np.ones(2)
        self._blocks = (
            _block_starts(self._samples.top, self._samples.bottom),
            _block_starts(self._samples.left, self._samples.right),
        )

    def measure(self, frame: Frame) -> Displacement:
        clipped = _clipped(self._samples.cut(frame.image))
        if clipped is not None:
            return self._missing(frame, clipped)
        if self._reference is None or self._refused > LEARNED_FRAMES:
            return self._begin(frame)
        fit = self._fit(frame.image, self._reference)
        if not isinstance(fit, str) and not self._residuals:
            # Only now is the noise known: the first picture is mended with it, then used again.
            self._noise_grey = fit.residual_grey / np.sqrt(2)
            self._reference = self._made_reference(self._reference.grey, self._noise_grey)
            fit = self._fit(frame.image, self._reference)
        if isinstance(fit, str):
            if not self._residuals:
                # What never could be measured may have begun with a bad picture.
                self._refused += 1
                fit = _FLAT if self._began_flat else fit
            return self._missing(frame, fit)
        inflation = self._inflated(fit)
        noise_px = fit.noise_px * inflation
        if self._learned is not None:
            noise_px /= np.sqrt(2)  # the reference is one picture, as noisy as this one
        zero_px = self._noise_grey * self._reference.step((0.0, 0.0)).noise_gain * inflation
        published = self._published(frame, fit.moved_px, noise_px, zero_px)
        if published.valid:
            self._last_px = fit.moved_px
            if self._learned is not None:
                self._learned = self._learn(frame.image, fit, self._learned)
        return published

    def _begin(self, frame: Frame) -> Displacement:
        """Take this picture as the zero of displacement."""
        grey = self._patch.grey(frame.image)
        self._noise_grey = noise_of(grey)
        self._learned, self._residuals, self._refused = grey.astype(np.float64), [], 0
        self._inflation, self._last_px = np.ones(2), np.zeros(2)
        # One picture cannot tell noise from fine texture: noise is judged, but not yet mended.
        gain = self._made_reference(grey, self._noise_grey).step((0.0, 0.0)).noise_gain
        self._reference = self._made_reference(grey, 0.0)
        published = self._published(frame, np.zeros(2), self._noise_grey * gain, np.zeros(2))
        self._began_flat = not published.valid
        return published

    def _made_reference(self, grey: Pixels | Floats, noise_grey: float) -> Reference:
        return Reference(grey, self._patch, self._samples, noise_grey)

    def _learn(self, image: Picture, fit: _Fit, learned: Floats) -> Floats | None:
        """Add a picture, moved back onto the first; None once the reference is made of the sum."""
        whole, part = whole_and_part(fit.moved_px)
        if not self._patch.inside(image, whole):
            return learned
        grey = (self._patch.grey(image, whole) - fit.offset_grey) / fit.gain
        learned += moved_back(grey, part)
        self._residuals.append(fit.residual_grey)
        self._noise_grey = float(np.median(self._residuals)) / np.sqrt(2)
        count = 1 + len(self._residuals)
        if count < LEARNED_FRAMES:
            return learned
        self._reference = self._made_reference(learned / count, self._noise_grey / np.sqrt(count))
        return None

    def _inflated(self, fit: _Fit) -> Floats:
        """By how much standard errors are larger than white noise would make them, (2,)."""
        if fit.excess is not None:
            weight = 1 / min(2 + len(self._residuals), _INFLATION_FRAMES)
            self._inflation += weight * (fit.excess - self._inflation)
        return np.sqrt(np.maximum(self._inflation, 1.0))

    def _fit(self, image: Picture, reference: Reference) -> _Fit | str:
        """Explain a picture, from the last displacement or else from phase correlation."""
        near = self._descend(image, reference, self._last_px)
        if not isinstance(near, str):
            return near
        far = self._descend(image, reference, self._correlated_px(image, reference))
        return near if isinstance(far, str) else far

    def _descend(self, image: Picture, reference: Reference, guess_px: Floats) -> _Fit | str:
        """Least-squares steps until one starts near its end; nearly always that is the first."""
        for _ in range(_MOST_STEPS):
            point = np.round(guess_px / _GRID_PX) * _GRID_PX
            whole, part = whole_and_part(point)
            if not self._samples.inside(image, whole):
                return "moved: out of the picture"
            step = reference.step(part)
            difference = self._samples.grey(image, whole).ravel() - step.reference
            answer = step.solver @ difference + step.bias
            gain = 1.0 + float(answer[2])
            if gain < _LEAST_GAIN:
                return "changed: its contrast is lost"
            textured = step.noise_gain * self._noise_grey < LARGEST_SE_PX
            moved = np.where(textured, answer[:2] / gain, 0.0)
            distance_px = np.abs(moved).max()
            if distance_px <= _LINEAR_PX:
                break
            guess_px = point + np.clip(moved, -1.0, 1.0)
        residual = difference - step.jacobian @ answer.astype(np.float32)
        squares = float(residual @ residual)
        residual_grey = max(float(np.sqrt(squares / (residual.size - 4))), QUANTISATION_GREY)
        most_grey = max(
            _MOST_UNEXPLAINED * gain * reference.texture_grey, _MOST_EXCESS * self._noise_grey
        )
        if residual_grey > most_grey or distance_px > 2 * _LINEAR_PX:
            return "changed: something covers it, or it turned, or it moved too far"
        if np.abs(point + moved).max() > self._range_px:
            return f"moved: by more than {self._range_px:g} px"
        return _Fit(
            moved_px=point + moved,
            noise_px=residual_grey * step.noise_gain / gain,
            excess=self._excess(step, residual, squares),
            gain=gain,
            offset_grey=float(answer[3]),
            residual_grey=residual_grey,
        )

    def _correlated_px(self, image: Picture, reference: Reference) -> Floats:
        """A first guess for large motion (phase correlation: Kuglin and Hines, 1975)."""
        now, before = self._patch.grey(image), reference.grey
        window = np.outer(np.hanning(now.shape[0]), np.hanning(now.shape[1])).astype(np.float32)
        moved, _ = cv2.phaseCorrelate(before - before.mean(), now - now.mean(), window)
        guess_px: Floats = np.clip(np.array(moved), -self._range_px, self._range_px)
        return guess_px

    def _excess(self, step: Step, residual: Pixels, squares: float) -> Floats | None:
        """Variance of x and y from the sums over blocks, over that for white noise; (2,)."""
        rows, columns = self._blocks
        if len(rows) * len(columns) < _FEWEST_BLOCKS:
            return None
        if squares <= residual.size * QUANTISATION_GREY**2:
            return None
        shares = (step.solver[:2] * residual).reshape(2, self._samples.height_px, -1)
        sums = np.add.reduceat(np.add.reduceat(shares, rows, axis=1), columns, axis=2)
        blocks: Floats = np.square(sums).sum(axis=(1, 2)).astype(np.float64)
        return blocks * residual.size / (squares * step.solver_squares)

    def _published(
        self, frame: Frame, moved_px: Floats, noise_px: Floats, zero_px: Floats
    ) -> Displacement:
        se_px = np.hypot(noise_px, zero_px)
        kept = se_px <= LARGEST_SE_PX
        if not kept.any():
            return self._missing(frame, _FLAT)
        missing = "x" if not kept[0] else "y"
        (x, y), (x_se, y_se), (x_noise, y_noise) = (
            [value if ok else None for value, ok in zip(values.tolist(), kept, strict=True)]
            for values in (moved_px, se_px, noise_px)
        )
        return Displacement(
            region=self._name,
            t_capture_ns=frame.t_capture_ns,
            x_px=x,
            y_px=y,
            x_se_px=x_se,
            y_se_px=y_se,
            valid=True,
            reason=None if kept.all() else f"flat along {missing}: too little texture",
            x_noise_px=x_noise,
            y_noise_px=y_noise,
        )

    def _missing(self, frame: Frame, reason: str) -> Displacement:
        return Displacement(
            self._name, frame.t_capture_ns, None, None, None, None, valid=False, reason=reason
        )


def _block_starts(start: int, stop: int) -> list[int]:
    """Where the blocks of a codec begin in start..stop, counted from start."""
    return [0, *range(-start % _BLOCK_PX or _BLOCK_PX, stop - start, _BLOCK_PX)]


def _clipped(colour: Picture) -> str | None:
    """What is wrong with the exposure, judged on green."""
    most = _MOST_CLIPPED * colour.shape[0] * colour.shape[1]
    if np.count_nonzero(colour[:, :, 1] >= _SATURATED_GREY) > most:
        return "saturated: lower the exposure"
    if np.count_nonzero(colour[:, :, 1] <= _DARK_GREY) > most:
        return "too dark: raise the exposure or add light"
    return None
