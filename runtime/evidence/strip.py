"""The waveform below the pictures of a clip: the last seconds up to the picture that is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.scale import Scale
from runtime.clips import RED, WHITE, write_text
from runtime.vibration.levels import AXES

LENGTH_S = 10.0
HEIGHT_PX = 112
MOST_TRACES = 4

COLOURS = ((230, 170, 60), (60, 160, 250), (120, 210, 120), (220, 120, 220))
"""Blue, green, red; to be told apart by those who see red and green alike, too."""

_PAD_PX = 10
_LEAST_PX = 0.02  # half of the span that is shown at least: noise alone should look like noise


@dataclass(frozen=True, slots=True)
class Trace:
    """A region's record: times (n,) in seconds up to 0, x and y (2, n) in px, NaN where missing."""

    region: str
    t_s: NDArray[np.float64]
    moved_px: NDArray[np.float64]
    scale: Scale | None = None


def strip(
    width_px: int, traces: Sequence[Trace], raised: Sequence[tuple[float, float]]
) -> NDArray[np.uint8]:
    """A picture (HEIGHT_PX, width_px, 3) of at most MOST_TRACES traces, one above the other.

    Of each region the axis that moves more, about its mean. ``raised`` are times (from, to) in seconds
    up to 0 in which an alert was open.
    """
    picture = np.full((HEIGHT_PX, width_px, 3), 24, np.uint8)

    def across(t_s: NDArray[np.float64] | float) -> NDArray[np.float64]:
        inside = width_px - 2 * _PAD_PX
        return np.asarray(_PAD_PX + inside * (1 + np.asarray(t_s) / LENGTH_S), np.float64)

    for from_s, to_s in raised:
        left, right = np.clip(across(np.array([from_s, to_s])), _PAD_PX, width_px - _PAD_PX)
        cv2.rectangle(
            picture, (int(left), 0), (int(right), HEIGHT_PX - 1), (40, 30, 80), cv2.FILLED
        )
        cv2.line(picture, (int(left), 0), (int(left), HEIGHT_PX - 1), RED, 1)
    for back_s in range(int(LENGTH_S) + 1):
        x = int(across(-float(back_s)))
        cv2.line(picture, (x, HEIGHT_PX - 5), (x, HEIGHT_PX - 1), (120, 120, 120), 1)
    shown = list(traces)[:MOST_TRACES]
    row_px = HEIGHT_PX / max(len(shown), 1)
    for number, trace in enumerate(shown):
        middle = (number + 0.5) * row_px
        _draw(picture, trace, across(trace.t_s), middle, row_px / 2 - 4, COLOURS[number])
    return picture


def _draw(
    picture: NDArray[np.uint8],
    trace: Trace,
    across: NDArray[np.float64],
    middle_px: float,
    half_px: float,
    colour: tuple[int, int, int],
) -> None:
    known = np.isfinite(trace.moved_px)
    count = known.sum(axis=1, keepdims=True)
    mean = np.where(known, trace.moved_px, 0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    about = np.where(known, trace.moved_px - mean, 0)
    row = int(np.argmax(np.square(about).sum(axis=1)))
    span_px = max(float(np.abs(about[row]).max(initial=0.0)), _LEAST_PX)
    down = middle_px + half_px * about[row] / span_px
    points = np.stack([across, down], axis=1)
    # A gap in the measurement is a gap in the line.
    for part in np.split(np.arange(len(points)), np.flatnonzero(~known[row])):
        part = part[known[row][part]]
        if len(part) > 1:
            line = np.round(points[part]).astype(np.int32)
            cv2.polylines(picture, [line], False, colour, 1, cv2.LINE_AA)
    axis = AXES[row]
    size = f"{span_px:.2g} px"
    if trace.scale is not None:
        size = f"{trace.scale.mm(axis, span_px)[0]:.2g} mm"
    if count[row, 0] == 0:
        size = "not measured"
    label = f"{trace.region} {axis} +-{size}" if count[row, 0] else f"{trace.region}: {size}"
    write_text(picture, label, (_PAD_PX + 2, int(middle_px - half_px) + 12), 0.4, WHITE)
