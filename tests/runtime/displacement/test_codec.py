"""What a codec does to displacement is told by its key frames, and by nothing else."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.clips import Floats, Scene, compressed, render, sine
from runtime.config import Region
from runtime.displacement import LARGEST_SE_PX, Displacement, DisplacementMeter
from runtime.displacement.codec import CodecError
from runtime.frame import Frame

RATE_HZ, GROUP = 60, 30
NOISE_PX, CODEC_PX = 0.003, 0.02
QUIET_PX = np.full((1, 2), NOISE_PX)
REGION = Region(name="deck", x=20, y=20, width=41, height=41)


def moved(groups: int, *, codec_px: float, motion_px: float = 0.05) -> Floats:
    """(frames, 2): a sine and noise, and a codec's error that is another one from key frame to key frame."""
    rng = np.random.default_rng(3)
    truth_px = sine(groups * GROUP, RATE_HZ, 3.37, motion_px)
    lags_px = np.repeat(rng.normal(0, codec_px, (groups, 2)), GROUP, axis=0)
    return truth_px[:, None] + lags_px + rng.normal(0, NOISE_PX, (groups * GROUP, 2))


def told_px(
    moved_px: Floats,
    codec: CodecError | None = None,
    *,
    noise_px: float = NOISE_PX,
    coded: bool = True,
) -> list[Floats | None]:
    """What is known after each frame of one region, as standard deviations."""
    codec = codec or CodecError(1)
    variances = [
        codec.variance_px2(
            number, one[None], np.full((1, 2), noise_px), predicted=coded and number % GROUP > 0
        )
        for number, one in enumerate(moved_px)
    ]
    return [None if one is None else np.sqrt(one[0]) for one in variances]


@pytest.mark.parametrize("motion_px", [0.0, 0.05])
def test_jumps_at_key_frames_tell_the_error_between_them(motion_px: float) -> None:
    last_px = told_px(moved(60, codec_px=CODEC_PX, motion_px=motion_px))[-1]
    assert last_px == pytest.approx([CODEC_PX, CODEC_PX], rel=0.25)


def test_noise_that_a_codec_holds_until_the_next_key_frame_is_counted_once() -> None:
    held_px = moved(60, codec_px=CODEC_PX, motion_px=0.0)
    last_px = told_px(held_px, noise_px=float(np.hypot(CODEC_PX, NOISE_PX)))[-1]
    assert last_px is not None
    assert np.sqrt(np.mean(np.square(last_px))) < 0.6 * CODEC_PX


def test_motion_that_a_codec_leaves_alone_is_no_error_of_it() -> None:
    last_px = told_px(moved(60, codec_px=0.0))[-1]
    assert last_px is not None
    assert (last_px < 2 * NOISE_PX).all()


def test_nothing_is_told_of_pictures_that_no_codec_predicted() -> None:
    assert told_px(moved(2, codec_px=CODEC_PX), coded=False) == [None] * 2 * GROUP


def test_before_the_second_key_frame_nothing_is_known() -> None:
    known = told_px(moved(2, codec_px=CODEC_PX))
    assert known[0] is None
    assert all(one is not None and np.isnan(one).all() for one in known[1:GROUP])
    second = known[GROUP]
    assert second is not None
    assert (second > 0).all()


def test_motion_that_begins_or_ends_is_no_error_of_the_codec() -> None:
    codec = CodecError(1)
    calm_px, loud_px = (moved(20, codec_px=0.0, motion_px=motion_px) for motion_px in (0.0, 3.0))
    half = GROUP // 2  # it begins and ends between key frames
    for number, one in enumerate(np.concatenate([calm_px[half:], loud_px, calm_px])):
        variance_px2 = codec.variance_px2(number, one[None], QUIET_PX, predicted=number % GROUP > 0)
        if number > GROUP:
            assert variance_px2 is not None
            assert (variance_px2 < 0.1**2).all(), number


