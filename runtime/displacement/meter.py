"""All regions of one camera, measured on every frame."""

from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from failure import Failure
from runtime.config import Region
from runtime.displacement.batch import OUT_OF_PICTURE
from runtime.displacement.box import Box, Floats
from runtime.displacement.codec import CodecError
from runtime.displacement.displacement import Displacement
from runtime.displacement.shake import Model, ShakeCompensation
from runtime.displacement.spline import EDGE_PX
from runtime.displacement.template_keeper import CODED_NS, LEARNED_PICTURES, boxes_of
from runtime.displacement.tracker import BEYOND, FLAT, LARGEST_SE_PX, Tracked, Tracker
from runtime.displacement.zero import Zero
from runtime.frame import Frame

LEARNING = (
    f"learning: zero is the mean of the first {LEARNED_PICTURES} usable pictures, "
    f"of coded video of the first {CODED_NS / 1e9:g} s"
)


class DisplacementMeter:
    """Measures the regions of one camera, at least one; frames go in one after the other.

    The first frame fixes the picture's size. Raises Failure from the first ``measure`` if a region
    lies outside the picture, and from a later one if the picture's size has changed.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        self._regions = tuple(regions)
        self._names = [region.name for region in regions]
        self._size_px: tuple[int, int] | None = None
        self._trackers: list[tuple[list[int], Tracker]] = []
        self._codec = CodecError(len(regions))
        self._made: list[int] = []  # regions that have another template since the last picture
        self._zero = Zero(len(regions))
        self._references = [i for i, one in enumerate(regions) if one.reference]
        self._others = [i for i, one in enumerate(regions) if not one.reference]
        self._compensation: ShakeCompensation | None = None
        if self._references and self._others:
            centres_px = np.array(
                [(one.x + (one.width - 1) / 2, one.y + (one.height - 1) / 2) for one in regions]
            )
            self._compensation = ShakeCompensation(
                [regions[i].name for i in self._references],
                centres_px[self._references],
                centres_px[self._others],
            )

    def learn(self, frames: Iterable[Frame]) -> None:
        """Take templates and zeros from a file's first frames, which come again after that."""
        for number, frame in enumerate(frames, 1):
            self.measure(frame)
            had_time = number >= LEARNED_PICTURES and frame.t_capture_ns >= CODED_NS
            if had_time or self._zero.is_learned.all():
                return

    def measure(self, frame: Frame) -> tuple[Displacement, ...]:
        """The displacement of each region, in the order in which they were configured."""
        height_px, width_px = frame.image.shape[:2]
        if self._size_px is None:
            self._trackers = _trackers(self._regions, width_px, height_px)
            self._size_px = (width_px, height_px)
        elif self._size_px != (width_px, height_px):
            raise Failure(
                f"The picture's size changed from {self._size_px[0]}x{self._size_px[1]} to "
                f"{width_px}x{height_px} px, so the configured regions no longer fit; set the "
                "camera back to its former size, or start again with regions for the new one."
            )
        tracked, variance_px2 = self._tracked(frame)
        if tracked.began:
            self._zero.restart(tracked.began)
        t_ns = frame.t_capture_ns
        began = (*tracked.began, *self._made)
        codec_px2 = self._codec.variance_px2(
            t_ns, tracked.moved_px, tracked.noise_px, predicted=frame.predicted, began=began
        )
        self._made = tracked.made
        shake = self._steadied(t_ns, tracked, variance_px2)
        self._zero.learn(tracked.moved_px, tracked.noise_px, tracked.made)
        return self._published(t_ns, tracked, variance_px2, shake, codec_px2)

    def _tracked(self, frame: Frame) -> tuple[Tracked, Floats]:
        """Every region from its first picture, and the variance of that; (regions, 2)."""
        image, t_ns, coded = frame.image, frame.t_capture_ns, self._codec.is_coded
        parts = [
            (rows, tracker.measure(image, t_ns, coded=coded)) for rows, tracker in self._trackers
        ]
        every = parts[0][1]
        if len(parts) > 1:
            every = _together(parts, len(self._regions))
        return every, np.square(every.noise_px) + every.walk_px2

    def _steadied(self, t_ns: int, tracked: Tracked, variance_px2: Floats) -> Floats | None:
        """Take the camera's shake out of all but the references.

        Returns what was taken out, (regions, 2), NaN where nothing was; None without references.
        """
        if self._compensation is None:
            return None
        shake_px = np.full_like(tracked.moved_px, np.nan)
        still, others = self._references, self._others
        moved_px = (tracked.moved_px - self._zero.px)[still]
        zero_px2 = self._zero.variance_px2[still]
        verdict = self._compensation.verdict(
            t_ns,
            moved_px,
            variance_px2[still] + zero_px2,
            [tracked.problem[row] for row in still],
            bool(self._zero.is_learned[still].all()),
        )
        if verdict is not None:
            for values in (tracked.moved_px, tracked.noise_px, variance_px2):
                values[others] = np.nan
            for row in others:
                # How far it moved is not known either, without the camera's own part.
                if tracked.problem[row] in (None, BEYOND, OUT_OF_PICTURE):
                    tracked.problem[row] = verdict
            return shake_px
        shake = self._compensation.shake(
            moved_px, np.square(tracked.noise_px[still]), variance_px2[still], zero_px2
        )
        shake_px[others] = shake.moved_px
        tracked.moved_px[others] -= shake.moved_px
        # Counted from the references' first pictures: their zeros may still be in the making.
        tracked.moved_px[others] -= self._compensation.carried(self._zero.px[still])
        tracked.noise_px[others] = np.sqrt(np.square(tracked.noise_px[others]) + shake.noise_px2)
        variance_px2[others] += shake.variance_px2
        return shake_px

    def _published(
        self,
        t_ns: int,
        tracked: Tracked,
        variance_px2: Floats,
        shake_px: Floats | None,
        codec_px2: Floats | None,
    ) -> tuple[Displacement, ...]:
        se_px = np.sqrt(variance_px2 + self._zero.variance_px2)
        textured = se_px <= LARGEST_SE_PX  # False where not measured
        known = textured & self._zero.is_learned
        moved_px = tracked.moved_px - self._zero.px
        (x, y), (x_se, y_se), (x_noise, y_noise) = (
            _told(values, known) for values in (moved_px, se_px, tracked.noise_px)
        )
        nothing = repeat(None)
        valid: Iterable[bool] = repeat(True)
        if not known.all():
            valid = list(map(any, known.tolist()))
            for row in np.flatnonzero(~known.all(axis=1)).tolist():
                tracked.problem[row] = tracked.problem[row] or _missing(textured[row], known[row])
        models: Iterable[Model | None] = nothing
        x_out: Iterable[float | None] = nothing
        y_out: Iterable[float | None] = nothing
        if shake_px is not None:
            assert self._compensation is not None
            steadied = known & np.isfinite(shake_px)
            x_out, y_out = _told(shake_px, steadied)
            model = self._compensation.model
            models = [model if any(axes) else None for axes in steadied.tolist()]
        x_codec: Iterable[float | None] = nothing
        y_codec: Iterable[float | None] = nothing
        if codec_px2 is not None:
            # Only here: what a codec does must not refuse a region, nor hold an alert back.
            se_px = np.sqrt(np.square(se_px) + np.nan_to_num(codec_px2))
            x_se, y_se = _told(se_px, known)
            x_codec, y_codec = _told(np.sqrt(codec_px2), known & np.isfinite(codec_px2))
        # By position, in the order of Displacement: by name, these would be a frame's dearest lines.
        rows = zip(
            *(self._names, repeat(t_ns), x, y, x_se, y_se, valid, tracked.problem),
            *(x_noise, y_noise, models, x_out, y_out, x_codec, y_codec),
            strict=False,  # what repeats has no end
        )
        return tuple(map(Displacement._make, rows))


