"""Many regions at once: what they come to does not depend on how their pictures lie in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.clips import Floats, Scene, render
from runtime.config import Region
from runtime.displacement import LEARNED_PICTURES, Displacement, DisplacementMeter, batch
from runtime.displacement.tracker import BLURRED, CHANGED, Tracker
from runtime.frame import Frame

WIDE, HIGH = 150, 110
REGIONS = tuple(
    Region(name=f"r{x}-{y}", x=x, y=y, width=width, height=24)
    for width, x, y in [(24, 16, 16), (24, 60, 16), (32, 100, 16), (24, 16, 70), (24, 60, 70)]
)
COUNT = 3 * LEARNED_PICTURES


def frames() -> Iterator[Frame]:
    """Motion of several pixels, and moments in which two regions are covered, or two too bright."""
    random = np.random.default_rng(3)
    x_px, y_px = np.cumsum(random.normal(0, 0.2, (2, COUNT)), axis=1)
    for number, frame in enumerate(render(Scene(WIDE, HIGH), x_px, y_px, rate_hz=30)):
        image = frame.image.copy()
        if number % 40 == 37:
            image[:, :56] = random.integers(0, 256, (HIGH, 56, 1))
        if number % 40 == 38:
            image[62:, :90] = 255
        yield replace(frame, image=image)


def measured(pictures: Iterable[Frame]) -> list[tuple[Displacement, ...]]:
    meter = DisplacementMeter(REGIONS)
    return [meter.measure(frame) for frame in pictures]


def test_regions_are_measured_alike_in_portions_and_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once = measured(frames())
    assert sum(one.valid for one in at_once[-1]) == len(REGIONS)
    assert [one.valid for one in at_once[77]] == [False, True, True, False, True]
    assert [one.valid for one in at_once[78]] == [True, True, True, False, False]
    monkeypatch.setattr(batch, "_AT_ONCE_PX", 2 * 24 * 24)
    assert measured(frames()) == at_once


def test_a_region_that_is_not_suspected_would_not_be_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pictures() -> Iterator[Frame]:
        for number, frame in enumerate(frames()):
            if number % 16 == 9:  # out of focus, by more and more
                image = cv2.GaussianBlur(frame.image, (0, 0), 0.02 * number)
                yield replace(frame, image=image.astype(np.uint8))
            else:
                yield frame

    told = measured(pictures())
    refused = {one.reason for each in told for one in each}
    assert {BLURRED, CHANGED} < refused
    everyone = np.ones(len(REGIONS), bool)
    monkeypatch.setattr(Tracker, "_suspect", lambda _, fits: everyone[: len(fits.flat)])
    assert measured(pictures()) == told


def test_lines_that_lie_apart_are_read_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    together = measured(frames())

    def refuse(image: Floats) -> Floats:
        assert image.ndim < 3, "the whole picture is copied"
        return image.copy()

    def apart(frame: Frame) -> Frame:
        lines = np.zeros((HIGH, 3 * WIDE + 2), np.uint8)
        lines[:, : 3 * WIDE] = frame.image.reshape(HIGH, -1)
        shape, strides = frame.image.shape, (lines.strides[0], 3, 1)
        return replace(frame, image=np.ndarray(shape, np.uint8, lines, strides=strides))

    pictures = [apart(frame) for frame in frames()]
    monkeypatch.setattr(np, "ascontiguousarray", refuse)
    assert measured(pictures) == together


def test_a_region_that_left_the_picture_is_measured_when_it_comes_back() -> None:
    region = Region(name="mast", x=12, y=12, width=40, height=40)  # 12 px from the right edge
    way_px = np.concatenate([np.linspace(0, 12, 25), [12.4, 12.63, 13.5, 15, 13.5, 12.63, 12.4]])
    x_px = np.concatenate([np.zeros(LEARNED_PICTURES), way_px, np.linspace(12, 0, 25)])
    meter = DisplacementMeter([region])
    clip = render(Scene(64, 64), x_px, np.zeros_like(x_px), noise_grey=0.5, rate_hz=30)
    told = [meter.measure(frame)[0] for frame in clip]
    reasons = [one.reason for one in told[LEARNED_PICTURES:]]
    assert batch.OUT_OF_PICTURE in reasons
    assert reasons[:25] == reasons[-20:] + 5 * [None] == 25 * [None]
    back_px = [one.x_px for one in told[-20:]]
    assert back_px == pytest.approx(x_px[-20:], abs=0.02)
