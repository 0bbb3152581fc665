"""What is seen in a run, a few consecutive pictures: its light, its motion, and whether it is usable.

Motion is sought as the network will see it: small differences between the run's pictures that look
like the picture shifted. Noise, a clock in the corner and changing light do not look like that.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Run = NDArray[np.uint8]
"""(pictures, height, width, 3), blue-green-red; at least two pictures."""
Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]

LARGEST_JUMP_PX = 8.0
"""When the whole picture moves further than this between two pictures, it is a knock or a cut."""

_WORKING_PX = 640  # the longer side of the pictures that motion is sought in
_TILE_PX = 32  # there
_BLOCK_PX = 8  # within which the errors of a video codec go together
_LEAST_TEXTURE = 20.0  # of a tile: mean squared slope in (grey levels / px) squared
_RIDGE = 1.0  # the same, added, so that a tile with texture in one direction moves along that only
_SIGNIFICANT = 6.0  # times the energy of motion that a tile's noise looks like
_DARK_GREY, _BRIGHT_GREY, _MOST_CLIPPED = 12, 250, 0.75


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run shows."""

    light_grey: float
    """Mean grey level, 0 to 255."""
    motion_px: float
    """RMS displacement of the tile that moves most, about its mean; 0 where none moves."""
    problem: str | None
    """Why it cannot be used, in a few words, when it cannot."""
    picture: Pixels
    """The mean picture in small, (18, 32) grey levels, to compare with other runs'."""


def look(run: Run) -> Seen:
    """Measure a run."""
    shrink = max(1.0, max(run.shape[1:3]) / _WORKING_PX)
    size = (round(run.shape[2] / shrink), round(run.shape[1] / shrink))
    grey = np.stack(
        [
            cv2.resize(
                cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), size, interpolation=cv2.INTER_AREA
            )
            for picture in run
        ]
    ).astype(np.float32)
    motion_px = shrink * largest_motion(grey)
    return Seen(
        light_grey=float(grey.mean()),
        motion_px=motion_px,
        problem=_problem(grey, motion_px, shrink),
        picture=cv2.resize(grey.mean(axis=0), (32, 18), interpolation=cv2.INTER_AREA),
    )


def _problem(grey: Pixels, motion_px: float, shrink: float) -> str | None:
    most = _MOST_CLIPPED * grey.size
    if np.count_nonzero(grey <= _DARK_GREY) > most:
        return "too dark"
    if np.count_nonzero(grey >= _BRIGHT_GREY) > most:
        return "saturated"
    window = cv2.createHanningWindow(grey.shape[:0:-1], cv2.CV_32F)
    for before, after in pairwise(grey):
        # Copies, since OpenCV multiplies what it is given by the window.
        (x, y), _ = cv2.phaseCorrelate(before.copy(), after.copy(), window)
        if shrink * np.hypot(x, y) > LARGEST_JUMP_PX:
            return "knocked or cut"
    return None if motion_px > 0 else "without motion"


def largest_motion(grey: Pixels) -> float:
    """RMS displacement (px) about its mean of the tile that moves most; grey is (pictures, h, w).

    Each tile of each picture is explained by the mean picture, shifted, and an offset of brightness,
    by linear least squares. A tile counts only if the shifts are much larger than its noise would
    make them; sums over blocks tell that noise, because the errors of a video codec go together
    within a block (cluster-robust variance: Liang and Zeger, Biometrika 73, 1986). Displacements
    beyond some pixels read too small.
    """
    # Light that changes as a whole is no motion.
    light = grey.mean(axis=(1, 2), keepdims=True)
    grey = grey * (light.mean() / np.maximum(light, 1.0))
    mean = grey.mean(axis=0)
    x_slope, y_slope = (
        cv2.Sobel(mean, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))
    )
    # Without the mean of each tile, an offset of brightness has no part in the sums.
    x_slope, y_slope = _tiled(x_slope), _tiled(y_slope)
    xx, yy = _sums(x_slope * x_slope), _sums(y_slope * y_slope)
    xy = _sums(x_slope * y_slope)
    textured = xx + yy > _TILE_PX**2 * _LEAST_TEXTURE
    xx, yy = xx + _TILE_PX**2 * _RIDGE, yy + _TILE_PX**2 * _RIDGE
    squares, along_xx, along_yy, along_xy, noise_xx, noise_yy, noise_xy = np.zeros((7, *xx.shape))
    for picture in grey:
        difference = _tiled(picture - mean)
        along_x, along_y = _sums(x_slope * difference), _sums(y_slope * difference)
        x_px = (yy * along_x - xy * along_y) / (xx * yy - xy**2)
        y_px = (xx * along_y - xy * along_x) / (xx * yy - xy**2)
        squares += x_px**2 + y_px**2
        along_xx += along_x**2
        along_yy += along_y**2
        along_xy += along_x * along_y
        residual = difference - _over_tiles(x_px) * x_slope - _over_tiles(y_px) * y_slope
        in_x, in_y = _block_sums(x_slope * residual), _block_sums(y_slope * residual)
        noise_xx += (in_x**2).sum(axis=-1)
        noise_yy += (in_y**2).sum(axis=-1)
        noise_xy += (in_x * in_y).sum(axis=-1)
    # Pictures without any noise leave nothing to divide by.
    noise_xx, noise_yy = noise_xx + 1e-3, noise_yy + 1e-3
    # Sum of squares of what the shifts were found from, in units of its noise, for two directions.
    ratio = noise_yy * along_xx - 2 * noise_xy * along_xy + noise_xx * along_yy
    ratio /= 2 * (noise_xx * noise_yy - noise_xy**2)
    moves = textured & (ratio > _SIGNIFICANT)
    return float(np.sqrt((squares * moves).max(initial=0.0) / len(grey)))


def _tiled(values: Pixels) -> Pixels:
    """What whole tiles cover, without each tile's mean; (rows, tile, columns, tile)."""
    rows, columns = (side // _TILE_PX for side in values.shape)
    whole = values[: rows * _TILE_PX, : columns * _TILE_PX]
    tiles = whole.reshape(rows, _TILE_PX, columns, _TILE_PX)
    centred: Pixels = tiles - tiles.mean(axis=(1, 3), keepdims=True)
    return centred


def _sums(tiles: Pixels) -> Floats:
    """Of each tile; (rows, columns)."""
    sums: Floats = tiles.sum(axis=(1, 3), dtype=np.float64)
    return sums


def _over_tiles(values: Floats) -> Pixels:
    """One value for each tile, as it multiplies what is tiled."""
    return values[:, None, :, None].astype(np.float32)


def _block_sums(tiles: Pixels) -> Floats:
    """Of each block of each tile; (rows, columns, blocks)."""
    rows, _, columns, _ = tiles.shape
    across = _TILE_PX // _BLOCK_PX
    blocks = tiles.reshape(rows, across, _BLOCK_PX, columns, across, _BLOCK_PX)
    sums: Floats = blocks.sum(axis=(2, 5), dtype=np.float64)
    return sums.transpose(0, 2, 1, 3).reshape(rows, columns, across**2)