def _together(parts: Sequence[tuple[list[int], Tracked]], count: int) -> Tracked:
    """What several trackers say of the regions with these numbers."""
    moved_px, noise_px, walk_px2 = np.zeros((3, count, 2))
    every = Tracked(moved_px, noise_px, walk_px2, [None] * count, [], [])
    for rows, tracked in parts:
        moved_px[rows], noise_px[rows] = tracked.moved_px, tracked.noise_px
        walk_px2[rows] = tracked.walk_px2
        for row, problem in zip(rows, tracked.problem, strict=True):
            every.problem[row] = problem
        every.began += [rows[row] for row in tracked.began]
        every.made += [rows[row] for row in tracked.made]
    return every


def _told(values: Floats, told: NDArray[np.bool_]) -> tuple[list[float | None], list[float | None]]:
    """x and y of values (regions, 2), with None where it is not told."""
    x, y = values.T.tolist()
    if not told.all():
        for row, axis in np.argwhere(~told).tolist():
            (y if axis else x)[row] = None
    return x, y


def _missing(textured: NDArray[np.bool_], known: NDArray[np.bool_]) -> str:
    """Why one or both axes are not published."""
    if not textured.any():
        return FLAT
    if not textured.all() and known.any():
        return f"flat along {'y' if textured[0] else 'x'}: too little texture"
    return LEARNING


def _trackers(
    regions: Sequence[Region], width_px: int, height_px: int
) -> list[tuple[list[int], Tracker]]:
    """A tracker for each size, with the numbers of its regions.

    Raises Failure for a region that does not lie in the picture.
    """
    boxes = [_boxes(region, width_px, height_px) for region in regions]
    sizes: dict[tuple[int, int], list[int]] = {}
    for row, (_, samples) in enumerate(boxes):
        sizes.setdefault(samples.shape, []).append(row)
    return [
        (rows, Tracker([boxes[row][0] for row in rows], [boxes[row][1] for row in rows]))
        for rows in sizes.values()
    ]


def _boxes(region: Region, width_px: int, height_px: int) -> tuple[Box, Box]:
    """The region's patch and samples."""
    place = (
        f'Region "{region.name}" (x={region.x}, y={region.y}, width={region.width}, '
        f"height={region.height}) "
    )
    box = Box(region.x, region.y, region.x + region.width, region.y + region.height)
    if box.right > width_px or box.bottom > height_px:
        raise Failure(
            f"{place}reaches beyond the picture of {width_px}x{height_px} px; move it inside "
            "or make it smaller in the configuration."
        )
    patch, samples = boxes_of(box, width_px, height_px)
    if min(samples.shape) < EDGE_PX:
        raise Failure(
            f"{place}leaves too little of itself beside the edges of the picture of "
            f"{width_px}x{height_px} px; make it larger, or move it away from the edge."
        )
    return patch, samples
