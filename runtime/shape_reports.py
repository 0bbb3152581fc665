"""Deflection shapes across the regions of one camera, as messages."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from calibration.scale import Scale
from failure import Failure
from runtime.messages import ModeShape, ShapePoint, utc_text
from runtime.vibration.levels import AXES
from runtime.vibration.shapes import Complexes, Shape, mac, shape_at
from runtime.vibration.tones import Tone, shared_frequencies
from runtime.vibration.window import Report, VibrationWindow

MOST_SHAPES = 3
"""Told at one report: those with the largest amplitudes."""
_MOST_REMEMBERED = 8  # first shapes that later ones are compared with


class ShapeReports:
    """Finds frequencies that regions share and tells how the regions move at each.

    Remembers the first shape at each frequency, so that a later one can be compared with it.
    """

    def __init__(self) -> None:
        self._first: list[tuple[float, Complexes]] = []

    def at(
        self,
        t_s: float,
        windows: Mapping[str, VibrationWindow],
        reports: Mapping[str, Report],
        scales: Mapping[str, Scale | None],
    ) -> tuple[ModeShape, ...]:
        """The shapes at capture time t_s (s); nothing unless two or more regions share a peak."""
        names = list(windows)
        tones = [reports[name].tones for name in names]
        if sum(1 for one in tones if one) < 2:
            return ()
        resolution_hz = max(reports[name].resolution_hz for name in names)
        records = [windows[name].record() for name in names]
        time_s = records[0][0]
        moved_px = np.concatenate([moved for _, moved in records])
        told = []
        for hz, strongest in shared_frequencies(tones, resolution_hz, MOST_SHAPES):
            reference = 2 * strongest + self._axis(tones[strongest], hz)
            shape = shape_at(time_s, moved_px, hz, reference)
            if shape is not None:
                compared = self._compared(shape, resolution_hz)
                told.append(_message(t_s, shape, names, scales, compared))
        return tuple(told)

    @staticmethod
    def _axis(tones: Sequence[Tone], hz: float) -> int:
        """The axis of the tone at a frequency."""
        nearest = min(tones, key=lambda tone: abs(tone.frequency_hz - hz))
        return 1 if nearest.axis == "y" else 0

    def _compared(self, shape: Shape, resolution_hz: float) -> float | None:
        for hz, ratio in self._first:
            if abs(hz - shape.frequency_hz) < 2 * resolution_hz:
                try:
                    return mac(ratio, shape.ratio)
                except Failure:  # the regions that were measured then are not those measured now
                    return None
        if len(self._first) < _MOST_REMEMBERED:
            self._first.append((shape.frequency_hz, shape.ratio))
        return None


def _message(
    t_s: float,
    shape: Shape,
    names: list[str],
    scales: Mapping[str, Scale | None],
    compared: float | None,
) -> ModeShape:
    points = []
    for number, ratio in enumerate(shape.ratio):
        if not np.isfinite(ratio) or not np.isfinite(shape.ratio_se[number]):
            continue
        name, axis = names[number // 2], AXES[number % 2]
        scale = scales[name]
        amplitude_px = float(shape.amplitude_px[number])
        size, size_se = float(np.abs(ratio)), float(shape.ratio_se[number])
        points.append(
            ShapePoint(
                region=name,
                axis=axis,
                amplitude_px=amplitude_px,
                amplitude_mm=None if scale is None else scale.mm(axis, amplitude_px)[0],
                ratio=size,
                ratio_se=size_se,
                phase_deg=float(np.degrees(np.angle(ratio))),
                phase_se_deg=float(np.degrees(min(size_se / max(size, 1e-12), np.pi))),
                coherence=float(shape.coherence[number]),
            )
        )
    return ModeShape(
        time_utc=utc_text(time.time()),
        t_s=t_s,
        frequency_hz=shape.frequency_hz,
        reference_region=names[shape.reference // 2],
        reference_axis=AXES[shape.reference % 2],
        points=tuple(points),
        mac=compared,
    )
