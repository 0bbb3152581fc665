"""Regions of one size followed from picture to picture, each against its own template."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.displacement.batch import LINEAR_PX, Batch, Fits, Flags, Problems, Rows
from runtime.displacement.box import Box, Floats, Picture
from runtime.displacement.search import is_still_there, searched_px
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
_MOST_FAR_PX = 2 * LINEAR_PX  # of a place from where its last step began
_EXCESS_EVERY = 8  # frames
_EXCESS_PRIOR = 4  # looks that white noise counts for before the first
_EXCESS_LOOKS = 16  # that the blocks' excess of variance is averaged over
_SEARCHED_AT_ONCE, _SEARCH_EVERY = 8, 8  # frames: a lost region must not hold up the others


@dataclass(slots=True)
class Tracked:
    """(regions, 2) from each region's first picture; NaN where an axis is missing.

    All but ``walk_px2`` is its reader's to change.
    """

    moved_px: Floats
    noise_px: Floats
    walk_px2: Floats
    """Variance that following the look of the regions may have added to their places."""
    problem: Problems
    """Why both axes are missing."""
    began: list[int]
    """Regions that took this picture as their first."""
    made: list[int]
    """Regions whose template this picture has completed: later ones are measured against the average."""


class Tracker:
    """Follows regions whose samples need the same cell. For one camera and one thread."""

    def __init__(self, patches: Sequence[Box], samples: Sequence[Box]) -> None:
        count = len(samples)
        self._samples = tuple(samples)
        self._batch = Batch(samples)
        self._keepers = [TemplateKeeper(*boxes) for boxes in zip(patches, samples, strict=True)]
        # Of two axes by regions in memory, which numpy is quicker with than with pairs.
        self._last_px: Floats = np.zeros((2, count)).T
        self._inflation: Floats = np.ones((2, count)).T
        self._looks = np.zeros(count)
        self._refused = np.zeros(count, np.int64)  # in a row
        self._began_flat = np.zeros(count, bool)
        self._noise_grey = np.ones(count)
        self._texture_grey = np.zeros(count)
        self._begun, self._mended, self._learned = np.zeros((3, count), bool)
        self._shaded = np.zeros(count, bool)  # measured under uneven light
        self._follow_ns = np.zeros(count, np.int64)
        self._begun_ns = np.zeros(count, np.int64)
        self._frames = 0
        self._walk_px2: Floats = np.zeros((2, count)).T

    def measure(self, image: Picture, t_ns: int, *, coded: bool = False) -> Tracked:
        """Every region's place in this picture, which may be of ``coded`` video."""
        self._frames += 1
        problem = self._batch.expose(image, self._last_px)
        goes_on = self._begun & (self._mended | (self._refused <= LEARNED_PICTURES))
        rows = _fine(np.flatnonzero(goes_on), problem)
        begins = _fine(np.flatnonzero(~goes_on), problem)
        fits = self._fitted(image, rows)
        self._count_refusals(fits, rows, problem)
        good = _fine(rows, fits.problem)
        tracked = self._measured(fits, good, problem)
        self._take_on(image, t_ns, fits, good, tracked, coded=coded)
        for row in begins.tolist():
            self._begin(image, t_ns, row, tracked)
        return tracked

    def _fitted(self, image: Picture, rows: Rows) -> Fits:
        """Explain the pictures: from the last displacement, else from where a search leads."""
        fits = self._fit(image, rows)
        self._excuse(image, fits, rows)
        lost = [row for row in _spoilt(rows, fits.problem) if self._may(row)]
        if lost:
            guess_px = self._last_px.copy()
            for row in lost:
                template = self._keepers[row].template
                assert template is not None
                reach_px = int(LARGEST_MOTION_PX) + 1
                guess_px[row] = searched_px(image, template.samples, self._samples[row], reach_px)
            found = self._fit(image, np.array(lost), guess_px)
            self._excuse(image, found, np.array(lost))
            fits.take([row for row in lost if found.problem[row] in (None, BEYOND)], found)
        second = [row for row in rows[~self._mended[rows]].tolist() if not fits.problem[row]]
        for row in second:
            self._keepers[row].mend(float(fits.residual_grey[row]))
            self._mended[row] = True
            self._renew(row)
        if second:
            fits.take(second, self._fit(image, np.array(second), fits.moved_px))
        return fits

    def _fit(self, image: Picture, rows: Rows, guess_px: Floats | None = None) -> Fits:
        """Of these rows, from the guesses (regions, 2); without, from the last displacements."""
        textured = LARGEST_SE_PX / self._noise_grey
        fits = self._batch.fit(image, rows, guess_px, textured)
        suspect = self._suspect(fits)
        if suspect.any():
            for row in rows[suspect[rows]].tolist():
                fits.problem[row] = self._judged(fits, row)
        return fits

    def _suspect(self, fits: Fits) -> Flags:
        """All that ``_judged`` may refuse, which is nearly always none."""
        suspect = fits.flat | (fits.residual_grey > _MOST_EXCESS * self._noise_grey)
        suspect |= (fits.far_px > _MOST_FAR_PX) | (fits.blur > min(LARGEST_BLUR, _CODEC_BLUR))
        suspect |= (np.abs(fits.moved_px) > LARGEST_MOTION_PX).any(axis=1)
        suspect |= ~self._mended
        return suspect

    def _judged(self, fits: Fits, row: int) -> str | None:
        """Why the region cannot be measured by this fit."""
        if fits.flat[row]:
            return FLAT
        if fits.problem[row] is not None:
            return fits.problem[row]
        residual_grey, noise_grey = fits.residual_grey[row], self._noise_grey[row]
        seen_grey = fits.gain[row] * self._texture_grey[row]
        other = residual_grey > max(
            _MOST_UNEXPLAINED * seen_grey,
            _MOST_EXCESS * noise_grey,
            min(_CODEC_SHARE * seen_grey, _CODEC_GREY),
        )
        other |= fits.far_px[row] > _MOST_FAR_PX
        other |= not self._mended[row] and fits.gain[row] < _LEAST_GAIN_OF_SECOND
        if self._learned[row]:  # a single picture's noise would count as sharpness
            if fits.blur_share[row] > _BLUR_EXPLAINS:
                blurred = fits.blur[row] > (0.0 if other else LARGEST_BLUR)
            else:
                blurred = not other and fits.blur[row] > _CODEC_BLUR
            if blurred:
                return BLURRED
        if other:
            return CHANGED
        return BEYOND if np.abs(fits.moved_px[row]).max() > LARGEST_MOTION_PX else None

    def _excuse(self, image: Picture, fits: Fits, rows: Rows) -> None:
        """Measure these regions all the same where only the light on them is uneven.

        What a shadow's edge leaves unexplained is in the standard errors, with its blocks.
        """
        excusable = [
            row
            for row in _spoilt(rows, fits.problem)
            if fits.problem[row] == CHANGED
            and fits.far_px[row] <= _MOST_FAR_PX
            and self._learned[row]
        ]
        was_shaded = self._shaded[excusable]
        self._shaded[rows] = False
        self._shaded[excusable] = was_shaded
        for row in excusable:
            turn = (self._frames + row) % _SEARCH_EVERY == 0
            if turn or (not self._shaded[row] and self._refused[row] < _SEARCHED_AT_ONCE):
                template = self._keepers[row].template
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

    def _count_refusals(self, fits: Fits, rows: Rows, problem: Problems) -> None:
        if self._refused.any():
            self._refused[_fine(rows, fits.problem)] = 0
        for row in _spoilt(rows, fits.problem):
            self._refused[row] += 1
            began_flat = not self._mended[row] and self._began_flat[row]
            problem[row] = FLAT if began_flat else fits.problem[row]

    def _measured(self, fits: Fits, rows: Rows, problem: Problems) -> Tracked:
        """Displacements and standard errors of the regions whose pictures are explained."""
        if self._frames % _EXCESS_EVERY == 0:
            self._inflate(fits, rows)
        widened_grey = np.sqrt(np.maximum(self._inflation, 1.0)) * fits.residual_grey[:, None]
        if not self._learned.all():  # the template is one picture, as noisy as this one
            widened_grey[~self._learned] /= np.sqrt(2)
        noise_px = widened_grey * fits.noise_gain
        told = noise_px <= LARGEST_SE_PX
        if len(rows) < len(told):
            told &= np.isin(np.arange(len(told)), rows)[:, None]
        moved_px = fits.moved_px
        self._last_px[rows] = moved_px[rows]
        if not told.all():
            for row in rows[~told[rows].any(axis=1)].tolist():
                problem[row] = FLAT
            moved_px, noise_px = np.where(told, (moved_px, noise_px), np.nan)
        return Tracked(moved_px, noise_px, self._walk_px2, problem, [], [])

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
        follow_ns, learns = self._follow_ns, ~self._learned
        due = (follow_ns <= t_ns) | (follow_ns > t_ns + FOLLOW_EVERY_NS)  # or the clock went back
        due &= self._learned
        if not (due | learns).any():
            return
        usable = _fine(rows[~self._shaded[rows]], tracked.problem)
        for row in usable[learns[usable]].tolist():
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
        waiting = usable[due[usable]]
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
        assert keeper.template is not None
        self._begun[row] = True
        self._walk_px2[row] = keeper.walk_px2
        self._noise_grey[row] = keeper.noise_grey
        self._texture_grey[row] = keeper.template.texture_grey
        self._batch.renew(row, keeper.template)


def _fine(rows: Rows, problem: Problems) -> Rows:
    """The rows without a problem; quick when there is none at all, which is nearly always so."""
    return rows[[problem[row] is None for row in rows.tolist()]] if any(problem) else rows


def _spoilt(rows: Rows, problem: Problems) -> list[int]:
    """The rows with a problem."""
    return [row for row in rows.tolist() if problem[row] is not None] if any(problem) else []


def _explained(fits: Fits, row: int) -> tuple[Floats, float, float]:
    return fits.moved_px[row], float(fits.gain[row]), float(fits.offset_grey[row])
