"""Displacement of every configured region on every frame, from raw pictures.

A region's grey picture I is explained by the reference picture R, moved by (x, y), with another
brightness gain g and offset o::

    I(p) = g R(p - (x, y)) + o + noise

Linearised at a point near the answer this is one least-squares step, whose matrix is made once: a
frame costs one matrix product (inverse compositional: Baker and Matthews, "Lucas-Kanade 20 years
on", IJCV 56, 2004). The linearisation points lie 1/4 px apart, so that no motion is far from one.

What makes it accurate to thousandths of a pixel:

- Gradients and sub-pixel moves of R come from one quintic spline (Unser, "Splines", IEEE Signal
  Processing Magazine 16(6), 1999). Central differences read fine texture too low.
- Noise in R makes its gradients too large and so the displacement too small. R is therefore
  averaged from the first ``LEARNED_FRAMES`` usable pictures, each moved back by its own measured
  displacement, and what noise remains is taken out of the normal equations (Fuller, "Measurement
  Error Models", 1987, 2.2).
- Zero is the region in its first usable picture. That picture's own noise is therefore part of
  every displacement, as one constant.

Standard errors come from the residual of each picture, times the estimator's own gain for noise;
for white noise that is the Cramer-Rao bound. Video compression leaves less noise, but blocks of it
that are wrong together; the errors then grow by what the blocks' sums show (cluster-robust
variance: Liang and Zeger, Biometrika 73, 1986). What a codec takes away evenly, such as motion below
its threshold, no residual can show. ``x_se_px`` is for x_px against the true displacement
since the first picture. ``x_noise_px`` is the part that changes from picture to picture, which is
what limits vibrations; it is smaller by about the square root of 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import BSpline

from failure import Failure
from runtime.config import Region
from runtime.frame import Frame

Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]

LEARNED_FRAMES = 32
"""Usable pictures that the reference is averaged from."""
LARGEST_SE_PX = 0.2
"""An axis with a larger standard error is not published: the region is too flat along it."""
LARGEST_MOTION_PX = 16.0
"""Displacements beyond this, or beyond half the region, are refused."""

_MARGIN_PX = 8  # of reference around the region, where the picture has it
_EDGE_PX = 4  # that the spline needs around every sample, with half a pixel of motion
_GRID_PX = 0.25  # between linearisation points
_LINEAR_PX = 0.15  # from a linearisation point: within it, one step is enough
_MOST_STEPS = 6
_LEAST_TEXTURE = 0.1  # of the squared gradients that must be more than noise
_DARK_GREY, _SATURATED_GREY, _MOST_CLIPPED = 3, 253, 0.25
_MOST_UNEXPLAINED = 0.25  # of the texture's standard deviation, and ...
_MOST_EXCESS = 4.0  # ... times the noise so far: a larger residual is another picture
_LEAST_GAIN = 0.1
_BLOCK_PX = 8  # of video codecs' transforms, on a grid from the picture's corner
_FEWEST_BLOCKS = 12  # for the blocks' sums to tell anything
_INFLATION_FRAMES = 64  # that the blocks' excess of variance is averaged over
_QUANTISATION_GREY = 1 / np.sqrt(12)  # 8 bits do not allow less noise than this

_SPLINE = BSpline.basis_element(np.arange(-3.0, 4.0), extrapolate=False)
_SPLINE_SLOPE = _SPLINE.derivative()


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
class _Step:
    """The least-squares step at one sub-pixel shift; n samples, parameters x, y, gain, offset."""

    reference: Pixels  # (n,) the reference moved by the shift
    jacobian: Pixels  # (n, 4)
    solver: Pixels  # (4, n)
    bias: Floats  # (4,) mends what the reference's noise adds
    noise_gain: Floats  # (2,) standard error of x and y for white noise of one grey level


@dataclass(frozen=True, slots=True)
class _Box:
    """Part of a picture, in whole pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image[self.top : self.bottom, self.left : self.right]

    def grey(self, image: NDArray[np.uint8], moved_px: tuple[int, int] = (0, 0)) -> Pixels | None:
        """Grey levels there (ITU-R BT.601), moved right and down; None outside the picture."""
        x, y = moved_px
        box = _Box(self.left + x, self.top + y, self.right + x, self.bottom + y)
        if min(box.left, box.top) < 0 or box.bottom > image.shape[0] or box.right > image.shape[1]:
            return None
        colour = box.cut(image).astype(np.float32)
        return cast(Pixels, cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))


