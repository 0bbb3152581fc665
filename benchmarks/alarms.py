"""False alarms in quiet footage, bursts that are found, and how long an alert takes.

The daemon's own measurement with its default rule, in the time of the video. A part of
``python -m benchmarks.marks``.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from benchmarks.accuracy import FLICKER, FLICKER_HZ, cramer_rao_px
from benchmarks.clips import Scene, render, shake, sine
from benchmarks.shaken import HIGH_HZ, LOW_HZ, SHAKE_PX, TURN_RAD
from benchmarks.verdicts import Mark
from runtime.config import Camera, Config, Region, Vibration
from runtime.config.alerts import DEFAULT_ALERT, Alert
from runtime.displacement import Displacement
from runtime.frame import Frame
from runtime.measurement import Measurement
from runtime.vibration import VibrationWindow

QUIET_RATE_HZ = 30
QUIET_NOISE_GREY = 1.5
QUIET_SCENE = Scene(208, 120, seed=11)
QUIET_REGIONS = (
    *(
        Region(name=name, x=x, y=40, width=40, height=40)
        for name, x in (("deck", 52), ("girder", 108))
    ),
    *(
        Region(name=f"pier-{number}", x=x, y=y, width=40, height=40, reference=True)
        for number, (x, y) in enumerate(((12, 12), (156, 20), (84, 72)))
    ),
)
QUIET_MEASURED = [region.name for region in QUIET_REGIONS if not region.reference]
QUIET_RULES = (
    DEFAULT_ALERT,
    Alert(name="sta-lta", quantity="sta_lta", raise_above=3.95, clear_below=0.9),
)
SHADOW, SHADOW_S, PENUMBRA_PX = 0.35, 300.0, 12.0
CLOUD, CLOUD_S = 0.3, 170.0

RATE_HZ = 60
REGION = Region(name="deck", x=12, y=12, width=40, height=40)
NOISE_GREY, NOISE_PX = 1.5, 0.01
BURST_HZ, BURST_S, BEGINS_S, CLIP_S = 5.0, 3.0, 5.0, 10.0
BURST_PX, STRONG_PX = 0.05, 0.5
LEAST_FOUND, MOST_LATE_S = 0.99, 0.2


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one burst; times in seconds of video, None when no alert was raised."""

    noise_px: float
    too_early: bool
    after_begin_s: float | None
    after_hold_s: float | None
    """From when the reading had been above the threshold for the hold time."""


def quiet_footage(seconds: float) -> Iterator[Frame]:
    """Nothing moves but the camera: noise, light that flickers, clouds, and a shadow's edge that wanders."""
    count = round(seconds * QUIET_RATE_HZ)
    t_s = np.arange(count) / QUIET_RATE_HZ
    flicker = 1 + FLICKER * np.sin(2 * np.pi * FLICKER_HZ * t_s)
    cloud = 1 - CLOUD / 2 * (1 + np.sin(2 * np.pi * t_s / CLOUD_S))
    width = QUIET_SCENE.width_px
    edge_px = width / 2 + width * np.sin(2 * np.pi * t_s / SHADOW_S)
    x_px, y_px, turn_rad = (
        size * shake(count, QUIET_RATE_HZ, LOW_HZ, HIGH_HZ, seed)
        for seed, size in enumerate((SHAKE_PX, SHAKE_PX, TURN_RAD))
    )
    random = np.random.default_rng(QUIET_SCENE.seed)
    for index in range(count):
        shade = 1 - SHADOW * ndtr((np.arange(width) - edge_px[index]) / PENUMBRA_PX)
        scene = QUIET_SCENE.turned(x_px[index], y_px[index], turn_rad[index])
        grey = flicker[index] * cloud[index] * shade * scene
        grey += random.normal(0, QUIET_NOISE_GREY, grey.shape)
        image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
        t_ns = round(index * 1e9 / QUIET_RATE_HZ)
        yield Frame(index, t_ns, np.repeat(image[:, :, None], 3, axis=2))


