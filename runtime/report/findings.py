"""What a whole video says of each region, and of the regions together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.scale import Axis
from failure import Failure
from runtime.camera.video_file import BETWEEN_FRAMES
from runtime.config import Config
from runtime.config.alerts import notices
from runtime.messages import Telemetry
from runtime.replay.replay import RegionHistory, Replay
from runtime.vibration.damping import FreeDecay, NoDecay, damping_of
from runtime.vibration.levels import AXES
from runtime.vibration.record import LONGEST_GAP_STEPS, Floats, stretch
from runtime.vibration.sampling import rate_of, warnings_of
from runtime.vibration.shapes import Shape, mac, shape_at
from runtime.vibration.spectrum import FEWEST_CYCLES, power_density
from runtime.vibration.tones import Tone, distinct, shared_frequencies, tones_of_axes

BURST = 1.25
ALIKE = 0.3
MOST_TONES, MOST_SHAPES, MOST_GAPS = 5, 3, 5

LEVELS = (
    ("displacement_rms", "RMS displacement", ""),
    ("displacement_peak_to_peak", "displacement, peak to peak", ""),
    ("velocity_rms", "RMS velocity", "_s"),
    ("ppv", "peak particle velocity", "_s"),
    ("acceleration_peak", "peak acceleration", "_s2"),
)


@dataclass(frozen=True, slots=True)
class Level:
    """The largest that one quantity was over any level window."""

    title: str
    px: float
    mm: float | None
    mm_se: float | None
    unit: str
    """After px or mm: nothing, /s or /s²."""
    at_s: float
    hz: float | None = None


@dataclass(frozen=True, slots=True)
class RegionFindings:
    """What one region says over its longest stretch without a long gap.

    ``strongest`` is the report of the window in which its strongest sinusoid was largest: of a burst, a
    whole video shows only the average. ``damping`` is of the strongest tone. ``floor_px`` (x, y) is what
    white noise of the measured floor shows as amplitude in the spectrum, and ``noise_px`` the median
    standard error of one measurement.
    """

    history: RegionHistory
    tones: tuple[Tone, ...]
    strongest: Telemetry | None
    damping: FreeDecay | NoDecay | None
    floor_px: tuple[float | None, float | None]
    noise_px: tuple[float | None, float | None]
    measured_share: float
    levels: tuple[Level, ...]

    @property
    def is_burst(self) -> bool:
        """Whether the region moved much more in one window than in the whole video."""
        if self.strongest is None or not self.tones:
            return False
        return self.strongest.peaks[0].amplitude_px > BURST * self.tones[0].amplitude_px


@dataclass(frozen=True, slots=True)
class ShapeFindings:
    """How the regions move together; ``repeats`` is the MAC between both halves of the video."""

    shape: Shape
    points: tuple[tuple[str, Axis], ...]
    repeats: float | None


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that the page says beyond what it shows."""

    regions: tuple[RegionFindings, ...]
    shapes: tuple[ShapeFindings, ...]
    macs: tuple[tuple[float | None, ...], ...]
    """Of every shape with every other."""
    rate_hz: float | None
    warnings: tuple[str, ...]


def findings_of(replay: Replay, config: Config) -> Findings:
    """Compute all of it; a minute of video takes about as long as reading it."""
    t_s = np.array(replay.regions[0].t_s)
    regions = tuple(_region(history) for history in replay.regions)
    shapes = _shapes(t_s, regions)
    macs = tuple(tuple(_mac(one.shape, other.shape) for other in shapes) for one in shapes)
    rate_hz = rate_of(t_s)
    return Findings(regions, shapes, macs, rate_hz, _warnings(replay, config, t_s, regions))


def moved_px(history: RegionHistory) -> Floats:
    """x and y (2, n), NaN where missing."""
    return np.array([history.x_px, history.y_px], dtype=np.float64)