class _Reference:
    """The picture that a region is compared with, and the steps made from it so far."""

    def __init__(self, grey: Pixels | Floats, patch: _Box, samples: _Box, noise_grey: float):
        self.grey = grey.astype(np.float32)
        self._noise_grey = noise_grey
        self._spline = _spline_of(grey)
        self._rows = np.arange(samples.top, samples.bottom) - patch.top
        self._columns = np.arange(samples.left, samples.right) - patch.left
        self._steps: dict[tuple[float, float], _Step] = {}
        inner = grey[self._rows[0] : self._rows[-1] + 1, self._columns[0] : self._columns[-1] + 1]
        self.texture_grey = float(inner.std())

    def step(self, shift_px: tuple[float, float]) -> _Step:
        """The step for a reference moved by (x, y), each at most half a pixel."""
        if shift_px not in self._steps:
            self._steps[shift_px] = self._made(*shift_px)
        return self._steps[shift_px]

    def _made(self, x_px: float, y_px: float) -> _Step:
        count_x, count_y = self._spline.shape[1], self._spline.shape[0]
        across, across_slope = _sampler(self._columns - x_px, count_x)
        down, down_slope = _sampler(self._rows - y_px, count_y)
        moved = down @ self._spline @ across.T
        jacobian = np.stack(
            [
                -(down @ self._spline @ across_slope.T),
                -(down_slope @ self._spline @ across.T),
                moved,
                np.ones_like(moved),
            ],
            axis=-1,
        ).reshape(-1, 4)
        # White noise in the reference adds this to the normal matrix, and its third column to the
        # right-hand side (with opposite sign).
        noise = moved.size * self._noise_grey**2 * _noise_products(x_px, y_px)
        normal = jacobian.T @ jacobian
        texture = normal[:2, :2].diagonal() - noise[:2, :2].diagonal()
        flat = texture < _LEAST_TEXTURE * normal[:2, :2].diagonal()
        mended = ~np.array([*flat, False, False])
        normal -= noise * np.outer(mended, mended)
        scale = np.sqrt(np.abs(normal.diagonal())) + 1e-9
        inverse = np.linalg.inv(normal / np.outer(scale, scale) + 1e-9 * np.eye(4))
        inverse /= np.outer(scale, scale)
        solver = inverse @ jacobian.T
        return _Step(
            reference=moved.ravel().astype(np.float32),
            jacobian=jacobian.astype(np.float32),
            solver=solver.astype(np.float32),
            bias=inverse @ noise[:, 2],
            noise_gain=np.where(flat, np.inf, np.linalg.norm(solver[:2], axis=1)),
        )


