"""Filter coefficients against a plain simulation, what the station does, and what is seen."""

import logging
import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.clips import Floats
from failure import Failure
from runtime.camera.video_file import VideoFile
from runtime.config import Magnification, Rectangle, Region
from runtime.demo.demo import SAMPLE, read_truth
from runtime.displacement import LEARNED_PICTURES, DisplacementMeter
from runtime.engine import Coming, Follow
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.frame import Frame
from runtime.magnification import GAP_S, Magnifier, filter_for

COUNT = 3000


def shown_motion(settings: Magnification, t_s: Floats, moved: Floats) -> Floats:
    """What two low-passes with the coefficients of each step add to a motion; same shape."""
    fast = slow = moved[0]
    added = [0.0]
    for step_s, now in zip(np.diff(t_s), moved[1:], strict=True):
        (follow_fast, follow_slow), gain = filter_for(settings, float(step_s))
        fast += follow_fast * (now - fast)
        added.append((gain - 1) * (fast - slow))
        slow += follow_slow * (now - slow)
    return np.array(added)


def added_to_sine(settings: Magnification, steps_s: Floats, frequency_hz: float) -> float:
    """Amplitude that is added to a sine of 1, once the filter has settled."""
    t_s = np.cumsum(steps_s)
    angle = 2 * np.pi * frequency_hz * t_s
    added = shown_motion(settings, t_s, np.sin(angle))
    settled = len(t_s) // 2
    parts = np.stack([np.sin(angle), np.cos(angle), np.ones_like(angle)], axis=1)
    sine, cosine, _ = np.linalg.lstsq(parts[settled:], added[settled:], rcond=None)[0]
    return math.hypot(sine, cosine)


def steady() -> Floats:
    return np.full(COUNT, 1 / 30)


def jittery() -> Floats:
    return np.random.default_rng(1).uniform(1 / 40, 1 / 20, COUNT)


def skipping() -> Floats:
    return np.random.default_rng(2).choice([1 / 30, 2 / 30], COUNT)


def band(low_hz: float, high_hz: float, gain: float = 20.0) -> Magnification:
    return Magnification(mode="band-pass", low_hz=low_hz, high_hz=high_hz, gain=gain)


@pytest.mark.parametrize("steps", [steady, jittery, skipping])
@pytest.mark.parametrize("settings", [band(1, 5), band(0.5, 5, 8.0), band(0.1, 1), band(1, 1.5)])
def test_motion_in_the_middle_of_the_band_is_shown_gain_times(
    settings: Magnification, steps: Callable[[], Floats]
) -> None:
    middle_hz = math.sqrt(settings.low_hz * settings.high_hz)
    added = added_to_sine(settings, steps(), middle_hz)
    assert added == pytest.approx(settings.gain - 1, rel=0.02)


@pytest.mark.parametrize("steps", [steady, jittery])
def test_slow_and_fast_motion_is_held_back_by_the_band(steps: Callable[[], Floats]) -> None:
    settings = band(1.0, 2.0)
    assert added_to_sine(settings, steps(), 0.05) < 0.1 * settings.gain
    assert added_to_sine(settings, steps() / 10, 100.0) < 0.1 * settings.gain


@pytest.mark.parametrize("settings", [band(0.5, 5), Magnification(mode="static", reference_s=4)])
def test_a_step_is_forgotten_unless_it_comes_back(settings: Magnification) -> None:
    t_s = np.arange(1500) / 30
    added = shown_motion(settings, t_s, (t_s > 1).astype(float))
    assert added.max() > 0.5 * settings.gain
    assert abs(added[-1]) < 1e-3 * added.max()


def test_dynamic_mode_magnifies_the_difference_to_the_frame_before() -> None:
    settings = Magnification(mode="dynamic", gain=7)
    moved = np.random.default_rng(3).normal(size=50)
    added = shown_motion(settings, np.cumsum(np.full(50, 0.04)), moved)
    np.testing.assert_allclose(added[1:], 6 * np.diff(moved), atol=1e-12)


