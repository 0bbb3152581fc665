"""Methods side by side: pictures of whole scenes, and tests of one known motion."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from skimage.metrics import peak_signal_noise_ratio

from magnifier import motion_tests
from magnifier.evaluation import similarity
from magnifier.methods import Method
from magnifier.motion_tests import Flicker, Trial
from magnifier.photographs import Picture
from magnifier.scene_folder import StoredScene

Distance = Callable[[Picture, Picture], float]
TRIAL_PX = 256
TRIALS = 6
"""Pictures at each level of a motion test, the same for every method."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one picture against the truth; LPIPS is a distance, 0 when equal."""

    ssim: float
    psnr_db: float
    lpips: float


@dataclass(slots=True)
class Results:
    """Of one method. The lists of a level are of the same trials for every method."""

    scenes: list[Quality] = field(default_factory=list)
    subpixel: dict[float, list[float]] = field(default_factory=dict)
    """Motion in px -> SSIM of each trial."""
    noise: dict[float, list[float]] = field(default_factory=dict)
    """Noise in grey levels -> SSIM of each trial."""
    gains: dict[tuple[float, float], list[float]] = field(default_factory=dict)
    """(requested gain, motion in px) -> achieved gain of each trial."""
    flicker: list[Flicker] = field(default_factory=list)


def levels() -> list[tuple[str, float, float, float]]:
    """Every level of the three tests: which test, motion in px, gain, noise in grey levels."""
    subpixel = [
        ("subpixel", motion, motion_tests.SUBPIXEL_MAGNIFIED_PX / motion, motion_tests.USUAL_NOISE)
        for motion in motion_tests.SUBPIXEL_MOTIONS_PX
    ]
    noise = [
        ("noise", motion_tests.NOISE_MOTION_PX, motion_tests.NOISE_GAIN, level)
        for level in motion_tests.NOISE_LEVELS
    ]
    gains = [
        ("gains", motion, gain, motion_tests.USUAL_NOISE)
        for gain, motion in motion_tests.gain_grid()
    ]
    return subpixel + noise + gains


def compare(
    methods: dict[str, Method],
    scenes: list[StoredScene],
    pictures: list[Picture],
    lpips: Distance,
    *,
    seed: int,
    tell: Callable[[str], None],
) -> dict[str, Results]:
    """Every method on every scene and trial; ``tell`` is called after each with what was done."""
    results = {name: Results() for name in methods}
    for scene in scenes:
        reference, current, truth = scene.pictures()
        for name, method in methods.items():
            shown = method(reference, current, scene.gain)
            results[name].scenes.append(quality(shown, truth, lpips))
        tell("scenes")
    for place, (test, motion_px, gain, noise) in enumerate(levels()):
        for number in range(TRIALS):
            made = motion_tests.trial(
                pictures,
                TRIAL_PX,
                motion_px=motion_px,
                gain=gain,
                noise=noise,
                random=np.random.default_rng((seed, place, number)),
            )
            for name, method in methods.items():
                shown = method(made.reference, made.current, gain)
                _note(results[name], test, made, noise, shown)
        tell("tests of one motion")
    for number in range(TRIALS):
        for name, method in methods.items():
            random = np.random.default_rng((seed, number))
            results[name].flicker.append(motion_tests.flicker(method, pictures, TRIAL_PX, random))
        tell("flicker")
    return results


def steps(scenes: list[StoredScene]) -> int:
    """How often ``compare`` calls ``tell``."""
    return len(scenes) + len(levels()) + TRIALS


def quality(shown: Picture, truth: Picture, lpips: Distance) -> Quality:
    """SSIM, PSNR and LPIPS of a picture against the truth."""
    psnr_db = peak_signal_noise_ratio(truth, shown, data_range=255)  # type: ignore[no-untyped-call]
    return Quality(similarity(shown, truth), float(psnr_db), lpips(shown, truth))


def _note(results: Results, test: str, made: Trial, noise: float, shown: Picture) -> None:
    motion_px = float(np.hypot(*made.motion_px))
    if test == "gains":
        key = (made.gain, round(motion_px, 6))
        results.gains.setdefault(key, []).append(motion_tests.achieved_gain(shown, made))
    elif test == "noise":
        results.noise.setdefault(noise, []).append(similarity(shown, made.truth))
    else:
        results.subpixel.setdefault(round(motion_px, 6), []).append(similarity(shown, made.truth))
