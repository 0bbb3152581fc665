"""How near displacement comes to what noise allows, and whether its standard errors are true.

Bounds are Cramer-Rao's: noise over the root of the squared slopes' sum, from the exact scene.
"""

from functools import cache

import numpy as np
import pytest

from benchmarks.clips import Floats, Scene, render, sine
from runtime.config import Region
from runtime.displacement import LEARNED_PICTURES, DisplacementMeter
from runtime.displacement.template import QUANTISATION_GREY

RATE_HZ = 60.0
REGION = Region(name="girder", x=12, y=12, width=40, height=40)
FRAMES = 2 * LEARNED_PICTURES
CLIPS = 6
TEXTURES = {"fine": (4.0, 12.0), "natural": (5.0, 40.0), "soft": (12.0, 60.0)}


def bound_px(scene: Scene, noise_grey: float) -> Floats:
    """Least standard error of x and y that a single picture with this noise allows, (2,)."""
    window = np.s_[12:52, 12:52]
    slopes = [((scene.at(*step) - scene.at(*-step)) / 2e-3)[window] for step in 1e-3 * np.eye(2)]
    noise = np.hypot(noise_grey, QUANTISATION_GREY)  # of the camera, and of rounding to 8 bits
    bound: Floats = noise / np.sqrt([(slope**2).sum() for slope in slopes])
    return bound


@cache
def errors_of(texture: str, noise_grey: float, amplitude_px: float) -> tuple[Floats, ...]:
    """Errors and published standard errors over their bound; truth; each (clips, frames, axes).

    Light flickers by 5 % all the time.
    """
    count = LEARNED_PICTURES + FRAMES
    x_px = sine(count, RATE_HZ, 3.1, amplitude_px)
    truth_px = np.stack([x_px, -0.6 * x_px], axis=1)
    light = 1 + sine(count, RATE_HZ, 7.3, 0.05)
    errors, standard = [], []
    for seed in range(CLIPS):
        finest_px, coarsest_px = TEXTURES[texture]
        scene = Scene(64, 64, seed=seed, finest_px=finest_px, coarsest_px=coarsest_px)
        frames = render(scene, *truth_px.T, noise_grey=noise_grey, seed=seed, gain=light)
        meter = DisplacementMeter([REGION])
        results = [meter.measure(frame)[0] for frame in frames][LEARNED_PICTURES:]
        moved_px = np.array([(one.x_px, one.y_px) for one in results], np.float64)
        se_px = np.array([(one.x_se_px, one.y_se_px) for one in results], np.float64)
        from_zero_px = truth_px[LEARNED_PICTURES:] - truth_px[:LEARNED_PICTURES].mean(axis=0)
        bound = bound_px(scene, noise_grey)
        errors.append((moved_px - from_zero_px) / bound)
        standard.append(se_px / bound)
    truth = np.broadcast_to(truth_px[LEARNED_PICTURES:], np.shape(errors))
    return np.array(errors), np.array(standard), truth


@pytest.mark.parametrize("amplitude_px", [0.02, 0.5])
@pytest.mark.parametrize("noise_grey", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("texture", TEXTURES)
def test_errors_are_near_the_cramer_rao_bound_and_what_is_said_of_them(
    texture: str, noise_grey: float, amplitude_px: float
) -> None:
    errors, standard, _ = errors_of(texture, noise_grey, amplitude_px)
    rmse = np.sqrt(np.square(errors).mean())
    within = np.abs(errors) / standard
    assert rmse < 1.2
    assert np.mean(within < 1) == pytest.approx(0.683, abs=0.05)
    assert np.mean(within < 2) == pytest.approx(0.954, abs=0.05)


@pytest.mark.parametrize("noise_grey", [1.5, 4.0])
def test_noise_in_the_template_does_not_make_motion_smaller(noise_grey: float) -> None:
    errors, _, truth = errors_of("natural", noise_grey, 0.5)
    for axis in (0, 1):
        error, moved = errors[..., axis], truth[..., axis]
        slope = (error * moved).sum() / (moved**2).sum()
        assert abs(slope) < 3 / np.sqrt((moved**2).sum())
