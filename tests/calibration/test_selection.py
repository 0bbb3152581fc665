"""Which runs are kept: never too many, spread over time, and the rare ones among them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.motion import Seen
from calibration.selection import Candidate, Selection

SECOND_NS = 1_000_000_000


def candidate(number: int, *, light_grey: float = 100.0, motion_px: float = 0.1) -> Candidate:
    picture = np.full((18, 32), light_grey, np.float32)
    return Candidate(number, number * SECOND_NS, Seen(light_grey, motion_px, None, picture))


def kept(wanted: int, candidates: list[Candidate]) -> list[int]:
    selection = Selection(wanted)
    for one in candidates:
        if selection.takes(one):
            selection.keep(one)
    return [one.number for one in selection.kept]


def test_all_are_kept_while_there_are_few() -> None:
    assert kept(8, [candidate(number) for number in range(8)]) == list(range(8))


def test_of_many_that_look_alike_some_of_all_times_are_kept() -> None:
    for count in (100, 1000, 1337):
        chosen = kept(16, [candidate(number) for number in range(count)])
        assert len(chosen) == 16
        gaps = np.diff([*chosen, count])
        assert gaps.max() < 4 * count / 16


def test_a_rare_strong_motion_and_a_rare_light_are_kept() -> None:
    candidates = [candidate(number) for number in range(500)]
    candidates[123] = candidate(123, motion_px=1.0)
    candidates[321] = candidate(321, light_grey=30.0)
    assert {123, 321} <= set(kept(8, candidates))


def test_a_run_like_one_that_is_kept_is_not_even_taken() -> None:
    selection = Selection(4)
    for number in (0, 100, 200, 300, 400):
        selection.keep(candidate(number))
    assert not selection.takes(candidate(401))
    assert selection.takes(candidate(401, light_grey=20.0))


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.floats(0, 255), st.floats(0.01, 10)), min_size=1, max_size=40),
)
def test_never_more_than_wanted_in_the_order_of_their_times(
    wanted: int, looks: list[tuple[float, float]]
) -> None:
    selection = Selection(wanted)
    for number, (light_grey, motion_px) in enumerate(looks):
        one = candidate(number, light_grey=light_grey, motion_px=motion_px)
        if selection.takes(one):
            before = [*selection.kept, one]
            dropped = selection.keep(one)
            assert selection.kept == [other for other in before if other is not dropped]
        numbers = [other.number for other in selection.kept]
        assert numbers == sorted(numbers)
        assert 1 <= len(numbers) <= wanted
