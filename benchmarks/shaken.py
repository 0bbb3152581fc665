"""What is left of a camera's shake where reference regions tell it.

A part of ``python -m benchmarks.marks``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.clips import Floats, Scene, shake, sine
from benchmarks.verdicts import Mark, rms
from runtime.config import Region
from runtime.displacement import DisplacementMeter
from runtime.frame import Frame

RATE_HZ, CLIP_S, NOISE_GREY = 60, 20.0, 1.5
SHAKE_PX, TURN_RAD, LOW_HZ, HIGH_HZ = 1.0, 5e-4, 0.5, 10.0
MOTION_PX, MOTION_HZ = 0.05, 3.37
MOST_PX = 0.02
SIZE = (240, 180)
STRUCTURE = np.s_[45:135, 75:165]
"""What moves by itself; the region lies far enough inside."""
DECK = Region(name="deck", x=100, y=70, width=40, height=40)
REFERENCES = tuple(
    Region(name=f"pier-{number}", x=x, y=y, width=40, height=40, reference=True)
    for number, (x, y) in enumerate(((16, 16), (184, 20), (28, 124)))
)
REFERENCE_COUNTS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Steadied:
    """Of one clip."""

    references: int
    residual_px: float
    """RMS of the error, x and y together, of what is told of the structure's own motion."""
    noise_px: float
    within_one: float
    within_two: float
    missing: float
    """Share of pictures in which the shake could not be trusted."""


def steadied(references: int, seed: int) -> Steadied:
    """One shaken clip; its error is judged without its mean, as vibration is."""
    count = round(CLIP_S * RATE_HZ)
    moved_px = sine(count, RATE_HZ, MOTION_HZ, MOTION_PX)
    meter = DisplacementMeter([DECK, *REFERENCES[:references]])
    rows = []
    for frame in _shaken(moved_px, seed):
        deck = meter.measure(frame)[0]
        row = (deck.x_px, deck.y_px, deck.x_noise_px, deck.y_noise_px)
        rows.append([np.nan if value is None else value for value in row])
    table = np.array(rows)
    kept = np.flatnonzero(np.isfinite(table).all(axis=1))
    error_px = table[kept, :2] - np.stack([moved_px, np.zeros(count)], axis=1)[kept]
    error_px -= error_px.mean(axis=0)
    ratio = np.abs(error_px) / table[kept, 2:]
    return Steadied(
        references=references,
        residual_px=rms(error_px),
        noise_px=float(table[kept, 2:].mean()),
        within_one=float(np.mean(ratio < 1)),
        within_two=float(np.mean(ratio < 2)),
        missing=float(1 - len(kept) / (count - kept[0])),
    )


def _shaken(moved_px: Floats, seed: int) -> Iterator[Frame]:
    """A structure that moves by itself before something still, through a camera that shakes."""
    count = len(moved_px)
    x_px, y_px, turn = (
        shake(count, RATE_HZ, LOW_HZ, HIGH_HZ, 3 * seed + number) for number in range(3)
    )
    scene = Scene(*SIZE, seed=seed)
    random = np.random.default_rng(seed)
    for index in range(count):
        place = (SHAKE_PX * y_px[index], TURN_RAD * turn[index])
        grey = scene.turned(SHAKE_PX * x_px[index], *place)
        structure = scene.turned(SHAKE_PX * x_px[index] + moved_px[index], *place)
        grey[STRUCTURE] = structure[STRUCTURE]
        grey += random.normal(0, NOISE_GREY, grey.shape)
        image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
        t_ns = round(index * 1e9 / RATE_HZ)
        yield Frame(index, t_ns, np.repeat(image[:, :, None], 3, axis=2))


def marks(found: Sequence[Steadied]) -> Iterator[Mark]:
    three = [one for one in found if one.references == 3]
    worst_px = max(one.residual_px for one in three)
    yield Mark(
        f"residual of a camera's shake of {SHAKE_PX:g} px RMS at {LOW_HZ:g} to {HIGH_HZ:g} Hz, three "
        "reference regions",
        f"at most {MOST_PX:g} px",
        f"{rms([one.residual_px for one in three]):.4f} px, at worst {worst_px:.4f} px",
        worst_px <= MOST_PX,
    )


def section(found: Sequence[Steadied]) -> Iterator[str]:
    yield (
        f"{RATE_HZ} fps, {CLIP_S:g} s, noise of {NOISE_GREY:g} grey levels, regions of {DECK.width}x"
        f"{DECK.height} px. The camera shakes at random by {SHAKE_PX:g} px RMS in x, by as much in y, and "
        f"turns by {1e3 * TURN_RAD:g} mrad RMS, all evenly from {LOW_HZ:g} to {HIGH_HZ:g} Hz; the "
        f"structure moves by {MOTION_PX:g} px at {MOTION_HZ:g} Hz in x. *residual*: RMS error of what is "
        "told of the structure, without its mean.\n"
    )
    yield "| references | residual px | stated noise px | within one / two | not measured |"
    yield "|---:|" + "---:|" * 4
    for count in sorted({one.references for one in found}):
        part = [one for one in found if one.references == count]
        yield (
            f"| {count} | {rms([one.residual_px for one in part]):.4f} "
            f"| {np.mean([one.noise_px for one in part]):.4f} "
            f"| {100 * np.mean([one.within_one for one in part]):.0f} / "
            f"{100 * np.mean([one.within_two for one in part]):.0f} % "
            f"| {100 * np.mean([one.missing for one in part]):.1f} % |"
        )
    yield ""