def test_static_mode_follows_its_reference_with_the_time_constant() -> None:
    settings = Magnification(mode="static", reference_s=20, gain=11)
    t_s = np.arange(0, 40, 1 / 25)
    added = shown_motion(settings, t_s, (t_s > 0).astype(float))
    at = np.searchsorted(t_s, 20.0)
    assert added[1] == pytest.approx(10)
    assert added[at] == pytest.approx(10 * math.exp(-1), rel=0.01)
    assert added_to_sine(settings, steady(), 2.0) == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize("mode", ["static", "dynamic", "band-pass"])
@pytest.mark.parametrize("step_s", [1e-4, 1 / 30, 0.5, GAP_S])
def test_coefficients_stay_between_0_and_1(mode: str, step_s: float) -> None:
    follow, gain = filter_for(Magnification.model_validate({"mode": mode}), step_s)
    assert all(0 < part <= 1 for part in follow)
    assert 1 <= gain < 1e4


@pytest.mark.parametrize("band_hz", [(0.5, 5.0), (1.0, 1.1), (2.0, 30.0)])
def test_a_band_beyond_half_the_rate_gets_no_more_gain(band_hz: tuple[float, float]) -> None:
    low_hz, high_hz = band_hz
    settings = Magnification(mode="band-pass", low_hz=low_hz, high_hz=high_hz, gain=20)
    fast_enough = filter_for(settings, 1e-4)[1]
    for step_s in np.geomspace(1e-4, GAP_S, 1000):
        gain = filter_for(settings, step_s)[1]
        assert gain < 1.01 * fast_enough
        assert (gain == 1) == (0.5 / step_s <= low_hz)


class Recorder:
    """An engine that inverts pictures and remembers how it was called."""

    description = "recorder"
    size_px: tuple[int, int] | None = None

    def __init__(self) -> None:
        self.calls: list[tuple[NDArray[np.uint8], float, Follow] | str] = []
        self.seen: NDArray[np.uint8] | None = None
        """The frame that came while the latest one computed."""

    def reset(self) -> None:
        self.calls.append("reset")

    def step(
        self,
        image: NDArray[np.uint8],
        gain: float,
        follow: Follow,
        coming: Coming | None = None,
    ) -> NDArray[np.uint8]:
        self.calls.append((image.copy(), gain, follow))
        self.seen = None if coming is None else coming(0.25)
        return 255 - image

    def close(self) -> None:
        self.calls.append("close")

    def knobs(self) -> list[tuple[float, Follow] | str]:
        """The calls without their pictures."""
        return [call if isinstance(call, str) else call[1:] for call in self.calls]


PRIMED = ["reset", (1.0, (1.0, 1.0))]


def frame(t_s: float, width: int = 40, height: int = 30) -> Frame:
    random = np.random.default_rng(round(t_s * 1000) + 10**6)
    image = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
    image.setflags(write=False)
    return Frame(0, round(t_s * 1e9), image)


def test_without_an_area_the_engine_gets_and_gives_the_whole_picture() -> None:
    engine, settings = Recorder(), band(1, 5)
    magnifier = Magnifier(settings, engine)
    for t_s in (10.0, 10.04):
        now = frame(t_s)
        np.testing.assert_array_equal(magnifier.process(now).picture, 255 - now.image)
    follow, gain = filter_for(settings, 0.04)
    assert engine.knobs() == [*PRIMED, (gain, follow)]
    assert magnifier.description == "recorder"


def test_only_the_area_goes_through_the_engine() -> None:
    engine = Recorder()
    area = Rectangle(x=7, y=11, width=20, height=9)
    magnifier = Magnifier(Magnification(area=area), engine)
    now = frame(0.0)
    expected = now.image.copy()
    expected[11:20, 7:27] = 255 - expected[11:20, 7:27]
    np.testing.assert_array_equal(magnifier.process(now).picture, expected)
    image = engine.calls[1][0]
    np.testing.assert_array_equal(image, now.image[11:20, 7:27])


def test_the_engine_sees_the_area_of_the_frame_that_comes() -> None:
    engine, following = Recorder(), frame(0.04)
    magnifier = Magnifier(Magnification(area=Rectangle(x=7, y=11, width=20, height=9)), engine)
    magnifier.process(frame(0.0), lambda within_s: following if within_s == 0.25 else None)
    assert engine.seen is not None
    assert np.shares_memory(engine.seen, following.image)
    np.testing.assert_array_equal(engine.seen, following.image[11:20, 7:27])
    magnifier.process(following, lambda _: None)
    assert engine.seen is None


