"""Each problem of a camera is told after its time with its reason, ends, and quiet footage has none."""

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from benchmarks.clips import Scene, compressed, render
from failure import Failure
from runtime.alerts.condition import AlertStep
from runtime.camera.problem import Frozen, Resized
from runtime.config import Region
from runtime.config.health import Health
from runtime.displacement import Displacement, DisplacementMeter
from runtime.frame import Frame
from runtime.health import MOST_TIMES, CameraHealth

RATE_HZ = 10.0
SCENE = Scene(160, 120)
Image = NDArray[np.uint8]
Change = Callable[[float, Image], Image]
Measure = Callable[[float], list[Displacement]]


def measured(
    t_s: float, *places_px: tuple[float, float], reason: str | None = None
) -> list[Displacement]:
    """One displacement a place, named a, b, c...; with a reason they are missing."""
    return [
        Displacement(
            chr(ord("a") + index),
            round(t_s * 1e9),
            None if reason else x_px,
            None if reason else y_px,
            None if reason else 0.01,
            None if reason else 0.01,
            reason is None,
            reason,
        )
        for index, (x_px, y_px) in enumerate(places_px)
    ]


def still(t_s: float) -> list[Displacement]:
    return measured(t_s, (0, 0), (0, 0), (0, 0))


def footage(seconds: float, rate_hz: float = RATE_HZ, noise_grey: float = 1.5) -> Iterator[Frame]:
    count = round(seconds * rate_hz)
    zero = np.zeros(count)
    return render(SCENE, zero, zero, rate_hz=rate_hz, noise_grey=noise_grey, seed=7)


def told(
    health: CameraHealth, frames: Iterable[Frame], displacements: Measure = still
) -> list[AlertStep]:
    steps = []
    for frame in frames:
        health.look(frame)
        t_s = frame.t_capture_ns / 1e9
        steps += health.judge(t_s, displacements(t_s))[0]
    return steps


def camera(wanted_hz: float | None = None, **settings: object) -> CameraHealth:
    return CameraHealth(
        Health.model_validate(settings), wanted_hz=wanted_hz, unix_s=lambda: 0, steady_s=lambda: 0
    )


def between(frames: Iterable[Frame], start_s: float, end_s: float, change: Change) -> list[Frame]:
    """The frames, those of start_s..end_s changed."""
    return [
        frame
        if not start_s <= frame.t_capture_ns / 1e9 < end_s
        else Frame(frame.index, frame.t_capture_ns, change(frame.t_capture_ns / 1e9, frame.image))
        for frame in frames
    ]


def lives(steps: list[AlertStep]) -> list[tuple[str, str]]:
    return [(step.rule, step.type) for step in steps]


def test_quiet_footage_has_no_problem() -> None:
    assert told(camera(wanted_hz=10.0), footage(90.0)) == []


def test_quiet_compressed_footage_has_no_problem() -> None:
    # Compression repeats much of a still picture, but not for ten seconds.
    frames = compressed(footage(60.0), crf=23, rate_hz=10, group=30)
    assert told(camera(wanted_hz=10.0), frames) == []


def test_a_picture_that_repeats_is_frozen() -> None:
    frozen = next(footage(0.1)).image
    frames = between(footage(60.0), 10.0, 30.0, lambda *_: frozen)
    steps = told(camera(), frames)
    assert lives(steps) == [("frozen", "new"), ("frozen", "end")]
    new, end = steps
    assert (new.kind, new.region, new.regions) == ("health", None, ())
    assert 12.0 <= new.t_s < 13.0, "within 3 s"
    assert end.t_s == pytest.approx(35.0, abs=0.6)


