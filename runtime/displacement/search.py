"""Where a region went that is not near where it was: a first guess, to the whole pixel.

Normalised cross-correlation (Lewis, "Fast normalized cross-correlation", 1995) of the region's own
samples with everything in reach. Phase correlation is the classic for this and would be quicker, but
it weighs what came into the window as much as what stayed: it loses most jumps of a third of the region
and nearly all on soft texture, where this finds them (decision 009).
"""

import cv2
import numpy as np

from runtime.displacement.box import Box, Floats, Picture


def searched_px(image: Picture, template: Floats, samples: Box, reach_px: int) -> Floats:
    """The displacement (2,) at which the picture is most like the template of the samples."""
    window = samples.grown(reach_px, image.shape[1], image.shape[0])
    likeness = cv2.matchTemplate(
        window.grey(image), template.astype(np.float32), cv2.TM_CCOEFF_NORMED
    )
    _, _, _, (x, y) = cv2.minMaxLoc(likeness)
    return np.array([window.left + x - samples.left, window.top + y - samples.top], np.float64)
