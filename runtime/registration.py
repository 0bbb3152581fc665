"""The picture that a region is compared with, and the least-squares step towards another picture.

A grey picture I is explained by the reference R, moved by (x, y), with a brightness gain g and an
offset o::

    I(p) = g R(p - (x, y)) + o + noise

Linearised at a sub-pixel shift of R, this is one least-squares step whose matrix is made once
(inverse compositional: Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 56, 2004).

- Values and slopes of R between its pixels come from one quintic spline (Unser, "Splines", IEEE
  Signal Processing Magazine 16(6), 1999). Central differences read fine texture too low.
- White noise in R makes its slopes too large and so the displacement too small. What it adds to the
  normal equations is known, and is taken out of them (Fuller, "Measurement Error Models", 1987,
  section 2.2).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import BSpline

Picture = NDArray[np.uint8]
Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]

EDGE_PX = 4
"""What the spline needs of the reference around every sample, with half a pixel of motion."""
QUANTISATION_GREY = float(1 / np.sqrt(12))
"""Rounding to 8 bits does not allow less noise than this, in grey levels."""

_LEAST_TEXTURE = 0.1  # of the squared slopes that must be more than noise
_RIDGE = 1e-9  # keeps the scaled normal matrix regular without texture

_SPLINE = BSpline.basis_element(np.arange(-3.0, 4.0), extrapolate=False)
_SPLINE_SLOPE = _SPLINE.derivative()


@dataclass(frozen=True, slots=True)
class Step:
    """The least-squares step at one sub-pixel shift; n samples, parameters x, y, gain, offset."""

    reference: Pixels  # (n,) the reference moved by the shift
    jacobian: Pixels  # (n, 4)
    solver: Pixels  # (4, n)
    bias: Floats  # (4,) mends what the reference's noise adds
    solver_squares: Floats  # (2,) sums of squares of the first two rows
    noise_gain: Floats  # (2,) standard error of x and y for white noise of one grey level


@dataclass(frozen=True, slots=True)
class Box:
    """Part of a picture, in whole pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width_px(self) -> int:
        return self.right - self.left

    @property
    def height_px(self) -> int:
        return self.bottom - self.top

    def cut(self, image: Picture) -> Picture:
        return image[self.top : self.bottom, self.left : self.right]

    def inside(self, image: Picture, moved_px: tuple[int, int]) -> bool:
        """Whether the box, moved right and down, still lies in the picture."""
        x, y = moved_px
        return (
            min(self.left + x, self.top + y) >= 0
            and self.right + x <= image.shape[1]
            and self.bottom + y <= image.shape[0]
        )

    def grey(self, image: Picture, moved_px: tuple[int, int] = (0, 0)) -> Pixels:
        """Grey levels (ITU-R BT.601) of the box moved right and down; (height, width)."""
        x, y = moved_px
        box = Box(self.left + x, self.top + y, self.right + x, self.bottom + y)
        colour = box.cut(image).astype(np.float32)
        return cast(Pixels, cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))


class Reference:
    """The picture that a region is compared with, and the steps made from it so far."""

    def __init__(self, grey: Pixels | Floats, patch: Box, samples: Box, noise_grey: float) -> None:
        self.grey = grey.astype(np.float32)
        self._noise_grey = noise_grey
        self._spline = _spline_of(grey)
        self._rows = np.arange(samples.top, samples.bottom) - patch.top
        self._columns = np.arange(samples.left, samples.right) - patch.left
        self._steps: dict[tuple[float, float], Step] = {}
        inner = grey[self._rows[0] : self._rows[-1] + 1, self._columns[0] : self._columns[-1] + 1]
        self.texture_grey = float(inner.std())

    def step(self, shift_px: tuple[float, float]) -> Step:
        """The step for a reference moved by (x, y), each at most half a pixel."""
        if shift_px not in self._steps:
            self._steps[shift_px] = self._made(*shift_px)
        return self._steps[shift_px]

    def _made(self, x_px: float, y_px: float) -> Step:
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
        inverse = np.linalg.inv(normal / np.outer(scale, scale) + _RIDGE * np.eye(4))
        inverse /= np.outer(scale, scale)
        solver = inverse @ jacobian.T
        squares = np.square(solver[:2]).sum(axis=1)
        return Step(
            reference=moved.ravel().astype(np.float32),
            jacobian=jacobian.astype(np.float32),
            solver=solver.astype(np.float32),
            bias=inverse @ noise[:, 2],
            solver_squares=squares,
            noise_gain=np.where(flat, np.inf, np.sqrt(squares)),
        )


def whole_and_part(moved_px: Floats) -> tuple[tuple[int, int], tuple[float, float]]:
    whole = np.rint(moved_px)
    part = moved_px - whole
    return (int(whole[0]), int(whole[1])), (float(part[0]), float(part[1]))


def moved_back(grey: Pixels | Floats, by_px: tuple[float, float]) -> Floats:
    """A picture moved left and up by (x, y), each at most half a pixel; (height, width)."""
    across, _ = _sampler(np.arange(grey.shape[1]) + by_px[0], grey.shape[1])
    down, _ = _sampler(np.arange(grey.shape[0]) + by_px[1], grey.shape[0])
    moved: Floats = down @ _spline_of(grey) @ across.T
    return moved


def noise_of(grey: Pixels) -> float:
    """Noise of one picture, in grey levels, from second differences across and down.

    Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2),
    1996, with the median instead of the mean. Texture finer than some 5 px makes it too large.
    """
    across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    detail = across[:-2] - 2 * across[1:-1] + across[2:]
    return max(float(np.median(np.abs(detail))) / 0.6745 / 6, QUANTISATION_GREY)


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
