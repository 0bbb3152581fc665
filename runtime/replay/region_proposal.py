"""Regions for a video that comes without any: where motion can be measured best.

The first picture tells where texture is, and by the Cramer-Rao bound what standard error it allows; the
best place in each part of the picture is a candidate. Then the candidates are tried: the meter itself
measures them for the video's first seconds. What changes in itself (foliage, water, traffic, a screen)
is explained badly by motion, or not at all, and is left out with its reason.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import cv2
import numpy as np

from failure import Failure
from runtime.config import Region
from runtime.displacement import LEARNED_PICTURES, Displacement, DisplacementMeter
from runtime.displacement.box import Box, Floats, Picture
from runtime.displacement.spline import EDGE_PX, Spline, noise_products
from runtime.displacement.template import QUANTISATION_GREY, noise_of
from runtime.frame import Frame

SIZE_PX = 48
REGIONS = 4
LARGEST_PROPOSED_SE_PX = 0.05
"""Places whose predicted standard error is larger along an axis are no candidates."""
TRIED_FRAMES = 300
NOISE_FRAMES = 4
"""Of which the noise is judged, beside the first."""

_LEAST_TRIED = LEARNED_PICTURES + 16  # frames, to judge a candidate by
_LEAST_MEASURED = 0.95  # share of the frames after learning
_MOST_NOISE = 2.5  # times what is predicted, and what the steadiest candidates have over that
_MOST_CLIPPED = 0.02  # share of pixels
_DARK_GREY, _SATURATED_GREY = 3, 253
_TILE_PX = 16
_PARTS = 3  # of the picture for each wanted region: candidates that may be left out


@dataclass(frozen=True, slots=True)
class Candidate:
    """A region, and the standard errors of one measurement there (px)."""

    region: Region
    x_se_px: float
    """Predicted from texture and noise; so y_se_px."""
    y_se_px: float
    measured_se_px: float | None = None
    """Of the worse axis as it was measured; None where the video is too short to try."""
    refused: str | None = None
    """Why it is not proposed."""

    @property
    def predicted_px(self) -> float:
        """Of the worse axis."""
        return max(self.x_se_px, self.y_se_px)

    @property
    def best_known_px(self) -> float:
        return self.predicted_px if self.measured_se_px is None else self.measured_se_px


@dataclass(frozen=True, slots=True)
class Proposal:
    """The first picture, regions best first, and what looked good at first and is not."""

    picture: Picture
    proposed: tuple[Candidate, ...]
    refused: tuple[Candidate, ...]

    @property
    def regions(self) -> tuple[Region, ...]:
        return tuple(one.region for one in self.proposed)


def propose_regions(
    frames: Iterable[Frame], count: int = REGIONS, size_px: int = SIZE_PX
) -> Proposal:
    """Up to ``count`` squares, spread over the picture, from a video's first frames.

    Raises Failure when there is no frame, the picture is too small, or no place is good enough.
    """
    stream = iter(frames)
    beginning = list(islice(stream, 1 + NOISE_FRAMES))
    if not beginning:
        raise Failure("the video holds no frame; give one that does")
    picture = beginning[0].image
    candidates = list(_candidates(picture, _noise_grey(beginning), count, size_px))
    if not candidates:
        raise Failure(
            "no part of the first picture has enough texture to measure its motion; "
            "give regions in a configuration, or film a textured surface"
        )
    tried = _tried(candidates, _chained(beginning, stream))
    good = sorted((one for one in tried if one.refused is None), key=lambda one: one.best_known_px)
    if not good:
        raise Failure(
            "every part of the picture that has texture changes in itself, as foliage or traffic does "
            f"({tried[0].refused}); give regions in a configuration, or film a rigid surface"
        )
    return Proposal(
        picture,
        _named(good[:count], "region"),
        _named([one for one in tried if one.refused is not None], "refused"),
    )


def _chained(beginning: list[Frame], stream: Iterator[Frame]) -> Iterator[Frame]:
    yield from beginning
    yield from islice(stream, TRIED_FRAMES - len(beginning))


def _noise_grey(frames: list[Frame]) -> float:
    """Of one picture: what changes from one to the next, and what is fine in one, are both too large."""
    every = Box(0, 0, frames[0].image.shape[1], frames[0].image.shape[0])
    greys = [every.grey(frame.image) for frame in frames]
    noises = [noise_of(greys[0])]
    for sooner, later in pairwise(greys):
        squares = cv2.blur(np.square(later - sooner), (_TILE_PX, _TILE_PX))
        noises.append(float(np.sqrt(np.median(squares[::_TILE_PX, ::_TILE_PX]) / 2)))
    return max(min(noises), QUANTISATION_GREY)


def _candidates(
    picture: Picture, noise_grey: float, count: int, size_px: int
) -> Iterator[Candidate]:
    """The best place in each part of the picture, best first; they do not overlap."""
    height, width = picture.shape[:2]
    size = min(size_px, height // 2, width // 2)
    if size < 8:
        raise Failure(
            f"a picture of {width}x{height} px is too small to measure in; "
            "give a video of at least 16x16 px"
        )
    x_se, y_se = _standard_errors(picture, noise_grey, size)
    worse = np.maximum(x_se, y_se)
    parts = _PARTS * count
    down = max(1, round(np.sqrt(parts * worse.shape[0] / worse.shape[1])))
    across = max(1, round(parts / down))
    found = []
    for rows in np.array_split(np.arange(worse.shape[0]), down):
        for columns in np.array_split(np.arange(worse.shape[1]), across):
            if rows.size and columns.size:
                part = worse[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
                y, x = divmod(int(part.argmin()), part.shape[1])
                found.append((float(part[y, x]), int(rows[0]) + y, int(columns[0]) + x))
    taken: list[tuple[int, int]] = []
    for se_px, y, x in sorted(found):
        apart = all(max(abs(y - top), abs(x - left)) >= size for top, left in taken)
        if se_px <= LARGEST_PROPOSED_SE_PX and apart:
            taken.append((y, x))
            region = Region(name="candidate", x=x, y=y, width=size, height=size)
            yield Candidate(region, float(x_se[y, x]), float(y_se[y, x]))


def _standard_errors(picture: Picture, noise_grey: float, size: int) -> tuple[Floats, Floats]:
    """Bound of x and y for a square with its top left corner at each place, infinite where none is.

    Of the least squares with both axes free: the inverse of the structure tensor, whose share of noise
    is taken out (Shi and Tomasi, "Good features to track", CVPR 1994, judge by the same tensor).
    """
    spline = Spline(Box(0, 0, picture.shape[1], picture.shape[0]).grey(picture))
    across, down = spline.moved((0.0, 0.0), across=1), spline.moved((0.0, 0.0), down=1)
    noise = noise_grey**2 * noise_products(0.0, 0.0).diagonal()[0]
    xx, yy, xy = (_sums(one, size) for one in (across * across, down * down, across * down))
    raw = np.minimum(xx, yy)
    xx, yy = xx - size**2 * noise, yy - size**2 * noise
    determinant = xx * yy - xy * xy
    green = picture[:, :, 1]
    clipped = _sums(((green >= _SATURATED_GREY) | (green <= _DARK_GREY)).astype(np.float64), size)
    good = (np.minimum(xx, yy) > 0.1 * raw) & (determinant > 0.01 * xx * yy)
    good &= clipped <= _MOST_CLIPPED * size**2
    # At the picture's very edge the meter would have to leave samples out.
    good[:EDGE_PX], good[-EDGE_PX:], good[:, :EDGE_PX], good[:, -EDGE_PX:] = (False,) * 4
    with np.errstate(divide="ignore", invalid="ignore"):
        both = [noise_grey * np.sqrt(other / determinant) for other in (yy, xx)]
    x_se, y_se = (np.where(good, one, np.inf) for one in both)
    return x_se, y_se


def _sums(values: Floats, size: int) -> Floats:
    """Sums over squares, by their top left corner."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    cv2.integral(values, total, cv2.CV_64F)
    sums: Floats = total[size:, size:] - total[size:, :-size] - total[:-size, size:]
    return sums + total[:-size, :-size]


