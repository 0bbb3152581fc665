"""How well displacement is measured in clips whose motion is known exactly: against the Cramer-Rao
bound, against pyidi's Lucas-Kanade on the same windows, and against its own stated standard errors.

A part of ``python -m benchmarks.marks``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from benchmarks.clips import Floats, Masonry, Scene, Texture, compressed, render, sine
from benchmarks.lucas_kanade import lucas_kanade
from runtime.config import Region
from runtime.displacement import DisplacementMeter
from runtime.frame import Frame
from runtime.vibration import dominant_frequency

SIDE_PX = 80
REGION = Region(name="region", x=20, y=20, width=41, height=41)
CLIP_S = 20.0
TEXTURES: dict[str, Callable[[int], Texture]] = {
    "facade": lambda seed: Scene(SIDE_PX, SIDE_PX, seed=seed),
    "masonry": lambda seed: Masonry(SIDE_PX, SIDE_PX, seed=seed),
    "concrete": lambda seed: Scene(SIDE_PX, SIDE_PX, contrast_grey=8.0, coarsest_px=25, seed=seed),
}
MOTIONS_PX = (0.005, 0.02, 0.05, 0.2, 0.5)
NOISES_GREY = (0.5, 1.5, 4.0)
FREQUENCIES_HZ = {60: 3.37, 120: 7.63}
"""By frame rate; away from the rhythm of key frames."""
FLICKER, FLICKER_HZ = 0.05, 2.1
CRFS = (12, 23)
ROUNDING_GREY = 1 / np.sqrt(12)


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip to be made, and how it is stored besides uncompressed."""

    texture: str
    noise_grey: float
    motion_px: float
    rate_hz: int
    flicker: float
    crfs: tuple[int, ...]
    seed: int

    @property
    def frames(self) -> int:
        return round(CLIP_S * self.rate_hz)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One stored clip, measured. Arrays are (pictures, 2), x and y in pixels, of those pictures after
    zero that were measured."""

    clip: Clip
    crf: int | None
    bound_px: Floats
    """(2,) what no measurement of one picture can be better than, were the texture known."""
    zero_pictures: int
    """How many pictures zero is the mean of."""
    error_px: Floats
    se_px: Floats
    noise_px: Floats
    peer_error_px: Floats
    read: float
    """Slope of measured over true x."""
    frequency_error: float | None
    """Relative; None when no frequency stood out."""
    missing: float
    """Share of pictures for which the measurement said that it cannot be trusted."""

    @property
    def from_zero_px(self) -> Floats:
        """(2,) the bound of a displacement: one picture against the mean of those of zero."""
        return np.asarray(self.bound_px * np.sqrt(1 + 1 / self.zero_pictures))

    @property
    def displacement(self) -> Floats:
        """Errors over their bound."""
        return np.asarray(self.error_px / self.from_zero_px)

    @property
    def vibration(self) -> Floats:
        """Errors without their mean, over the bound of one picture."""
        return np.asarray(_swing(self.error_px) / self.bound_px)

    @property
    def peer_displacement(self) -> Floats:
        return np.asarray(self.peer_error_px / self.from_zero_px)

    @property
    def peer_vibration(self) -> Floats:
        return np.asarray(_swing(self.peer_error_px) / self.bound_px)

    @property
    def se_ratio(self) -> Floats:
        """Errors over their stated standard errors."""
        return np.asarray(np.abs(self.error_px) / self.se_px)

    @property
    def noise_ratio(self) -> Floats:
        """Errors without their mean over the stated standard errors of one measurement."""
        return np.asarray(np.abs(_swing(self.error_px)) / self.noise_px)


def clips(quick: bool) -> Iterator[Clip]:
    """Every texture, noise, motion, rate and light; one in twelve when ``quick``.

    H.264 stores one of the four clips of each texture, noise and motion, by turns.
    """
    lights = list(product(FREQUENCIES_HZ, (0.0, FLICKER)))
    seed = 0
    for place, (texture, noise_grey, motion_px) in enumerate(
        product(TEXTURES, NOISES_GREY, MOTIONS_PX)
    ):
        for number, (rate_hz, flicker) in enumerate(lights):
            stored = number == place % len(lights)
            seed += 1
            if not quick or (stored and place % 3 == 0):
                crfs = CRFS if stored else ()
                yield Clip(texture, noise_grey, motion_px, rate_hz, flicker, crfs, seed)


def measured(clip: Clip) -> list[Outcome]:
    """The clip uncompressed, then by each of its qualities."""
    t_s = np.arange(clip.frames) / clip.rate_hz
    hz = FREQUENCIES_HZ[clip.rate_hz]
    x_px = sine(clip.frames, clip.rate_hz, hz, clip.motion_px)
    truth_px = np.stack([x_px, 0.5 * x_px], axis=1)
    texture = TEXTURES[clip.texture](clip.seed)
    bound_px = cramer_rao_px(texture, REGION, clip.noise_grey)
    frames = list(
        render(
            texture,
            x_px,
            truth_px[:, 1],
            rate_hz=clip.rate_hz,
            noise_grey=clip.noise_grey,
            seed=clip.seed,
            gain=1 + clip.flicker * np.sin(2 * np.pi * FLICKER_HZ * t_s),
        )
    )
    outcomes = []
    for crf in (None, *clip.crfs):
        stored = frames
        if crf is not None:
            rate_hz = clip.rate_hz
            stored = list(compressed(frames, crf=crf, rate_hz=rate_hz, group=rate_hz))
        table = _measured(stored)
        # Zero is the mean of the pictures up to the first that a displacement is told of.
        kept = np.flatnonzero(np.isfinite(table).all(axis=1))
        zero_pictures, kept = int(kept[0]) + 1, kept[1:]
        moved_px = truth_px - truth_px[:zero_pictures].mean(axis=0)
        grey = np.stack([cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY) for frame in stored])
        peer_px = lucas_kanade(grey, [REGION])[:, 0]
        tone = dominant_frequency(t_s, table[:, 0])
        outcomes.append(
            Outcome(
                clip=clip,
                crf=crf,
                bound_px=bound_px,
                zero_pictures=zero_pictures,
                error_px=(table[:, :2] - moved_px)[kept],
                se_px=table[kept, 2:4],
                noise_px=np.hypot(table[kept, 4:6], table[kept, 6:8]),
                peer_error_px=(peer_px - truth_px)[kept],
                read=float(np.polyfit(x_px[kept], table[kept, 0], 1)[0]),
                frequency_error=None if tone is None else tone.frequency_hz / hz - 1,
                missing=1 - len(kept) / (clip.frames - zero_pictures),
            )
        )
    return outcomes


def _measured(frames: Sequence[Frame]) -> Floats:
    """(frames, 8): x, y, their standard errors, those of a single measurement but for the codec's, and the
    codec's; NaN is missing."""
    meter = DisplacementMeter([REGION])
    rows = []
    for frame in frames:
        [one] = meter.measure(frame)
        row = (one.x_px, one.y_px, one.x_se_px, one.y_se_px, one.x_noise_px, one.y_noise_px)
        codec_px = (one.x_codec_px or 0.0, one.y_codec_px or 0.0)
        rows.append([np.nan if value is None else value for value in (*row, *codec_px)])
    return np.array(rows)


def cramer_rao_px(texture: Texture, region: Region, noise_grey: float) -> Floats:
    """(2,) the smallest standard error of x and y that one picture of a known texture allows.

    sigma sqrt(diag((G G')^-1)) with the texture's exact slopes G in the region's pixels; sigma^2 is the
    noise's and that of rounding to whole grey levels. Brightness counts as known, so this is strict:
    two more unknowns can only raise it (S. M. Kay, "Estimation Theory", 1993, section 3.7).
    """
    small = 1e-3
    inside = np.s_[region.y : region.y + region.height, region.x : region.x + region.width]
    slopes = [
        (texture.at(x, y) - texture.at(-x, -y))[inside].ravel() / (2 * small)
        for x, y in ((small, 0.0), (0.0, small))
    ]
    information = np.array(slopes) @ np.array(slopes).T
    sigma_grey = np.hypot(noise_grey, ROUNDING_GREY)
    bound: Floats = sigma_grey * np.sqrt(np.diag(np.linalg.inv(information)))
    return bound


def _swing(error_px: Floats) -> Floats:
    return np.asarray(error_px - error_px.mean(axis=0))
