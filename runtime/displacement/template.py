"""The picture that a region is compared with, and the least-squares step towards another picture.

A grey picture I is explained by the template T, moved by (x, y), with a brightness gain g and an
offset o::

    I(p) = g T(p - (x, y)) + o + noise

Linearised at a sub-pixel shift of T, this is one least-squares step whose matrix is made once
(inverse compositional: Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 56, 2004).

- White noise in T makes its slopes too large and so the displacement too small. What it adds to the
  normal equations is known, and is taken out of them (Fuller, "Measurement Error Models", 1987,
  section 2.2).
- What is left of the second and third order, where a step does not end at its linearisation point, is
  taken out of its answer with products that are made once, too.
- Defocus is a small diffusion: to blur T by s pixels adds s^2 / 2 of its Laplacian (heat equation).
  The share of the Laplacian in a picture, beside all of the above, tells s.
"""

from dataclasses import dataclass

import numpy as np

from runtime.displacement.box import Box, Floats, Pixels
from runtime.displacement.spline import Spline, noise_products

QUANTISATION_GREY = float(1 / np.sqrt(12))
"""Rounding to 8 bits does not allow less noise than this, in grey levels."""
PLANES = 4
"""Pictures of a step that each new picture is multiplied with."""

_LEAST_TEXTURE = 0.1  # of the squared slopes that must be more than noise
_BENDS = (
    *((2, 0, 1 / 2), (1, 1, 1.0), (0, 2, 1 / 2)),
    *((3, 0, -1 / 6), (2, 1, -1 / 2), (1, 2, -1 / 2), (0, 3, -1 / 6)),
)  # of the Taylor series of T(p - (x, y)): derivatives across and down, and their share
_RIDGE = 1e-9  # keeps the scaled normal matrix regular without texture


@dataclass(frozen=True, slots=True)
class Step:
    """The least-squares step at one sub-pixel shift; parameters x, y, gain, offset.

    For D, a picture less the moved template, and b = sums of D times each of x slope, y slope,
    moved template, 1, the answer is linear in b, and leaves D @ D + answer @ (normal @ answer - 2 b)
    of the squares.
    """

    planes: Pixels
    """(4, samples): blur, whose squares add up to 1; x slope, y slope (both with opposite sign), the
    template."""
    solution: Floats
    """(8, 5), times b and 1: the answer, and normal @ answer - 2 b. The answer's part is mended for the
    template's noise."""
    curve: Floats
    """(4, 7) what the ``powers`` of a motion from the shift add to the answer."""
    blur_scale: float
    """The sum of D times blur, times this: squared defocus times the texture's mean squared wave number.
    The finer the texture, the less blur it bears."""
    noise_gain: Floats
    """(2,) standard error of x and y for white noise of one grey level; infinite where flat."""


class Template:
    """A picture of a region, and the steps made from it so far.

    ``grey`` is the picture of ``patch``, of which ``samples`` are compared; its noise has a standard
    deviation of ``noise_grey``.
    """

    def __init__(self, grey: Pixels | Floats, patch: Box, samples: Box, noise_grey: float) -> None:
        self.grey = np.asarray(grey, dtype=np.float64)
        self._noise_grey = noise_grey
        self._spline = Spline(grey)
        top, left = samples.top - patch.top, samples.left - patch.left
        self._inner = np.s_[top : top + samples.height_px, left : left + samples.width_px]
        self._steps: dict[tuple[float, float], Step] = {}
        self.texture_grey = float(self.grey[self._inner].std())

    @property
    def samples(self) -> Floats:
        """The part that is compared."""
        return self.grey[self._inner]

    def step(self, shift_px: tuple[float, float]) -> Step:
        """The step for the template moved by (x, y), each at most half a pixel."""
        if shift_px not in self._steps:
            self._steps[shift_px] = self._made(shift_px)
        return self._steps[shift_px]

    def _made(self, shift_px: tuple[float, float]) -> Step:
        def plane(across: int, down: int) -> Floats:
            return self._spline.moved(shift_px, across, down)[self._inner].ravel()

        value = plane(0, 0)
        columns = np.stack([-plane(1, 0), -plane(0, 1), value, np.ones_like(value)])
        bends = np.stack([plane(across, down) * share for across, down, share in _BENDS])
        normal = columns @ columns.T
        # White noise in the template adds this to the normal matrix, and its third column to the
        # right-hand side (with opposite sign).
        noise = value.size * self._noise_grey**2 * noise_products(*shift_px)
        texture = normal[:2, :2].diagonal() - noise[:2, :2].diagonal()
        flat = texture < _LEAST_TEXTURE * normal[:2, :2].diagonal()
        mended = ~np.array([*flat, False, False])
        inverse = _inverse(normal - noise * np.outer(mended, mended))
        answer = np.column_stack([inverse, inverse @ noise[:, 2]])
        laplacian = plane(2, 0) + plane(0, 2)
        blur = laplacian - (_inverse(normal) @ (columns @ laplacian)) @ columns
        blur_norm = float(np.linalg.norm(blur)) + 1e-9
        fineness = float(laplacian @ laplacian / (normal[0, 0] + normal[1, 1] + 1e-9))
        squares = (inverse @ normal @ inverse.T).diagonal()[:2]
        return Step(
            planes=np.stack([blur / blur_norm, *columns[:3]]).astype(np.float32),
            solution=np.vstack([answer, normal @ answer - 2 * np.eye(4, 5)]),
            curve=inverse @ columns @ bends.T,
            blur_scale=2 * fineness / blur_norm,
            noise_gain=np.where(flat, np.inf, np.sqrt(np.abs(squares))),
        )


def powers(moved_px: Floats) -> Floats:
    """What motions (2, n) have in a step's ``curve``: x^2, xy, y^2, x^3, x^2 y, x y^2, y^3; (7, n)."""
    x, y = moved_px
    xx, yy = x * x, y * y
    return np.array([xx, x * y, yy, xx * x, xx * y, x * yy, yy * y])


def noise_of(grey: Pixels) -> float:
    """Noise of one picture, in grey levels, from second differences across and down.

    Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2),
    1996, with the median instead of the mean. Texture finer than some 5 px makes it too large.
    """
    across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    detail = across[:-2] - 2 * across[1:-1] + across[2:]
    if detail.size == 0:
        return QUANTISATION_GREY
    return max(float(np.median(np.abs(detail))) / 0.6745 / 6, QUANTISATION_GREY)


def _inverse(normal: Floats) -> Floats:
    scale = np.sqrt(np.abs(normal.diagonal())) + 1e-9
    scales: Floats = np.outer(scale, scale)
    inverse: Floats = np.linalg.inv(normal / scales + _RIDGE * np.eye(4)) / scales
    return inverse