def _region(history: RegionHistory) -> RegionFindings:
    t_s, moved = np.array(history.t_s), moved_px(history)
    length_s = float(t_s[-1] - t_s[0]) if len(t_s) > 1 else 0.0
    tones: list[Tone] = []
    if length_s > 0:
        found = tones_of_axes(t_s, moved[0], moved[1], stretch="longest")
        tones = distinct(found, 1 / length_s, MOST_TONES)
    floors = [_floor(t_s, values) for values in moved]
    damping = None
    if tones and tones[0].axis is not None:
        row = AXES.index(tones[0].axis)
        longest, floor = stretch(t_s, moved[row], "longest"), floors[row]
        if longest is not None and floor is not None:
            damping = damping_of(*longest, tones[0].frequency_hz, floor[0])
    return RegionFindings(
        history=history,
        tones=tuple(tones),
        strongest=max(
            (one for one in history.telemetry if one.peaks),
            key=lambda one: one.peaks[0].amplitude_px,
            default=None,
        ),
        damping=damping,
        floor_px=(_second(floors[0]), _second(floors[1])),
        noise_px=(_median(history.x_noise_px), _median(history.y_noise_px)),
        measured_share=float(np.isfinite(moved).any(axis=0).mean()),
        levels=_levels(history),
    )


def _floor(t_s: Floats, values: Floats) -> tuple[float, float] | None:
    """The floor of density (px per root Hz), and as an amplitude in the Hann spectrum (px)."""
    longest = stretch(t_s, values, "longest")
    density = None if longest is None else power_density(*longest)
    if longest is None or density is None:
        return None
    floor, count = density.floor_px_per_root_hz, len(longest[0])
    rate_hz = rate_of(longest[0])
    assert rate_hz is not None, "a stretch has many samples"
    # White noise of variance v has a mean of 6 v / count in a Hann periodogram of squared amplitudes.
    return floor, float(np.sqrt(6 * floor**2 * rate_hz / 2 / count))


def _second(pair: tuple[float, float] | None) -> float | None:
    return None if pair is None else pair[1]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _levels(history: RegionHistory) -> tuple[Level, ...]:
    told = []
    for name, title, per in LEVELS:
        key, in_mm, se = f"{name}_px{per}", f"{name}_mm{per}", f"{name}_se_mm{per}"
        known = [one for one in history.telemetry if getattr(one, key) is not None]
        if not known:
            continue
        largest: Any = max(known, key=lambda one: getattr(one, key))
        told.append(
            Level(
                title=title,
                px=getattr(largest, key),
                mm=getattr(largest, in_mm),
                mm_se=getattr(largest, se),
                unit={"": "", "_s": "/s", "_s2": "/s²"}[per],
                at_s=largest.t_s,
                hz=largest.ppv_hz if name == "ppv" else None,
            )
        )
    return tuple(told)


def _shapes(t_s: Floats, regions: Sequence[RegionFindings]) -> tuple[ShapeFindings, ...]:
    if len(regions) < 2 or len(t_s) < 3:
        return ()
    resolution_hz = 1 / float(t_s[-1] - t_s[0])
    moved = np.concatenate([moved_px(one.history) for one in regions])
    names: list[tuple[str, Axis]] = [(one.history.name, axis) for one in regions for axis in AXES]
    found = []
    shared = shared_frequencies([one.tones for one in regions], resolution_hz, MOST_SHAPES)
    for hz, strongest in shared:
        nearest = min(regions[strongest].tones, key=lambda tone: abs(tone.frequency_hz - hz))
        reference = 2 * strongest + (1 if nearest.axis == "y" else 0)
        shape = shape_at(t_s, moved, hz, reference)
        if shape is None:
            continue
        middle = len(t_s) // 2
        halves = [
            shape_at(t_s[part], moved[:, part], hz, reference)
            for part in (slice(0, middle), slice(middle, None))
        ]
        repeats = None
        if halves[0] is not None and halves[1] is not None:
            repeats = _mac(halves[0], halves[1])
        found.append(ShapeFindings(shape, tuple(names), repeats))
    return tuple(found)


def _mac(one: Shape, other: Shape) -> float | None:
    """Over points of both as motions of one phase origin; None where nothing is in common."""
    try:
        return mac(one.ratio, other.ratio)
    except Failure:
        return None