@pytest.mark.parametrize(
    "area",
    [
        Rectangle(x=21, y=0, width=20, height=10),
        Rectangle(x=0, y=21, width=20, height=10),
        Rectangle(x=100, y=100, width=20, height=10),
    ],
)
def test_an_area_outside_the_picture_is_told(area: Rectangle) -> None:
    magnifier = Magnifier(Magnification(area=area), Recorder())
    with pytest.raises(Failure, match=r"magnification\.area .* picture of 40x30 px; move it"):
        magnifier.process(frame(0.0))


@pytest.mark.parametrize(
    "second", [frame(100 + GAP_S + 0.1), frame(99.0), frame(100.0), frame(100.1, width=48)]
)
def test_the_filter_starts_anew_after_a_gap_a_clock_set_back_or_another_size(
    second: Frame,
) -> None:
    engine = Recorder()
    magnifier = Magnifier(Magnification(), engine)
    magnifier.process(frame(100.0))
    magnifier.process(second)
    magnifier.process(Frame(2, second.t_capture_ns + round(0.04 * 1e9), second.image))
    follow, gain = filter_for(Magnification(), 0.04)
    assert engine.knobs() == [*PRIMED, *PRIMED, (gain, follow)]


def test_skipped_frames_are_no_gap() -> None:
    engine = Recorder()
    magnifier = Magnifier(Magnification(), engine)
    for t_s in (0.0, 0.9 * GAP_S, 0.95 * GAP_S):
        magnifier.process(frame(t_s))
    assert engine.knobs().count("reset") == 1


