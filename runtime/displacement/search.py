"""Where a region went that is not near where it was: a first guess, to the whole pixel.

Normalised cross-correlation (Lewis, "Fast normalized cross-correlation", 1995) of the region's own
samples with everything in reach. Phase correlation is the classic for this and would be quicker, but
it weighs what came into the window as much as what stayed: it loses most jumps of a third of the region
and nearly all on soft texture, where this finds them (decision 009).

A shadow's edge changes a picture more than noise ever does, and leaves its detail where it was:
``is_still_there`` tells it from something in front.
"""

import cv2
import numpy as np

from runtime.displacement.box import Box, Floats, Picture, Pixels

_DETAIL_PX = 9  # what is broader than this is light
_PARTS = 3  # across and down, each judged by itself
_ALIKE = 0.5


def searched_px(image: Picture, template: Floats, samples: Box, reach_px: int) -> Floats:
    """The displacement (2,) at which the picture is most like the template of the samples."""
    window = samples.grown(reach_px, image.shape[1], image.shape[0])
    likeness = cv2.matchTemplate(
        window.grey(image), template.astype(np.float32), cv2.TM_CCOEFF_NORMED
    )
    _, _, _, (x, y) = cv2.minMaxLoc(likeness)
    return np.array([window.left + x - samples.left, window.top + y - samples.top], np.float64)


def is_still_there(image: Picture, template: Floats, samples: Box, moved_px: Floats) -> bool:
    """Whether the template's detail is in all parts of the picture at this displacement.

    By the correlation of what a local mean leaves: light that changes across the region scales
    detail, and something that covers it has another.
    """
    whole = np.rint(moved_px)
    box = samples.moved((int(whole[0]), int(whole[1])))
    if not box.is_inside(image):
        return False
    seen = _detail(box.grey(image))
    shift = np.array([[1, 0, moved_px[0] - whole[0]], [0, 1, moved_px[1] - whole[1]]])
    size = (samples.width_px, samples.height_px)
    there = cv2.warpAffine(template, shift, size, borderMode=cv2.BORDER_REPLICATE)
    wanted = _detail(there.astype(np.float32))
    return all(
        float(np.sum(one * other)) > _ALIKE * float(np.linalg.norm(one) * np.linalg.norm(other))
        for one, other in zip(_parts(seen), _parts(wanted), strict=True)
    )


def _detail(grey: Pixels) -> Pixels:
    return np.asarray(grey - cv2.blur(grey, (_DETAIL_PX, _DETAIL_PX)), np.float32)


def _parts(grey: Pixels) -> list[Pixels]:
    return [
        part
        for rows in np.array_split(grey, _PARTS)
        for part in np.array_split(rows, _PARTS, axis=1)
    ]