@dataclass(frozen=True, slots=True)
class _Fit:
    """One picture explained: displacement, its error, brightness, residual."""

    moved_px: Floats  # (2,)
    noise_px: Floats  # (2,) from the residual: the noise of picture and reference together
    excess: Floats | None  # (2,) variance that blocks of residual show, over that of white noise
    gain: float
    offset_grey: float
    residual_grey: float
    converged: bool


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
        self._patch = _Box(
            max(region.x - _MARGIN_PX, 0),
            max(region.y - _MARGIN_PX, 0),
            min(right + _MARGIN_PX, width_px),
            min(bottom + _MARGIN_PX, height_px),
        )
        self._samples = _Box(
            max(region.x, self._patch.left + _EDGE_PX),
            max(region.y, self._patch.top + _EDGE_PX),
            min(right, self._patch.right - _EDGE_PX),
            min(bottom, self._patch.bottom - _EDGE_PX),
        )
        if (
            self._samples.right - self._samples.left < _EDGE_PX
            or self._samples.bottom - self._samples.top < _EDGE_PX
        ):
            raise Failure(
                f"{place}leaves too little of itself beside the edges of the picture of "
                f"{width_px}x{height_px} px; make it larger, or move it away from the edge."
            )
        self._name = region.name
        self._range_px = min(LARGEST_MOTION_PX, 0.5 * region.width, 0.5 * region.height)
        self._reference: _Reference | None = None
        self._noise_grey = _QUANTISATION_GREY  # of one picture
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
        if self._reference is None:
            return self._begin(frame)
        fit = self._fit(frame.image)
        if isinstance(fit, str):
            return self._missing(frame, fit)
        learning = self._learned is not None
        if not self._residuals:
            # Only now is the noise known: the first picture is mended with it, then used again.
            self._noise_grey = fit.residual_grey / np.sqrt(2)
            self._reference = self._made_reference(self._reference.grey, self._noise_grey)
            fit = self._fit(frame.image)
            if isinstance(fit, str):
                return self._missing(frame, fit)
        inflation = self._inflated(fit)
        noise_px = fit.noise_px * inflation
        if learning:
            noise_px /= np.sqrt(2)  # the reference is one picture, as noisy as this one
        zero_px = self._noise_grey * self._reference.step((0.0, 0.0)).noise_gain * inflation
        published = self._published(frame, fit.moved_px, noise_px, zero_px)
        if published.valid:
            self._last_px = fit.moved_px
            if learning:
                self._learn(frame, fit)
        return published

    def _begin(self, frame: Frame) -> Displacement:
        """Take this picture as the zero of displacement."""
        grey = self._patch.grey(frame.image)
        assert grey is not None
        self._noise_grey = _noise_of(grey)
        self._reference = self._made_reference(grey, 0.0)
        self._learned, self._residuals = grey.astype(np.float64), []
        noise_px = self._noise_grey * self._reference.step((0.0, 0.0)).noise_gain
        return self._published(frame, np.zeros(2), noise_px, np.zeros(2))

    def _inflated(self, fit: _Fit) -> Floats:
        """By how much standard errors are larger than white noise would make them, (2,)."""
        if fit.excess is not None:
            weight = 1 / min(2 + len(self._residuals), _INFLATION_FRAMES)
            self._inflation += weight * (fit.excess - self._inflation)
        return np.sqrt(np.maximum(self._inflation, 1.0))

    def _made_reference(self, grey: Pixels | Floats, noise_grey: float) -> _Reference:
        return _Reference(grey, self._patch, self._samples, noise_grey)

    def _learn(self, frame: Frame, fit: _Fit) -> None:
        """Add the picture, moved back onto the first, to the reference in the making."""
        whole, part = _whole_and_part(fit.moved_px)
        grey = self._patch.grey(frame.image, whole)
        if grey is None or self._learned is None:
            return
        spline = _spline_of((grey - fit.offset_grey) / fit.gain)
        across, _ = _sampler(np.arange(grey.shape[1]) + part[0], grey.shape[1])
        down, _ = _sampler(np.arange(grey.shape[0]) + part[1], grey.shape[0])
        self._learned += down @ spline @ across.T
        self._residuals.append(fit.residual_grey)
        self._noise_grey = float(np.median(self._residuals)) / np.sqrt(2)
        count = 1 + len(self._residuals)
        if count == LEARNED_FRAMES:
            noise_grey = self._noise_grey / np.sqrt(count)
            self._reference = self._made_reference(self._learned / count, noise_grey)
            self._learned = None

    def _fit(self, image: NDArray[np.uint8]) -> _Fit | str:
        """Explain a picture, from the last displacement or else from phase correlation."""
        fit = self._descend(image, self._last_px)
        wrong = self._wrong(fit)
        if wrong is not None:
            fit = self._descend(image, self._correlated_px(image))
            wrong = self._wrong(fit)
        return wrong if wrong is not None or fit is None else fit

    def _wrong(self, fit: _Fit | None) -> str | None:
        assert self._reference is not None
        if fit is None or np.abs(fit.moved_px).max() > self._range_px:
            return f"moved by more than {self._range_px:g} px, or out of the picture"
        if fit.gain < _LEAST_GAIN:
            return "changed: its contrast is lost"
        if not fit.converged or fit.residual_grey > max(
            _MOST_UNEXPLAINED * fit.gain * self._reference.texture_grey,
            _MOST_EXCESS * self._noise_grey,
        ):
            return "changed: something covers it, or it turned, or it moved too far"
        return None

    def _descend(self, image: NDArray[np.uint8], guess_px: Floats) -> _Fit | None:
        """Least-squares steps until one starts near its end; nearly always that is the first."""
        assert self._reference is not None
        for _ in range(_MOST_STEPS):
            point = np.round(guess_px / _GRID_PX) * _GRID_PX
            whole, part = _whole_and_part(point)
            grey = self._samples.grey(image, whole)
            if grey is None:
                return None
            step = self._reference.step(part)
            difference = grey.ravel() - step.reference
            answer = step.solver @ difference + step.bias
            gain = max(1.0 + float(answer[2]), 1e-3)
            textured = step.noise_gain * self._noise_grey < LARGEST_SE_PX
            moved = np.where(textured, answer[:2] / gain, 0.0)
            if np.abs(moved).max() <= _LINEAR_PX:
                break
            guess_px = point + np.clip(moved, -1.0, 1.0)
        residual = difference - step.jacobian @ answer.astype(np.float32)
        squares = float(residual @ residual)
        residual_grey = max(float(np.sqrt(squares / (residual.size - 4))), _QUANTISATION_GREY)
        return _Fit(
            moved_px=point + moved,
            noise_px=residual_grey * step.noise_gain / gain,
            excess=self._excess(step, residual, squares),
            gain=gain,
            offset_grey=float(answer[3]),
            residual_grey=residual_grey,
            converged=bool(np.abs(moved).max() <= 2 * _LINEAR_PX),
        )

    def _correlated_px(self, image: NDArray[np.uint8]) -> Floats:
        """A first guess for large motion (phase correlation: Kuglin and Hines, 1975)."""
        grey = self._patch.grey(image)
        assert grey is not None and self._reference is not None
        before = self._reference.grey
        window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1])).astype(np.float32)
        moved, _ = cv2.phaseCorrelate(before - before.mean(), grey - grey.mean(), window)
        return np.clip(np.asarray(moved), -self._range_px, self._range_px)

    def _excess(self, step: _Step, residual: Pixels, squares: float) -> Floats | None:
        """Variance of x and y from the sums over blocks, over that for white noise; (2,)."""
        rows, columns = self._blocks
        count = len(rows) * len(columns)
        if count < _FEWEST_BLOCKS or squares <= residual.size * _QUANTISATION_GREY**2:
            return None
        shape = (2, self._samples.bottom - self._samples.top, -1)
        shares = (step.solver[:2] * residual).reshape(shape)
        sums = np.add.reduceat(np.add.reduceat(shares, rows, axis=1), columns, axis=2)
        single = squares / residual.size * np.square(step.solver[:2]).sum(axis=1)
        return np.square(sums).sum(axis=(1, 2)) / single * count / (count - 4)

    def _published(
        self, frame: Frame, moved_px: Floats, noise_px: Floats, zero_px: Floats
    ) -> Displacement:
        se_px = np.hypot(noise_px, zero_px)
        kept = se_px <= LARGEST_SE_PX
        if not kept.any():
            return self._missing(frame, "flat: too little texture for a displacement")
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