def test_missing_places_and_what_begins_again_are_no_jumps() -> None:
    codec = CodecError(1)
    calm_px = moved(4, codec_px=0.0, motion_px=0.0)
    told_px(calm_px, codec)
    missing_px = np.full((1, 2), np.nan)
    last = len(calm_px)
    codec.variance_px2(last, missing_px, QUIET_PX, predicted=False)
    codec.variance_px2(last + 1, calm_px[:1] + 5, QUIET_PX, predicted=True, began=[0])
    codec.variance_px2(last + 2, calm_px[:1] - 5, QUIET_PX, predicted=False, began=[0])
    codec.variance_px2(last + 3, calm_px[1:2] - 5, QUIET_PX, predicted=True)
    codec.variance_px2(last + 4, calm_px[2:3] - 5, QUIET_PX, predicted=True)
    codec.variance_px2(last + 9, calm_px[2:3] + 5, QUIET_PX, predicted=False)  # after an outage
    codec.variance_px2(last + 10, calm_px[2:3] + 5, QUIET_PX, predicted=True)
    # The file starts over:
    variance_px2 = codec.variance_px2(0, calm_px[2:3], QUIET_PX, predicted=False)
    assert variance_px2 is not None
    assert np.isfinite(variance_px2).all()
    assert (variance_px2 < (2 * NOISE_PX) ** 2).all()


@pytest.fixture(scope="module")
def coded() -> list[Frame]:
    """A motion of which H.264 shows a part."""
    x_px = sine(12 * RATE_HZ, RATE_HZ, 3.37, 0.05)
    frames = render(Scene(80, 80), x_px, 0.5 * x_px, rate_hz=RATE_HZ)
    return list(compressed(frames, crf=23, rate_hz=RATE_HZ, group=GROUP))


def measured(frames: Sequence[Frame]) -> Iterator[Displacement]:
    meter = DisplacementMeter([REGION])
    for frame in frames:
        [one] = meter.measure(frame)
        yield one


def test_stated_errors_cover_what_h264_took_away(coded: list[Frame]) -> None:
    truth_px = sine(12 * RATE_HZ, RATE_HZ, 3.37, 0.05)
    blind = [replace(frame, predicted=False) for frame in coded]
    shares = {}
    for name, frames in (("told", coded), ("blind", blind)):
        later = list(enumerate(measured(frames)))[6 * RATE_HZ :]  # some key frames after zero
        ratios = [
            abs(one.x_px - truth_px[number]) / one.x_se_px
            for number, one in later
            if one.x_px is not None and one.x_se_px is not None
        ]
        shares[name] = np.mean(np.array(ratios) < 2)
    assert shares["told"] > 0.8
    assert shares["blind"] < 0.6, "which is why it is told"


def _untold(codec: CodecError, *_: Any, predicted: bool, **_more: Any) -> None:
    codec.is_coded |= predicted


def test_noise_by_which_alerts_are_judged_leaves_the_codec_out(
    coded: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list(measured(coded))[-1]
    monkeypatch.setattr(CodecError, "variance_px2", _untold)
    untold = list(measured(coded))[-1]
    assert told.x_px == untold.x_px
    assert told.x_noise_px == untold.x_noise_px
    assert untold.x_codec_px is None
    assert told.x_codec_px is not None
    assert told.x_se_px is not None
    assert told.x_se_px > told.x_codec_px > 0


def test_however_much_a_codec_moves_it_nothing_is_refused(
    coded: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    much_px2 = np.array([[(2 * LARGEST_SE_PX) ** 2, np.nan]])
    monkeypatch.setattr(CodecError, "variance_px2", lambda *_, **__: much_px2)
    last = list(measured(coded[:60]))[-1]
    assert last.x_se_px is not None
    assert last.x_se_px > 2 * LARGEST_SE_PX
    assert last.y_se_px is not None
    assert last.y_se_px < LARGEST_SE_PX
    assert (last.reason, last.y_codec_px) == (None, None)
