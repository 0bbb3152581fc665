"""What is noticed of a live camera's frames: repeats, losses, a frozen picture, another size."""

import numpy as np
import pytest

from runtime.camera.problem import Frozen, Resized
from runtime.camera.watch import CameraCounters, FrameWatch
from runtime.frame import Frame

STEP_NS = 20_000_000
RNG = np.random.default_rng(1)


def watch() -> FrameWatch:
    return FrameWatch("camera", CameraCounters(), frozen_s=1.0)


def picture(width: int = 64) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return RNG.integers(0, 255, (48, width, 3), dtype=np.uint8)


def frames(*numbers: float) -> list[Frame]:
    return [Frame(int(number), round(number * STEP_NS), picture()) for number in numbers]


def counters(one: FrameWatch) -> CameraCounters:
    return one._counters


def test_changing_pictures_in_their_turn_pass_as_they_are() -> None:
    one, given = watch(), frames(*range(50))
    assert [one.see(frame) for frame in given] == given
    assert counters(one) == CameraCounters()


def test_frames_that_are_missing_are_counted_by_their_times() -> None:
    one = watch()
    for frame in frames(*range(70), *range(72, 110), *range(115, 135)):
        one.see(frame)
    assert counters(one).lost == 2 + 5


def test_what_was_lost_just_before_the_camera_is_opened_again_is_counted() -> None:
    one = watch()
    for frame in frames(*range(70), 73, 74):
        one.see(frame)
    one.opened()
    assert counters(one).lost == 3


@pytest.mark.parametrize(
    "late",
    [
        [71.8, 71.9, 72.0],
        [70.6, 71.6, 72.0],
        [71.0, 72.0, 72.1],
        [70.9, 71.0, *range(72, 84), 84.9, 85.8, 86.0, *range(87, 95)],
        [100 + number / 64 for number in range(-30, 1)],
    ],
)
def test_frames_that_only_come_late_are_not_lost(late: list[float]) -> None:
    one = watch()
    for frame in frames(*range(70), *late, *range(int(late[-1]) + 1, 180)):
        one.see(frame)
    assert counters(one).lost == 0


def test_frames_that_waited_for_the_source_to_be_opened_make_none_after_them_lost() -> None:
    one = watch()
    one.opened()
    for frame in frames(*(30 + number / 64 for number in range(-29, 1)), *range(31, 100), 102, 103):
        one.see(frame)
    one.settle()
    assert counters(one).lost == 2


def test_a_rate_that_sinks_is_soon_the_usual_one() -> None:
    one = watch()
    for frame in frames(*range(70), *range(70, 400, 2)):
        one.see(frame)
    assert counters(one).lost <= 16


def test_a_repeated_picture_is_marked_and_one_changed_pixel_makes_it_another() -> None:
    one, (first,) = watch(), frames(0)
    other = first.image.copy()
    other[1, 1, 0] ^= 1  # not in the sample that is looked at first
    marks = [
        one.see(Frame(index, index * STEP_NS, image)).repeated
        for index, image in enumerate([first.image, first.image.copy(), other, other, picture()])
    ]
    assert marks == [False, True, False, True, False]
    assert counters(one).repeated == 2


def test_a_picture_that_stays_is_frozen_and_opening_again_gives_it_time() -> None:
    one, (first,) = watch(), frames(0)
    for index in range(50):
        one.see(Frame(index, index * STEP_NS, first.image))
    with pytest.raises(Frozen, match=r"every frame shows the same picture since 1\.0 s"):
        one.see(Frame(50, 50 * STEP_NS, first.image))
    one.opened()
    assert one.see(Frame(0, 200 * STEP_NS, first.image)).repeated
    one.see(Frame(1, 249 * STEP_NS, first.image))
    with pytest.raises(Frozen):
        one.see(Frame(2, 250 * STEP_NS, first.image))
    assert not one.see(Frame(3, 251 * STEP_NS, picture())).repeated
    one.see(Frame(4, 252 * STEP_NS, picture()))


def test_darkness_may_repeat() -> None:
    one = watch()
    for index in range(200):
        image = np.full((48, 64, 3), 3, np.uint8)
        assert not one.see(Frame(index, index * STEP_NS, image)).repeated


def test_another_size_is_told_until_the_first_one_returns_even_after_opening_again() -> None:
    one = watch()
    one.see(Frame(0, 0, picture()))
    with pytest.raises(Resized, match="is 80x48 px, and regions and scale are for 64x48 px"):
        one.see(Frame(1, STEP_NS, picture(80)))
    one.opened()
    with pytest.raises(Resized):
        one.see(Frame(0, 2 * STEP_NS, picture(80)))
    back = Frame(1, 3 * STEP_NS, picture())
    assert one.see(back) is back
    assert counters(one).other_size == 2


def test_a_wanted_size_is_right_from_the_first_frame() -> None:
    one = FrameWatch("camera", CameraCounters(), frozen_s=1.0, size=(80, 48))
    with pytest.raises(Resized, match="is 64x48 px"):
        one.see(Frame(0, 0, picture()))