@pytest.mark.parametrize(
    ("settings", "step_s", "warnings"),
    [
        (band(1, 5), 0.12, 1),
        (band(1, 5), 0.08, 0),
        (Magnification(mode="static", high_hz=5), 0.12, 0),
        (Magnification(mode="dynamic", high_hz=5), 0.12, 0),
    ],
)
def test_a_band_above_half_the_real_rate_is_told_once(
    settings: Magnification, step_s: float, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    magnifier = Magnifier(settings, Recorder())
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            magnifier.process(frame(number * step_s))
    assert len(caplog.records) == warnings
    if warnings:
        assert "8.3 frames a second, so motion above 4.2 Hz" in caplog.text
        assert "high_hz = 5" in caplog.text


def test_a_knob_holds_from_the_next_frame_on_and_the_filter_goes_on() -> None:
    engine, settings = Recorder(), band(1, 5)
    magnifier = Magnifier(settings, engine)
    for number in range(3):
        magnifier.process(frame(number * 0.04))
    turned = magnifier.controls.change({"gain": 50, "low_hz": 2, "high_hz": 4})
    magnifier.process(frame(3 * 0.04))
    knobs = [filter_for(one, 0.04)[::-1] for one in (settings, settings, turned)]
    assert engine.knobs() == [*PRIMED, *knobs]


def test_a_frame_that_is_begun_is_finished_with_what_held_then() -> None:
    engine, following = Recorder(), frame(0.04)
    magnifier = Magnifier(Magnification(), engine)
    magnifier.controls.picture_is((40, 30))

    def turned(_: float) -> Frame:
        magnifier.controls.change({"area": {"x": 7, "y": 11, "width": 20, "height": 9}})
        return following

    now = frame(0.0)
    np.testing.assert_array_equal(magnifier.process(now, turned).picture, 255 - now.image)
    assert engine.seen is not None
    assert engine.seen.shape == following.image.shape


@pytest.mark.parametrize(
    "change",
    [{"mode": "dynamic"}, {"area": {"x": 0, "y": 0, "width": 20, "height": 9}}, {"area": None}],
)
def test_a_new_mode_or_area_begins_with_a_frame_as_it_is(change: dict[str, Any]) -> None:
    engine = Recorder()
    settings = Magnification(area=Rectangle(x=7, y=11, width=20, height=9))
    magnifier = Magnifier(settings, engine)
    magnifier.controls.picture_is((40, 30))
    magnifier.process(frame(0.0))
    magnifier.process(frame(0.04))
    turned = magnifier.controls.change(change)
    magnifier.process(frame(0.08))
    magnifier.process(frame(0.12))
    knobs = [filter_for(one, 0.04)[::-1] for one in (settings, turned)]
    assert engine.knobs() == [*PRIMED, knobs[0], *PRIMED, knobs[1]]


def test_a_refused_change_does_not_disturb_the_frames() -> None:
    engine, settings = Recorder(), band(1, 5)
    magnifier = Magnifier(settings, engine)
    magnifier.process(frame(0.0))
    with pytest.raises(Failure, match="must be below"):
        magnifier.controls.change({"mode": "dynamic", "low_hz": 9})
    magnifier.process(frame(0.04))
    assert engine.knobs() == [*PRIMED, filter_for(settings, 0.04)[::-1]]


def test_the_real_engine_takes_every_change_between_two_frames() -> None:
    engine = OnnxRuntimeEngine(SHIPPED, threads=1)
    magnifier = Magnifier(Magnification(), engine)
    magnifier.controls.picture_is((40, 30))
    changes: list[dict[str, Any]] = [
        {"area": {"x": 3, "y": 2, "width": 8, "height": 27}},
        {"gain": 500, "mode": "band-pass"},
        {"area": {"x": 0, "y": 0, "width": 13, "height": 8}},
        {"area": None, "mode": "dynamic"},
    ]
    for number, change in enumerate(changes):
        magnifier.controls.change(change)
        for step in range(2):
            now = frame((2 * number + step) * 0.04)
            assert magnifier.process(now).picture.shape == now.image.shape


GAIN = 20.0


def sample_frames(from_s: float, to_s: float) -> Iterator[Frame]:
    with VideoFile(SAMPLE, real_time=False) as source:
        yield from islice(source.frames(), round(from_s * 30), round(to_s * 30))


def magnified_sample(area: Rectangle) -> Iterator[Frame]:
    """The sample clip from 5 to 7.5 s with a magnified part; the filter has settled by then."""
    settings = band(1, 5, GAIN).model_copy(update={"area": area})
    magnifier = Magnifier(settings, OnnxRuntimeEngine(SHIPPED, threads=1))
    for now in sample_frames(4.3, 7.5):
        shown = magnifier.process(now).picture
        if now.t_capture_ns >= 5e9:
            yield Frame(now.index, now.t_capture_ns, shown)


def lower_edge_px(picture: NDArray[np.uint8]) -> float:
    """Where the dark lower flange of the deck ends at midspan, from a mean over its columns."""
    top, bottom = 195, 230
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    profile = grey[top:bottom, 288:352].mean(axis=1)
    darkest = int(profile.argmin())
    half = (profile[darkest] + np.median(profile[-8:])) / 2
    last = darkest + int(np.argmax(profile[darkest:] >= half)) - 1
    share = (half - profile[last]) / (profile[last + 1] - profile[last])
    return top + last + float(share)


def test_the_shipped_network_shows_the_deck_moving_gain_times_as_far() -> None:
    truth = read_truth()
    shown = list(magnified_sample(Rectangle(x=272, y=150, width=96, height=80)))
    angle = 2 * np.pi * truth.frequency_hz * np.array([now.t_capture_ns for now in shown]) / 1e9
    parts = np.stack([np.sin(angle), np.cos(angle), np.ones_like(angle)], axis=1)
    edge_px = np.array([lower_edge_px(now.image) for now in shown])
    sine, cosine, _ = np.linalg.lstsq(parts, edge_px, rcond=None)[0]
    wanted_px = GAIN * truth.regions["midspan"].amplitude_y_px
    assert math.hypot(sine, cosine) == pytest.approx(wanted_px, rel=0.4)
    assert abs(math.atan2(cosine, sine)) < 0.5, "it moves with the deck, not against it"


def test_the_shipped_network_leaves_the_pier_where_it_is() -> None:
    place = read_truth().regions["pier"]
    region = Region(name="pier", x=place.x, y=place.y, width=place.width, height=place.height)
    meter = DisplacementMeter([region])
    area = Rectangle(x=place.x - 16, y=place.y - 16, width=80, height=96)
    results = [meter.measure(now)[0] for now in magnified_sample(area)][LEARNED_PICTURES:]
    moved_px = np.array([(one.x_px, one.y_px) for one in results], dtype=np.float64)
    assert np.isfinite(moved_px).all(), {one.reason for one in results}
    assert moved_px.std(axis=0).max() < 0.3