@dataclass(frozen=True, slots=True)
class Quiet:
    """What became of so much quiet footage."""

    seconds: float
    alarms: tuple[str, ...]
    """Every alert, of any kind, in words."""
    told: float
    """Share of the readings of measured regions that were there."""
    reasons: tuple[str, ...]
    """Why the others were not, with their shares; the commonest first."""


def quiet(seconds: float) -> Quiet:
    """The whole measurement on so much quiet footage."""
    camera = Camera(source="quiet footage", rate_hz=QUIET_RATE_HZ)
    measurement = Measurement(Config(camera=camera, regions=QUIET_REGIONS, alerts=QUIET_RULES))
    alarms = []
    reasons: Counter[str | None] = Counter()
    for frame in quiet_footage(seconds):
        measured = measurement.process(frame)
        for alert in measured.alerts:
            if alert.type == "new":
                where = alert.region or "camera"
                alarms.append(f"{alert.kind} {alert.rule} on {where} at {alert.t_s:.1f} s")
        reasons.update(
            None if one.valid else _short(one.reason)
            for one in measured.displacements
            if one.region in QUIET_MEASURED
        )
    count = reasons.total()
    shares = [
        f"{reason} {found / count:.1%}"
        for reason, found in reasons.most_common()
        if reason is not None
    ]
    return Quiet(seconds, tuple(alarms), reasons[None] / count, tuple(shares))


def _short(reason: str | None) -> str:
    """The word that a reason begins with; for shake, what is wrong with the reference."""
    assert reason is not None
    word, _, rest = reason.partition(":")
    inner = rest.partition("(")[2].partition(":")[0]
    return f"{word} ({inner})" if inner else word


def bursts(seeds: Sequence[int], amplitude_px: float) -> list[Found]:
    return [_burst(seed, amplitude_px) for seed in seeds]


def _burst(seed: int, amplitude_px: float) -> Found:
    count = round(CLIP_S * RATE_HZ)
    t_s = np.arange(count) / RATE_HZ
    moves = (t_s >= BEGINS_S) & (t_s < BEGINS_S + BURST_S)
    x_px = sine(count, RATE_HZ, BURST_HZ, amplitude_px) * moves
    # Contrast is what gives this texture the wanted noise of a measurement.
    scene = Scene(64, 64, seed=seed)
    bound_px = float(cramer_rao_px(scene, REGION, NOISE_GREY)[0])
    scene = replace(scene, contrast_grey=scene.contrast_grey * bound_px / NOISE_PX)
    measurement = Measurement(Config(camera=Camera(source="burst"), regions=(REGION,)))
    history: list[Displacement] = []
    frames = render(scene, x_px, np.zeros(count), rate_hz=RATE_HZ, noise_grey=NOISE_GREY, seed=seed)
    for frame in frames:
        measured = measurement.process(frame)
        history += measured.displacements
        new = [alert for alert in measured.alerts if alert.type == "new"]
        if new:
            raised_s = new[0].t_s
            crossed_s = _crossed_s(history)
            return Found(
                noise_px=float(np.mean([one.x_noise_px for one in history[60:]])),
                too_early=raised_s < BEGINS_S,
                after_begin_s=raised_s - BEGINS_S,
                after_hold_s=raised_s - crossed_s - DEFAULT_ALERT.raise_after_s,
            )
    return Found(float(np.mean([one.x_noise_px for one in history[60:]])), False, None, None)


def _crossed_s(history: Sequence[Displacement]) -> float:
    """When the reading went above the threshold for the last time, judged at every frame."""
    window = VibrationWindow(Vibration().window_s, Vibration().level_s)
    crossed_s, was_above = float("nan"), False
    for one in history:
        window.add(one)
        t_s = one.t_capture_ns / 1e9
        if t_s < BEGINS_S - 0.5:
            continue
        ratio = window.levels().signal_to_noise
        above = ratio is not None and ratio > DEFAULT_ALERT.raise_above
        if above and not was_above:
            crossed_s = t_s
        was_above = above
    return crossed_s