def test_a_dark_picture_is_told_with_its_brightness() -> None:
    frames = between(footage(60.0), 10.0, 30.0, lambda _, image: image // 20)
    new, end = told(camera(), frames)
    assert (new.rule, new.quantity, new.threshold) == ("dark", "brightness_grey", 12.0)
    assert new.value == pytest.approx(6, abs=1.5)
    assert (end.rule, end.type) == ("dark", "end")


def test_a_short_darkness_is_not_told() -> None:
    frames = between(footage(40.0), 10.0, 18.0, lambda _, image: image // 20)
    assert told(camera(), frames) == []


def defocused(_: float, image: Image) -> Image:
    noise = np.random.default_rng(int(image.sum())).normal(0, 1.5, image.shape[:2])
    blurred = cv2.GaussianBlur(image[:, :, 0], (0, 0), 4.0) + noise
    return np.repeat(np.clip(np.rint(blurred), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def test_lost_focus_is_told_after_its_time_and_ends() -> None:
    steps = told(camera(), between(footage(120.0), 15.0, 60.0, defocused))
    assert lives(steps) == [("blurred", "new"), ("blurred", "end")]
    assert steps[0].t_s == pytest.approx(45.0, abs=1.0)
    assert steps[0].value is not None
    assert steps[0].value < 0.3


@pytest.mark.parametrize("gain", [0.4, 1.6])
def test_less_or_more_light_is_no_blur(gain: float) -> None:
    def light(_: float, image: Image) -> Image:
        lit: Image = np.clip(gain * image, 0, 255).astype(np.uint8)
        return lit

    assert told(camera(), between(footage(90.0), 15.0, 90.0, light)) == []


def test_regions_that_say_that_they_are_blurred_count_too() -> None:
    def rain(t_s: float) -> list[Displacement]:
        reason = "blurred: its fine texture is lost" if t_s > 15 else None
        return measured(t_s, (0, 0), (0, 0), reason=reason)

    [new] = told(camera(), footage(60.0), rain)
    assert (new.rule, new.reason) == ("blurred", "blurred: its fine texture is lost")


def test_covered_regions_are_an_occlusion_and_one_of_three_is_none() -> None:
    def covered(count: int) -> Measure:
        reason = "changed: something covers it, or it turned, or it moved too far"

        def measure(t_s: float) -> list[Displacement]:
            gone = measured(t_s, (0, 0), (0, 0), (0, 0), reason=reason)[:count]
            return gone + still(t_s)[count:]

        return measure

    assert told(camera(), footage(40.0), covered(1)) == []
    [new] = told(camera(), footage(40.0), covered(2))
    assert new.rule == "occluded"
    assert new.value == pytest.approx(2 / 3)


def lit(t_s: float, image: Image) -> Image:
    """A shadow's edge that creeps over everything in a minute."""
    shade = 1 - 0.35 * ndtr((np.arange(SCENE.width_px) - 2.5 * (t_s - 5)) / 8)
    return np.asarray(np.rint(shade[None, :, None] * image), np.uint8)


def parked(_: float, image: Image) -> Image:
    """Something before the left half."""
    image = image.copy()
    image[:, :80] = 90 + (np.arange(80) % 9 * 8)[None, :, None]
    return image


@pytest.mark.parametrize(("change", "problems"), [(lit, []), (parked, ["occluded"])])
def test_the_edge_of_a_slow_shadow_is_no_occlusion_and_a_parked_lorry_is(
    change: Change, problems: list[str]
) -> None:
    meter = DisplacementMeter(
        [Region(name=name, x=x, y=30, width=40, height=40) for name, x in (("a", 20), ("b", 100))]
    )
    health = camera()
    steps, reasons = [], set()
    for frame in between(footage(75.0), 5.0, 75.0, change):
        health.look(frame)
        displacements = meter.measure(frame)
        reasons |= {(one.reason or "measured").partition(":")[0] for one in displacements}
        steps += health.judge(frame.t_capture_ns / 1e9, displacements)[0]
    assert [step.rule for step in steps] == problems
    assert ("changed" in reasons) == bool(problems)


def shifting(*far_px: tuple[float, float]) -> Measure:
    """All regions at rest, and each somewhere else from 10 s on."""

    def measure(t_s: float) -> list[Displacement]:
        return measured(t_s, *(far_px if t_s >= 10 else [(0.0, 0.0)] * len(far_px)))

    return measure


def test_regions_that_shift_together_are_a_camera_that_moved() -> None:
    steps = told(camera(), footage(60.0), shifting((5, 1), (5.2, 0.8), (4.9, 1.1)))
    [new] = steps
    assert (new.rule, new.quantity) == ("moved", "common_shift_px")
    assert new.value == pytest.approx(5.1, abs=0.7)  # the average over some seconds follows
    assert 20 < new.t_s < 30


@pytest.mark.parametrize(
    "measure",
    [
        pytest.param(shifting((5, 0), (0, 0), (0, 0)), id="one region alone"),
        pytest.param(shifting((5, 0), (-5, 0), (0, 5)), id="each its own way"),
        pytest.param(shifting((5, 0)), id="a single region has nothing to agree with"),
        pytest.param(
            lambda t_s: measured(t_s, *[(4 * np.sin(2 * np.pi * 0.5 * t_s), 0)] * 3),
            id="a vibration that all share",
        ),
    ],
)
def test_other_motion_is_no_camera_that_moved(measure: Measure) -> None:
    assert told(camera(), footage(60.0), measure) == []


def test_regions_all_out_of_range_are_a_camera_that_moved() -> None:
    def gone(t_s: float) -> list[Displacement]:
        return measured(t_s, (0, 0), (0, 0), reason="moved: by more than 16 px")

    [new] = told(camera(), footage(30.0), gone)
    assert (new.rule, new.value, new.reason) == ("moved", None, "moved: by more than 16 px")


def test_references_decide_alone_and_then_readings_are_spoiled() -> None:
    settings = Health()
    far = shifting((5, 1), (0, 0), (0, 0))
    plain = camera()
    assert told(plain, footage(60.0), far) == []
    referred = CameraHealth(settings, wanted_hz=None, references=["a"])
    assert lives(told(referred, footage(60.0), far)) == [("moved", "new")]
    assert referred.spoiled()["ppv_mm_s"] == "the camera is unwell: moved"
    # Without references it may be the structure: it is told, and spoils nothing.
    together = shifting((5, 1), (5, 1))
    assert lives(told(plain, [*footage(60.0)], together)) == [("moved", "new")]
    assert plain.spoiled() == {}


def test_a_low_rate_is_told_against_the_wanted_one_and_spoils_what_needs_a_rate() -> None:
    health = camera(wanted_hz=20.0)
    [new] = told(health, footage(30.0))
    assert (new.rule, new.threshold) == ("rate", 16.0)
    assert new.value == pytest.approx(10.0)
    spoiled = health.spoiled()
    assert "velocity_rms_mm_s" in spoiled
    assert "displacement_rms_px" not in spoiled
    assert told(camera(wanted_hz=20.0, rate={"least_hz": 8.0}), footage(30.0)) == []
    assert told(camera(), footage(30.0)) == []


def test_no_frame_is_offline_with_what_the_camera_says_and_ends_with_frames() -> None:
    health = camera()
    frames = list(footage(40.0))
    assert told(health, frames[:100]) == []
    newest_s = frames[99].t_capture_ns / 1e9
    assert not health.is_late(0.9)
    assert health.is_late(1.1)
    steps = []
    for waited in np.arange(1.1, 12.0, 0.2):
        steps += health.judge(newest_s + waited, (), Failure("camera: unplugged"))[0]
    [new] = steps
    assert (new.rule, new.reason) == ("offline", "camera: unplugged")
    assert new.value is not None
    assert new.value < 3.0, "told within 3 s"
    assert health.problems() == ("offline",)
    [end] = told(health, frames[230:])
    assert (end.rule, end.type) == ("offline", "end")


@pytest.mark.parametrize(("kind", "name"), [(Frozen, "frozen"), (Resized, "resized")])
def test_a_camera_that_delivers_the_wrong_pictures_is_not_called_offline(
    kind: type[Failure], name: str
) -> None:
    health = camera()
    told(health, footage(5.0))
    steps = []
    for waited in np.arange(1.1, 4.0, 0.1):
        steps += health.judge(5.0 + waited, (), kind("camera: wrong"))[0]
    [new] = steps
    assert (new.rule, new.type, new.reason) == (name, "new", "camera: wrong")
    assert health.spoiled(), "no rule judges what it sees"


def test_darkness_repeats_and_is_not_frozen() -> None:
    frames = between(footage(30.0), 5.0, 30.0, lambda _, image: image * 0)
    assert lives(told(camera(), frames)) == [("dark", "new")]


def test_a_halved_rate_is_told_within_three_seconds() -> None:
    health = camera(wanted_hz=30.0)
    fast, slow = list(footage(10.0, 30.0)), list(footage(10.0, 15.0))
    late = [Frame(one.index, one.t_capture_ns + 10 * 10**9, one.image) for one in slow]
    [new] = told(health, [*fast, *late])
    assert (new.rule, new.quantity) == ("rate", "rate_hz")
    assert new.t_s < 13.0


def test_a_slow_camera_is_not_late_before_three_of_its_frames() -> None:
    health = camera()
    told(health, footage(100.0, rate_hz=0.5))
    assert not health.is_late(5.9)
    assert health.is_late(6.1)


@pytest.mark.parametrize("jump_s", [-3600.0, 5.0, 1e9])
def test_a_time_of_day_that_jumps_is_told_once(jump_s: float) -> None:
    steady = iter(np.arange(0, 200, 0.1))
    now = {"steady": 0.0}

    def steady_s() -> float:
        now["steady"] = float(next(steady))
        return now["steady"]

    def unix_s() -> float:
        # A clock that is slewed runs a little fast, which is no jump.
        base = 1.7e9 + now["steady"] * 1.0005
        return base + (jump_s if now["steady"] > 20 else 0.0)

    health = CameraHealth(Health(), wanted_hz=None, unix_s=unix_s, steady_s=steady_s)
    new, end = told(health, footage(120.0))
    assert (new.rule, new.type, new.quantity) == ("clock", "new", "clock_jump_s")
    assert new.value == pytest.approx(jump_s, abs=0.2)
    assert new.t_s == pytest.approx(20, abs=0.3)
    assert (end.rule, end.type) == ("clock", "end")
    assert end.t_s == pytest.approx(80, abs=1)


def test_a_check_that_is_switched_off_is_silent() -> None:
    frozen = next(footage(0.1)).image
    frames = between(footage(60.0), 10.0, 60.0, lambda *_: frozen)
    assert told(camera(frozen={"enabled": False}), frames) == []


def test_memory_is_bounded() -> None:
    health = camera()
    image = next(footage(0.1)).image
    for index in range(2 * MOST_TIMES):
        health.look(Frame(index, index * 100_000, image))
    assert len(health._times_s) == MOST_TIMES
