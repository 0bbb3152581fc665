"""One region's template: begun with a picture, learned from the first ones, following slow change.

One noisy picture is a poor template, so it is replaced by the average of the first
``LEARNED_PICTURES`` usable ones, each moved back onto the first by its own measured displacement; of coded
video by that of the first ``CODED_NS``, because pictures that a codec made from one key frame share its errors.

From then on it follows what changes over minutes: the sun's way, shadows, rain, dust. One picture in
two seconds goes into the next average, moved back by its measured displacement and with its gain and
offset taken out, and each average has a weight of ``FOLLOW_WEIGHT``. So the template takes on a new
look and never a new place: motion, however slow, stays in the displacement. What the averages'
own errors may have shifted its place by is told (``walk_px2``). Focus that is lost over hours is followed
too; the standard errors grow with it, and the camera's health judges it.
"""

import numpy as np

from runtime.displacement.box import Box, Floats, Picture
from runtime.displacement.spline import EDGE_PX, moved_once
from runtime.displacement.template import QUANTISATION_GREY, Template, noise_of

LEARNED_PICTURES = 32
"""Usable pictures of which each average is made, the first of coded video of more."""
CODED_NS = 4_000_000_000
"""Of coded video, in which the first average is made; key frames are mostly one or two seconds apart."""
FOLLOW_EVERY_NS = 2_000_000_000
FOLLOW_WEIGHT = 1 / 4
"""Of a new average in the template, whose time constant is so some four minutes."""


class TemplateKeeper:
    """The template of one region, and what is known of its noise."""

    def __init__(self, patch: Box, samples: Box) -> None:
        self.template: Template | None = None
        self.noise_grey = QUANTISATION_GREY
        """Of one picture."""
        self.walk_px2: Floats = np.zeros(2)
        """Variance of the place that following may have cost."""
        self._patch, self._samples = patch, samples
        self._sum: Floats = np.zeros(patch.shape)
        self._count = 0
        self._residuals: list[float] = []  # of the learned pictures, two pictures' noise in each
        self._variances_px2: Floats = np.zeros(2)
        self._template_variance = 0.0  # of its noise, in squared grey levels

    def begin(self, image: Picture) -> Floats:
        """Take this picture as the first; standard error of its place for each axis, (2,)."""
        grey = self._patch.grey(image)
        self.noise_grey = noise_of(grey)
        self._sum, self._count = grey.astype(np.float64), 1
        self._residuals = []
        # One picture cannot tell noise from fine texture: noise is judged, but not yet mended.
        judged = self._made(grey.astype(np.float64), self.noise_grey)
        self.template = self._made(grey.astype(np.float64), 0.0)
        return self.noise_grey * judged.step((0.0, 0.0)).noise_gain

    def mend(self, residual_grey: float) -> None:
        """Only the second picture tells the noise: the first is mended with it."""
        assert self.template is not None
        self.noise_grey = residual_grey / np.sqrt(2)
        self.template = self._made(self.template.grey, self.noise_grey)

    def learn(
        self,
        image: Picture,
        moved_px: Floats,
        gain: float,
        offset_grey: float,
        residual: float,
        *,
        may_end: bool = True,
    ) -> bool:
        """Add a picture to the first average. True when it made the template, as enough ``may_end``."""
        if not self._add(image, moved_px, gain, offset_grey):
            return False
        self._residuals.append(residual)
        self.noise_grey = float(np.median(self._residuals)) / np.sqrt(2)
        if self._count < LEARNED_PICTURES or not may_end:
            return False
        self._template_variance = self.noise_grey**2 / self._count
        self.template = self._made(self._average(), np.sqrt(self._template_variance))
        return True

    def follow(
        self,
        image: Picture,
        moved_px: Floats,
        gain: float,
        offset_grey: float,
        residual_grey: float,
        noise_px: Floats,
    ) -> bool:
        """Add a picture to the next average. True when the template has taken it on."""
        assert self.template is not None
        if not self._add(image, moved_px, gain, offset_grey):
            return False
        share = FOLLOW_WEIGHT / LEARNED_PICTURES
        self.noise_grey += share * (residual_grey - self.noise_grey)
        self._variances_px2 += np.square(noise_px)
        if self._count < LEARNED_PICTURES:
            return False
        self.walk_px2 = self.walk_px2 + share**2 * self._variances_px2
        self._variances_px2 = np.zeros(2)
        followed = self.template.grey + FOLLOW_WEIGHT * (self._average() - self.template.grey)
        self._template_variance *= (1 - FOLLOW_WEIGHT) ** 2
        self._template_variance += FOLLOW_WEIGHT**2 * self.noise_grey**2 / LEARNED_PICTURES
        self.template = self._made(followed, np.sqrt(self._template_variance))
        return True

    def _add(self, image: Picture, moved_px: Floats, gain: float, offset_grey: float) -> bool:
        whole = np.rint(moved_px)
        box = self._patch.moved((int(whole[0]), int(whole[1])))
        if not box.is_inside(image):
            return False
        x, y = (whole - moved_px).tolist()
        self._sum += (moved_once(box.grey(image), (x, y)) - offset_grey) / gain
        self._count += 1
        return True

    def _average(self) -> Floats:
        """Of the pictures added; the next average begins."""
        average = self._sum / self._count
        self._sum, self._count = np.zeros(self._patch.shape), 0
        return average

    def _made(self, grey: Floats, noise_grey: float) -> Template:
        return Template(grey, self._patch, self._samples, noise_grey)


def boxes_of(region: Box, width_px: int, height_px: int, margin_px: int = 8) -> tuple[Box, Box]:
    """The patch of the picture that a template is, and the samples in it that are compared."""
    patch = region.grown(margin_px, width_px, height_px)
    samples = Box(
        max(region.left, patch.left + EDGE_PX),
        max(region.top, patch.top + EDGE_PX),
        min(region.right, patch.right - EDGE_PX),
        min(region.bottom, patch.bottom - EDGE_PX),
    )
    return patch, samples