def marks(quiet: Quiet, weak: Sequence[Found], strong: Sequence[Found]) -> Iterator[Mark]:
    alarms = quiet.alarms
    yield Mark(
        f"false alarms in {quiet.seconds / 60:g} minutes of quiet footage",
        "none",
        "none" if not alarms else f"{len(alarms)}: {'; '.join(alarms[:5])}",
        not alarms,
    )
    found = [one for one in weak if one.after_begin_s is not None and not one.too_early]
    yield Mark(
        f"a burst of {BURST_PX:g} px for {BURST_S:g} s is found, noise {NOISE_PX:g} px",
        f"{LEAST_FOUND:.0%} of seeds",
        f"{len(found)} of {len(weak)}",
        len(found) >= LEAST_FOUND * len(weak),
    )
    late_s = np.array(
        [one.after_hold_s for one in (*weak, *strong) if one.after_hold_s is not None]
    )
    onset_s = np.array([one.after_begin_s for one in strong if one.after_begin_s is not None])
    yield Mark(
        "alert after the hold time",
        f"below {MOST_LATE_S:g} s",
        f"median {np.median(late_s):.3f} s, longest {late_s.max():.3f} s of {len(late_s)}; after the "
        f"begin of a motion of {STRONG_PX:g} px and the hold time, median "
        f"{np.median(onset_s) - DEFAULT_ALERT.raise_after_s:.3f} s, longest "
        f"{onset_s.max() - DEFAULT_ALERT.raise_after_s:.3f} s",
        bool(late_s.max() < MOST_LATE_S),
    )


def section(quiet: Quiet, weak: Sequence[Found], strong: Sequence[Found]) -> Iterator[str]:
    yield (
        f"Quiet footage: {QUIET_RATE_HZ} fps, noise of {QUIET_NOISE_GREY:g} grey levels, light that "
        f"flickers by {FLICKER:.0%} at {FLICKER_HZ:g} Hz, clouds that take up to {CLOUD:.0%} of it in a "
        f"rhythm of {CLOUD_S:g} s, the edge of a shadow of {SHADOW:.0%} ({PENUMBRA_PX:g} px soft) "
        f"that wanders over the picture and back in {SHADOW_S:g} s, and a camera that shakes by "
        f"{SHAKE_PX:g} px RMS and {1e3 * TURN_RAD:g} mrad at {LOW_HZ:g} to {HIGH_HZ:g} Hz. Two regions "
        f"are measured, three tell the shake; {quiet.told:.1%} of the readings were there"
        f"{''.join(f', {reason}' for reason in quiet.reasons)}. Rules: the default one "
        f"(`{DEFAULT_ALERT.quantity}` above {DEFAULT_ALERT.raise_above:g} for "
        f"{DEFAULT_ALERT.raise_after_s:g} s), STA/LTA with its usual ratios (3.95 and .9), and the "
        "camera's health.\n"
    )
    yield (
        f"Bursts: {RATE_HZ} fps, still but for {BURST_S:g} s at {BURST_HZ:g} Hz, the default rule alone, "
        f"levels over {Vibration().level_s:g} s; each seed has its own texture, with the contrast that "
        "makes the noise of one measurement what it shall be. *after the hold time*: from when the "
        f"reading, looked at in every frame, had been above the threshold for "
        f"{DEFAULT_ALERT.raise_after_s:g} s. What comes before is the level's own rise, an average over "
        f"{Vibration().level_s:g} s.\n"
    )
    yield "| motion px | noise px | found | begin to alert, median | longest | after the hold time |"
    yield "|---:|" + "---:|" * 5
    for amplitude_px, part in ((BURST_PX, weak), (STRONG_PX, strong)):
        after_s = np.array([one.after_begin_s for one in part if one.after_begin_s is not None])
        late_s = np.array([one.after_hold_s for one in part if one.after_hold_s is not None])
        noise_px = np.mean([one.noise_px for one in part])
        if len(after_s) == 0:
            yield f"| {amplitude_px:g} | {noise_px:.4f} | 0/{len(part)} | - | - | - |"
            continue
        yield (
            f"| {amplitude_px:g} | {noise_px:.4f} | {len(after_s)}/{len(part)} "
            f"| {np.median(after_s):.3f} s | {after_s.max():.3f} s | {np.median(late_s):.3f} s, longest "
            f"{late_s.max():.3f} s |"
        )
    yield ""