def _whole_and_part(moved_px: Floats) -> tuple[tuple[int, int], tuple[float, float]]:
    whole = np.rint(moved_px)
    part = moved_px - whole
    return (int(whole[0]), int(whole[1])), (float(part[0]), float(part[1]))


def _block_starts(start: int, stop: int) -> NDArray[np.intp]:
    """Where blocks begin in start..stop, counted from start."""
    return np.array([0, *range(-start % _BLOCK_PX or _BLOCK_PX, stop - start, _BLOCK_PX)])


def _clipped(colour: NDArray[np.uint8]) -> str | None:
    """What is wrong with the exposure, judged on green."""
    most = _MOST_CLIPPED * colour.shape[0] * colour.shape[1]
    if np.count_nonzero(colour[:, :, 1] >= _SATURATED_GREY) > most:
        return "saturated: lower the exposure"
    if np.count_nonzero(colour[:, :, 1] <= _DARK_GREY) > most:
        return "too dark: raise the exposure or add light"
    return None


def _noise_of(grey: Pixels) -> float:
    """Noise of one picture, in grey levels, from its finest diagonal detail.

    The median of Haar detail (Donoho and Johnstone, Biometrika 81, 1994); texture makes it larger.
    """
    even = grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2]
    detail = (even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]) / 2
    return max(float(np.median(np.abs(detail))) / 0.6745, _QUANTISATION_GREY)


def _spline_of(grey: Pixels | Floats) -> Floats:
    """Coefficients of the quintic spline through a picture."""
    return np.asarray(ndimage.spline_filter(grey.astype(np.float64), order=5), dtype=np.float64)


def _sampler(positions: NDArray[np.generic], count: int) -> tuple[Floats, Floats]:
    """(positions, count) weights of spline coefficients, for the values and for the slopes."""
    distance = np.asarray(positions, dtype=np.float64)[:, None] - np.arange(count)
    return np.nan_to_num(_SPLINE(distance)), np.nan_to_num(_SPLINE_SLOPE(distance))


@lru_cache(maxsize=64)
def _noise_products(x_px: float, y_px: float) -> Floats:
    """(4, 4) expected products of the Jacobian's columns, a sample, for white noise of variance 1.

    Columns as in the Jacobian: x slope, y slope, value, constant.
    """
    length = 33
    to_spline = ndimage.spline_filter1d(np.eye(length), order=5, axis=0)
    across, across_slope = (w[0] @ to_spline for w in _sampler(np.array([16 - x_px]), length))
    down, down_slope = (w[0] @ to_spline for w in _sampler(np.array([16 - y_px]), length))
    in_x = np.stack([-across_slope, -across, across])
    in_y = np.stack([down, down_slope, down])
    products = np.zeros((4, 4))
    products[:3, :3] = (in_x @ in_x.T) * (in_y @ in_y.T)
    return products
