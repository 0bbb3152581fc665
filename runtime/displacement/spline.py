"""Values and derivatives of a picture between its pixels, from one quintic spline.

Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing Magazine
16(6), 1999. Central differences read fine texture too low.
"""

from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from scipy import ndimage
from scipy.interpolate import BSpline

from runtime.displacement.box import Floats, Pixels

EDGE_PX = 4
"""What the spline needs of the picture around every sample, with half a pixel of motion."""

_TAPS = np.arange(-3, 4)
# What makes pixels coefficients, as far as it is more than a millionth.
_PREFILTER: Floats = ndimage.spline_filter1d(np.eye(37)[18], order=5)
_BASIS = BSpline.basis_element(np.arange(-3.0, 4.0), extrapolate=False)
_DERIVATIVES = (_BASIS, *(_BASIS.derivative(order) for order in (1, 2, 3)))


class Spline:
    """A picture as a function of position."""

    def __init__(self, grey: Pixels | Floats) -> None:
        self._coefficients = _coefficients(grey)

    def moved(self, by_px: tuple[float, float], across: int = 0, down: int = 0) -> Floats:
        """The picture moved right and down by (x, y), each at most half a pixel, (height, width).

        ``across`` and ``down`` (0 to 3) count derivatives.
        """
        x_px, y_px = by_px
        weights = _weights(x_px, across), _weights(y_px, down)
        return cast(Floats, cv2.sepFilter2D(self._coefficients, -1, *weights))


def moved_once(grey: Pixels, by_px: tuple[float, float]) -> Pixels:
    """``Spline(grey).moved(by_px)`` within .001 grey levels, by one filter: for a picture moved once.

    Each of by_px (x, y) at most half a pixel, too; (height, width).
    """
    across, down = (np.convolve(_PREFILTER, _weights(px, 0)) for px in by_px)
    return cast(Pixels, cv2.sepFilter2D(grey, -1, across, down))


@lru_cache(maxsize=64)
def noise_products(x_px: float, y_px: float) -> Floats:
    """(4, 4) expected products of x slope, y slope, value and 1 for white noise of variance 1.

    Of a moved picture as ``moved`` makes it, for each sample; slopes with opposite sign, as in the
    columns of a least-squares step. They are what noise in a picture adds to its normal matrix.
    """
    impulse = np.zeros((33, 33))
    impulse[16, 16] = 1.0
    spline = Spline(impulse)
    columns = np.stack(
        [
            -spline.moved((x_px, y_px), across=1).ravel(),
            -spline.moved((x_px, y_px), down=1).ravel(),
            spline.moved((x_px, y_px)).ravel(),
        ]
    )
    products = np.zeros((4, 4))
    products[:3, :3] = columns @ columns.T
    return products


def _coefficients(grey: Pixels | Floats) -> Floats:
    return np.asarray(ndimage.spline_filter(grey.astype(np.float64), order=5), dtype=np.float64)


@lru_cache(maxsize=1024)
def _weights(shift_px: float, derivative: int) -> Floats:
    """(7,) weights of the coefficients around a pixel, for a picture moved by the shift."""
    weights: Floats = np.nan_to_num(_DERIVATIVES[derivative](-shift_px - _TAPS))
    return weights
