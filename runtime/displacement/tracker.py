"""Regions of one size followed from picture to picture, each against its own template."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from runtime.displacement.batch import Batch, Fits, Problems, Rows
from runtime.displacement.box import Box, Floats, Picture
from runtime.displacement.search import is_still_there, searched_px
from runtime.displacement.template import Template
from runtime.displacement.template_keeper import (
    CODED_NS,
    FOLLOW_EVERY_NS,
    LEARNED_PICTURES,
    TemplateKeeper,
)

LARGEST_SE_PX = 0.2
"""An axis with a larger standard error is not published: the region is too flat along it."""
LARGEST_MOTION_PX = 20.0
"""Displacements beyond this are refused."""
LARGEST_BLUR = 0.5
"""Squared defocus times the texture's mean squared wave number, against the learned sharpness, beyond
which a region is refused: its slopes have lost about a fifth. That of ``_CODEC_BLUR`` where defocus
explains little of what is left: a codec's key frames and its quantiser take faint detail, too."""

FLAT = "flat: too little texture for a displacement"
CHANGED = "changed: something covers it, or it turned, or it moved too far"
BEYOND = f"moved: by more than {LARGEST_MOTION_PX:g} px"
BLURRED = "blurred: it has lost the sharpness that was learned"

_MOST_UNEXPLAINED = 0.25  # of the texture's standard deviation, and ...
_MOST_EXCESS = 4.0  # ... times the noise so far: a larger residual is another picture
_CODEC_BLUR = 1.0  # no more than .8 at crf 12 to 28; defocus by 1.5 px has 1.2
_CODEC_GREY, _CODEC_SHARE = 4.0, 0.5  # a residual up to both, of faint texture, may be a codec's
_BLUR_EXPLAINS = 0.2  # of the residual: then the picture is the same, and blurred
_LEAST_GAIN_OF_SECOND = 0.5  # noise is like noise somewhere, but faintly
_EXCESS_EVERY = 8  # frames
_EXCESS_PRIOR = 4  # looks that white noise counts for before the first
_EXCESS_LOOKS = 16  # that the blocks' excess of variance is averaged over
_SEARCHED_AT_ONCE, _SEARCH_EVERY = 8, 8  # frames: a lost region must not hold up the others


@dataclass(slots=True)
class Tracked:
    """(regions, 2) from each region's first picture; NaN where an axis is missing."""

    moved_px: Floats
    noise_px: Floats
    problem: Problems
    """Why both axes are missing."""
    began: list[int]
    """Regions that took this picture as their first."""
    made: list[int]
    """Regions whose template this picture has completed: later ones are measured against the average."""

    @classmethod
    def nothing(cls, problem: Problems) -> "Tracked":
        """Before anything is measured."""
        count = len(problem)
        moved_px, noise_px = np.full((2, count, 2), np.nan)
        return cls(moved_px, noise_px, problem, [], [])