def _tried(candidates: list[Candidate], frames: Iterator[Frame]) -> list[Candidate]:
    """The candidates as the meter finds them on these frames."""
    numbered = [
        one.region.model_copy(update={"name": f"candidate-{number}"})
        for number, one in enumerate(candidates)
    ]
    meter = DisplacementMeter(numbered)
    # Coded or not: candidates are compared with each other, and a short video must do.
    plain = (replace(frame, predicted=False) for frame in frames)
    columns = list(zip(*(meter.measure(frame) for frame in plain), strict=True))
    if len(columns[0]) < _LEAST_TRIED:
        return candidates
    results = [column[LEARNED_PICTURES:] for column in columns]
    measured_px = [_measured_se_px(column) for column in results]
    ratios = [
        np.inf if se_px is None else se_px / one.predicted_px
        for one, se_px in zip(candidates, measured_px, strict=True)
    ]
    steady = max(1.0, float(np.quantile(ratios, 0.25, method="lower")))
    tried = []
    for one, column, se_px, ratio in zip(candidates, results, measured_px, ratios, strict=True):
        refused = _lost(column)
        if refused is None and ratio > _MOST_NOISE * steady:
            refused = "changes in itself: motion explains it badly"
        tried.append(replace(one, measured_se_px=se_px, refused=refused))
    return tried


def _measured_se_px(results: tuple[Displacement, ...]) -> float | None:
    known = [
        max(one.x_noise_px, one.y_noise_px)
        for one in results
        if one.x_noise_px is not None and one.y_noise_px is not None
    ]
    return float(np.median(known)) if known else None


def _lost(results: tuple[Displacement, ...]) -> str | None:
    reasons = [one.reason for one in results if one.reason is not None]
    if len(reasons) <= (1 - _LEAST_MEASURED) * len(results):
        return None
    [(reason, _)] = Counter(reasons).most_common(1)
    return f"{100 * len(reasons) / len(results):.0f} % of the frames {reason}"


def _named(candidates: list[Candidate], name: str) -> tuple[Candidate, ...]:
    return tuple(
        replace(one, region=one.region.model_copy(update={"name": f"{name}-{number}"}))
        for number, one in enumerate(candidates, 1)
    )
