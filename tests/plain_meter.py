"""What ``DisplacementMeter`` does with one region, written plainly: the twin that it is held against.

One region at a time, one spline of SciPy's, Gauss-Newton until nothing moves any more, a search through
every whole pixel. No batches, no linearisation points, no second-order terms, no cache. What follows
slowly (look, references, errors that blocks share), blur and uneven light are not here.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import RectBivariateSpline

from runtime.config import Region
from runtime.displacement import LARGEST_MOTION_PX, LEARNED_PICTURES
from runtime.displacement.spline import noise_products

Floats = NDArray[np.float64]
MARGIN_PX = 8


class PlainMeter:
    """Measures a region with at least 8 px of picture around it, wherever it moves."""

    def __init__(self, region: Region) -> None:
        self.rows = np.arange(region.y, region.y + region.height)
        self.columns = np.arange(region.x, region.x + region.width)
        self.template: Floats | None = None  # of the region and its margin
        self.template_noise_grey = 0.0
        self.noise_grey: float | None = None
        self.pictures: list[Floats] = []
        self.residuals_grey: list[float] = []
        self.places_px: list[Floats] = []  # from which zero is learned
        self.last_px: Floats = np.zeros(2)

    def measure(self, image: NDArray[np.uint8]) -> tuple[Floats, Floats] | str:
        """Displacement and its noise, each (2,), or the first word of why there is none."""
        grey = image.astype(np.float64) @ (0.114, 0.587, 0.299)
        x, y = np.rint(self.last_px).astype(int)
        green = image[np.ix_(self.rows + y, self.columns + x)][:, :, 1]
        if np.mean(green >= 253) > 0.25:
            return "saturated"
        if np.mean(green <= 3) > 0.25:
            return "too"
        if self.template is None:
            self.template = self.patch(grey, np.zeros(2))
            self.pictures = [self.template]
            self.places_px = [np.zeros(2)]
            return "learning"
        fit = self.fit(grey, self.last_px)
        if isinstance(fit, str):
            fit = self.fit(grey, self.searched(grey))
        if not isinstance(fit, str) and self.noise_grey is None:
            self.noise_grey = self.template_noise_grey = fit[2] / np.sqrt(2)
            fit = self.fit(grey, fit[0])
        if isinstance(fit, str):
            return fit
        moved_px, noise_px, residual_grey, gain, offset_grey = fit
        self.last_px = moved_px
        learned = len(self.pictures) == LEARNED_PICTURES
        if not learned:
            noise_px = noise_px / np.sqrt(2)
            back = (self.patch(grey, moved_px) - offset_grey) / gain
            self.pictures.append(back)
            self.residuals_grey.append(residual_grey)
            self.noise_grey = float(np.median(self.residuals_grey)) / np.sqrt(2)
            if len(self.pictures) == LEARNED_PICTURES:
                self.template = np.mean(self.pictures, axis=0)
                self.template_noise_grey = self.noise_grey / np.sqrt(LEARNED_PICTURES)
        if len(self.places_px) < LEARNED_PICTURES:
            self.places_px.append(moved_px)
        if len(self.places_px) < LEARNED_PICTURES:
            return "learning"
        return moved_px - np.mean(self.places_px, axis=0), noise_px

    def patch(self, grey: Floats, moved_px: Floats) -> Floats:
        """The region and its margin, moved back to where they were at first."""
        x, y = np.rint(moved_px).astype(int)
        top, bottom = self.rows[0] - MARGIN_PX + y, self.rows[-1] + 1 + MARGIN_PX + y
        left, right = self.columns[0] - MARGIN_PX + x, self.columns[-1] + 1 + MARGIN_PX + x
        by = (y - moved_px[1], x - moved_px[0])
        return np.asarray(ndimage.shift(grey[top:bottom, left:right], by, order=5, mode="mirror"))

    def fit(
        self, grey: Floats, guess_px: Floats
    ) -> tuple[Floats, Floats, float, float, float] | str:
        """Displacement, its noise, residual, gain and offset; or why they cannot be."""
        assert self.template is not None
        height, width = self.template.shape
        spline = RectBivariateSpline(np.arange(height), np.arange(width), self.template, kx=5, ky=5)
        rows, columns = self.rows - self.rows[0] + MARGIN_PX, self.columns - self.columns[0] + 8
        moved_px = np.array(guess_px)
        for _ in range(25):
            whole = np.rint(np.round(4 * moved_px) / 4)  # the very pixels that the fast path takes
            part_x, part_y = moved_px - whole
            picture = grey[np.ix_(self.rows + int(whole[1]), self.columns + int(whole[0]))].ravel()
            value = spline(rows - part_y, columns - part_x).ravel()
            slope_x = spline(rows - part_y, columns - part_x, dy=1).ravel()
            slope_y = spline(rows - part_y, columns - part_x, dx=1).ravel()
            design = np.stack([-slope_x, -slope_y, value, np.ones_like(value)], axis=1)
            # What the template's own noise adds to the normal equations.
            shift = (float(np.round(4 * part_x) / 4), float(np.round(4 * part_y) / 4))
            noise = value.size * self.template_noise_grey**2 * noise_products(*shift)
            answer = np.linalg.solve(
                design.T @ design - noise, design.T @ (picture - value) + noise[:, 2]
            )
            gain = 1 + answer[2]
            if gain < 0.1:
                return "changed:"
            step_px = answer[:2] / gain
            if np.abs(step_px).max() < 1e-4:
                break
            moved_px = moved_px + np.clip(step_px, -1, 1)
        residual = picture - value - design @ answer
        residual_grey = max(float(np.sqrt(residual @ residual / (value.size - 4))), 12**-0.5)
        texture_grey = float(self.template[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX].std())
        most_grey = max(0.25 * gain * texture_grey, min(0.5 * gain * texture_grey, 4.0))
        if self.noise_grey is not None:
            most_grey = max(most_grey, 4 * self.noise_grey)
        if residual_grey > most_grey or np.abs(step_px).max() > 0.3:
            return "changed:"
        if np.abs(moved_px).max() > LARGEST_MOTION_PX:
            return "moved:"
        variance = np.linalg.inv(design.T @ design)[:2, :2].diagonal()
        return moved_px, residual_grey * np.sqrt(variance) / gain, residual_grey, gain, answer[3]

    def searched(self, grey: Floats) -> Floats:
        """The whole displacement at which the picture is most like the template."""
        assert self.template is not None
        inner = self.template[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
        reach = int(LARGEST_MOTION_PX) + 1
        top, left = self.rows[0] - reach, self.columns[0] - reach
        around = grey[top : self.rows[-1] + 1 + reach, left : self.columns[-1] + 1 + reach]
        places = np.lib.stride_tricks.sliding_window_view(around, inner.shape)
        likeness = np.einsum("yxij,ij->yx", places, inner - inner.mean()) / places.std(axis=(2, 3))
        y, x = np.unravel_index(int(likeness.argmax()), likeness.shape)
        return np.array([float(x) - reach, float(y) - reach])