class Tracker:
    """Follows regions whose samples need the same cell. For one camera and one thread."""

    def __init__(self, patches: Sequence[Box], samples: Sequence[Box]) -> None:
        count = len(samples)
        self._samples = tuple(samples)
        self._batch = Batch(samples)
        self._keepers = [TemplateKeeper(*boxes) for boxes in zip(patches, samples, strict=True)]
        self._templates: list[Template | None] = [None] * count
        self._last_px: Floats = np.zeros((count, 2))
        self._inflation: Floats = np.ones((count, 2))
        self._looks = np.zeros(count)
        self._refused = np.zeros(count, np.int64)  # in a row
        self._began_flat = np.zeros(count, bool)
        self._noise_grey = np.ones(count)
        self._texture_grey = np.zeros(count)
        self._mended, self._learned = np.zeros((2, count), bool)
        self._shaded = np.zeros(count, bool)  # measured under uneven light
        self._follow_ns = np.zeros(count, np.int64)
        self._begun = np.zeros(count, bool)
        self._begun_ns = np.zeros(count, np.int64)
        self._frames = 0
        self.walk_px2: Floats = np.zeros((count, 2))
        """Variance that following the look of the regions may have added to their places."""

    def measure(self, image: Picture, t_ns: int, *, coded: bool = False) -> Tracked:
        """Every region's place in this picture, which may be of ``coded`` video."""
        self._frames += 1
        tracked = Tracked.nothing(self._batch.expose(image, self._last_px))
        seen = _fine(tracked.problem)
        begins = seen & ~self._begun
        begins |= seen & ~self._mended & (self._refused > LEARNED_PICTURES)
        rows = np.flatnonzero(seen & ~begins)
        fits = self._fitted(image, rows)
        self._count_refusals(fits, rows, tracked)
        good = rows[_fine(fits.problem)[rows]]
        self._measured(fits, good, tracked)
        self._take_on(image, t_ns, fits, good, tracked, coded=coded)
        for row in np.flatnonzero(begins).tolist():
            self._begin(image, t_ns, row, tracked)
        return tracked

    def _fitted(self, image: Picture, rows: Rows) -> Fits:
        """Explain the pictures: from the last displacement, else from where a search leads."""
        fits = self._fit(image, rows, self._last_px)
        self._excuse(image, fits, rows)
        lost = [row for row in _spoilt(fits, rows) if self._may(row)]
        if lost:
            guess_px = self._last_px.copy()
            for row in lost:
                template = self._templates[row]
                assert template is not None
                reach_px = int(LARGEST_MOTION_PX) + 1
                guess_px[row] = searched_px(image, template.samples, self._samples[row], reach_px)
            found = self._fit(image, np.array(lost), guess_px)
            self._excuse(image, found, np.array(lost))
            _take(fits, found, [row for row in lost if found.problem[row] in (None, BEYOND)])
        first = [row for row in rows[~self._mended[rows]].tolist() if not fits.problem[row]]
        for row in first:
            self._keepers[row].mend(float(fits.residual_grey[row]))
            self._mended[row] = True
            self._renew(row)
        if first:
            _take(fits, self._fit(image, np.array(first), fits.moved_px), first)
        return fits

    def _fit(self, image: Picture, rows: Rows, guess_px: Floats) -> Fits:
        textured = LARGEST_SE_PX / self._noise_grey
        fits = self._batch.fit(image, rows, self._templates, guess_px, textured)
        seen_grey = fits.gain * self._texture_grey
        most_grey = np.maximum(_MOST_UNEXPLAINED * seen_grey, _MOST_EXCESS * self._noise_grey)
        most_grey = np.maximum(most_grey, np.minimum(_CODEC_SHARE * seen_grey, _CODEC_GREY))
        other = (fits.residual_grey > most_grey) | ~fits.settled
        other |= ~self._mended & (fits.gain < _LEAST_GAIN_OF_SECOND)
        beyond = np.abs(fits.moved_px).max(axis=1) > LARGEST_MOTION_PX
        explains = fits.blur_share > _BLUR_EXPLAINS
        most_blur = np.where(explains, LARGEST_BLUR, _CODEC_BLUR)
        blurred = np.where(other, explains & (fits.blur > 0), fits.blur > most_blur)
        blurred &= self._learned  # a single picture's noise would count as sharpness
        for row in rows[(other | beyond | blurred | fits.flat)[rows]].tolist():
            if fits.flat[row]:
                fits.problem[row] = FLAT
            elif fits.problem[row] is None:
                fits.problem[row] = BLURRED if blurred[row] else CHANGED if other[row] else BEYOND
        return fits

    def _excuse(self, image: Picture, fits: Fits, rows: Rows) -> None:
        """Measure these regions all the same where only the light on them is uneven.

        What a shadow's edge leaves unexplained is in the standard errors, with its blocks.
        """
        excusable = [
            row
            for row in _spoilt(fits, rows)
            if fits.problem[row] == CHANGED and fits.settled[row] and self._learned[row]
        ]
        was_shaded = self._shaded[excusable]
        self._shaded[rows] = False
        self._shaded[excusable] = was_shaded
        for row in excusable:
            turn = (self._frames + row) % _SEARCH_EVERY == 0
            if turn or (not self._shaded[row] and self._refused[row] < _SEARCHED_AT_ONCE):
                template = self._templates[row]
                assert template is not None
                self._shaded[row] = is_still_there(
                    image, template.samples, self._samples[row], fits.moved_px[row]
                )
            if self._shaded[row]:
                is_beyond = np.abs(fits.moved_px[row]).max() > LARGEST_MOTION_PX
                fits.problem[row] = BEYOND if is_beyond else None

    def _may(self, row: int) -> bool:
        """Whether it is this lost region's turn to be searched for."""
        refused = int(self._refused[row])
        return refused < _SEARCHED_AT_ONCE or (self._frames + row) % _SEARCH_EVERY == 0

    def _count_refusals(self, fits: Fits, rows: Rows, tracked: Tracked) -> None:
        self._refused[rows[_fine(fits.problem)[rows]]] = 0
        for row in _spoilt(fits, rows):
            problem = fits.problem[row]
            self._refused[row] += 1
            if not self._mended[row] and self._began_flat[row]:
                problem = FLAT
            tracked.problem[row] = problem

    def _measured(self, fits: Fits, rows: Rows, tracked: Tracked) -> None:
        """Displacements and standard errors of the regions whose pictures are explained."""
        if self._frames % _EXCESS_EVERY == 0:
            self._inflate(fits, rows)
        noise_px = fits.residual_grey[:, None] * fits.noise_gain
        noise_px *= np.sqrt(np.maximum(self._inflation, 1.0))
        noise_px[~self._learned] /= np.sqrt(2)  # the template is one picture, as noisy as this one
        flat = noise_px > LARGEST_SE_PX
        self._last_px[rows] = fits.moved_px[rows]
        tracked.moved_px[rows] = np.where(flat, np.nan, fits.moved_px)[rows]
        tracked.noise_px[rows] = np.where(flat, np.nan, noise_px)[rows]
        for row in rows[flat[rows].all(axis=1)].tolist():
            tracked.problem[row] = FLAT

    def _inflate(self, fits: Fits, rows: Rows) -> None:
        """By how much variances are larger than white noise would make them."""
        excess = self._batch.excess(fits)
        told = rows[np.isfinite(excess[rows]).all(axis=1)]
        self._looks[told] += 1
        weight = 1 / np.minimum(_EXCESS_PRIOR + self._looks[told], _EXCESS_LOOKS)
        self._inflation[told] += weight[:, None] * (excess[told] - self._inflation[told])

    def _take_on(
        self, image: Picture, t_ns: int, fits: Fits, rows: Rows, tracked: Tracked, *, coded: bool
    ) -> None:
        """Let templates learn from the picture, and one of the finished ones follow it."""
        usable = rows[(_fine(tracked.problem) & ~self._shaded)[rows]]
        for row in usable[~self._learned[usable]].tolist():
            keeper = self._keepers[row]
            since_ns = t_ns - self._begun_ns[row]
            made = keeper.learn(
                image,
                *_explained(fits, row),
                float(fits.residual_grey[row]),
                # A short file has come to its end and begins again: what is learned must do.
                may_end=not (coded and 0 < since_ns < CODED_NS),
            )
            self._noise_grey[row] = keeper.noise_grey
            if made:
                tracked.made.append(row)
                self._learned[row] = True
                self._follow_ns[row] = t_ns + FOLLOW_EVERY_NS
                self._renew(row)
        follow_ns = self._follow_ns
        due = (follow_ns <= t_ns) | (follow_ns > t_ns + FOLLOW_EVERY_NS)  # or the clock went back
        waiting = usable[(due & self._learned)[usable]]
        if waiting.size:
            row = int(waiting[follow_ns[waiting].argmin()])
            self._follow_ns[row] = t_ns + FOLLOW_EVERY_NS
            noise_px = np.nan_to_num(tracked.noise_px[row])
            keeper = self._keepers[row]
            if keeper.follow(
                image,
                *_explained(fits, row),
                float(fits.residual_grey[row]),
                noise_px,
            ):
                self._renew(row)
            self._noise_grey[row] = keeper.noise_grey

    def _begin(self, image: Picture, t_ns: int, row: int, tracked: Tracked) -> None:
        keeper = self._keepers[row]
        se_px = keeper.begin(image)
        self._last_px[row], self._inflation[row], self._looks[row] = 0.0, 1.0, 0
        self._refused[row] = 0
        flat = ~(se_px <= LARGEST_SE_PX)
        self._began_flat[row], self._begun_ns[row] = flat.all(), t_ns
        self._renew(row)
        tracked.began.append(row)
        tracked.moved_px[row] = np.where(flat, np.nan, 0.0)
        tracked.noise_px[row] = np.where(flat, np.nan, se_px)
        if flat.all():
            tracked.problem[row] = FLAT

    def _renew(self, row: int) -> None:
        """The keeper has made another template."""
        keeper = self._keepers[row]
        template = self._templates[row] = keeper.template
        assert template is not None
        self._begun[row] = True
        self.walk_px2[row] = keeper.walk_px2
        self._noise_grey[row] = keeper.noise_grey
        self._texture_grey[row] = template.texture_grey
        self._batch.forget(row)


def _fine(problem: Problems) -> NDArray[np.bool_]:
    """Where there is no problem; quick when there is none at all, which is nearly always so."""
    if not any(problem):
        return np.ones(len(problem), bool)
    return np.array([one is None for one in problem])


def _spoilt(fits: Fits, rows: Rows) -> list[int]:
    """The rows with a problem."""
    return rows[~_fine(fits.problem)[rows]].tolist() if any(fits.problem) else []


def _take(fits: Fits, newer: Fits, rows: Sequence[int]) -> None:
    """The newer fits of these rows in the place of the older."""
    for one in fields(Fits):
        older, values = getattr(fits, one.name), getattr(newer, one.name)
        for row in rows:
            older[row] = values[row]


def _explained(fits: Fits, row: int) -> tuple[Floats, float, float]:
    return fits.moved_px[row], float(fits.gain[row]), float(fits.offset_grey[row])