def _warnings(
    replay: Replay, config: Config, t_s: Floats, regions: Sequence[RegionFindings]
) -> tuple[str, ...]:
    told = []
    if replay.damage is not None:
        told.append(f"The file is damaged: {replay.damage}.")
    if replay.facts.dropped:
        told.append(
            f"{replay.facts.dropped} frames were left out: their time did not advance, or they were damaged."
        )
    codec = BETWEEN_FRAMES.get(replay.facts.codec)
    if codec is not None:
        told.append(
            f"{codec} predicts pictures from others and takes small motion away before anything can "
            "measure it: amplitudes below about a tenth of a pixel read too small. From the second key "
            "frame on the standard errors of displacement show that, those of velocity, frequency and "
            "damping never. Use the camera's raw or MJPEG pictures where it matters."
        )
    told += _gaps(t_s)
    told += _length(t_s, config)
    told += _together(regions)
    vibration = config.vibration
    about: dict[str, list[str]] = {}
    for one in regions:
        sentences = warnings_of(
            t_s,
            np.isfinite(moved_px(one.history)).any(axis=0),
            low_hz=vibration.low_hz,
            high_hz=vibration.high_hz,
            peaks_hz=[tone.frequency_hz for tone in one.tones],
            exposure_s=config.camera.exposure_s,
        )
        if one.history.reasons:
            share = 100 * (1 - one.measured_share)
            words = "; ".join(sorted(one.history.reasons))
            sentences = (
                *sentences,
                f"not measured in {share:.1f} % of the frames, or not in full: {words}",
            )
        for sentence in sentences:
            about.setdefault(sentence, []).append(one.history.name)
    for sentence, names in about.items():
        where = "" if len(names) == len(regions) > 1 else f"{', '.join(names)}: "
        told.append(f"{where}{sentence}.")
    told += [f"{sentence}." for sentence in notices(config.alerts, rate_of(t_s))]
    return tuple(told)


def _gaps(t_s: Floats) -> list[str]:
    """Where frames are missing for longer than is bridged."""
    if len(t_s) < 3:
        return ["The video has too few frames for a frequency."]
    steps = np.diff(t_s)
    long = np.flatnonzero(steps > LONGEST_GAP_STEPS * np.median(steps))
    if len(long) == 0:
        return []
    places = ", ".join(f"{t_s[at]:.2f} to {t_s[at + 1]:.2f} s" for at in long[:MOST_GAPS])
    more = f" and {len(long) - MOST_GAPS} more" if len(long) > MOST_GAPS else ""
    return [
        f"Frames are missing: {places}{more}. Frequencies are from the longest stretch between them."
    ]


def _length(t_s: Floats, config: Config) -> list[str]:
    length_s = float(t_s[-1] - t_s[0])
    if not 0 < length_s < config.vibration.window_s:
        return []
    return [
        f"The video is only {length_s:.1f} s long: frequencies that differ by less than "
        f"{1 / length_s:.2g} Hz are one, and below {FEWEST_CYCLES / length_s:.2g} Hz none is told."
    ]


def _together(regions: Sequence[RegionFindings]) -> list[str]:
    """A camera that shakes moves everything alike."""
    if len(regions) < 2:
        return []
    moved = np.stack([moved_px(one.history) for one in regions])
    known = np.isfinite(moved).all(axis=(0, 1))
    if known.sum() < 3:
        return []
    moved = moved[:, :, known] - moved[:, :, known].mean(axis=2, keepdims=True)
    common = np.median(moved, axis=0)
    common_px, apart_px = (
        float(np.sqrt(np.square(one).mean())) for one in (common, moved - common)
    )
    noise_px = max((px for one in regions for px in one.noise_px if px is not None), default=0.0)
    if common_px < 3 * noise_px or apart_px > ALIKE * common_px:
        return []
    return [
        f"All regions move alike, by {common_px:.2g} px RMS, and against each other by only "
        f"{apart_px:.2g} px: that is the camera, or the structure as a whole. A region on something "
        "still tells which."
    ]
