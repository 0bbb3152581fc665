"""The camera's shake is taken out, with its errors, or a verdict says why not."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from benchmarks.clips import Floats, Scene, sine
from runtime.config import Region
from runtime.displacement import LEARNED_PICTURES, Displacement, DisplacementMeter
from runtime.displacement.shake import LARGEST_SHAKE_PX, ShakeCompensation
from runtime.frame import Frame

RATE_HZ = 60.0
SECOND_NS = 1_000_000_000
WIDTH_PX, HEIGHT_PX = 256, 192
STILL = [
    Region(name="pier-left", x=20, y=20, width=40, height=40, reference=True),
    Region(name="pier-right", x=196, y=24, width=40, height=40, reference=True),
    Region(name="wall", x=96, y=136, width=40, height=40, reference=True),
]
DECK = Region(name="deck", x=100, y=56, width=40, height=40)
HOUSE = Region(name="house", x=20, y=130, width=40, height=40)
REGIONS = [*STILL, DECK, HOUSE]


def shake(count: int, rms: float, seed: int) -> Floats:
    """Band-limited noise of .5 to 10 Hz, which begins at 0."""
    random = np.random.default_rng(seed)
    t_s = np.arange(count) / RATE_HZ
    waves_hz = random.uniform(0.5, 10, 40)
    moved = np.sin(2 * np.pi * np.outer(t_s, waves_hz) + random.uniform(0, 7, 40)).sum(axis=1)
    scaled: Floats = rms * moved / moved.std()
    return scaled


def filmed(
    x_px: Floats, y_px: Floats, turn_rad: Floats, deck_px: Floats, noise_grey: float = 1.5
) -> Iterator[Frame]:
    """A still scene before a camera that shakes; in the middle a deck that moves sideways."""
    scene, deck = Scene(WIDTH_PX, HEIGHT_PX, seed=3), Scene(WIDTH_PX, HEIGHT_PX, seed=4)
    where = np.s_[DECK.y - 16 : DECK.y + 56, DECK.x - 16 : DECK.x + 56]
    random = np.random.default_rng(5)
    for index, (x, y, turn, moved) in enumerate(zip(x_px, y_px, turn_rad, deck_px, strict=True)):
        grey = scene.turned(x, y, turn)
        # The deck's own motion is small, so it turns with the camera as it does.
        grey[where] = deck.turned(x + moved, y, turn)[where]
        grey += random.normal(0, noise_grey, grey.shape)
        image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
        t_ns = round(index * 1e9 / RATE_HZ)
        yield Frame(index, t_ns, np.repeat(image[:, :, None], 3, axis=2))


def column(results: Sequence[Displacement], name: str) -> Floats:
    return np.array([getattr(one, name) for one in results], np.float64)


def test_shake_of_one_pixel_leaves_less_than_a_fiftieth_with_three_references() -> None:
    count = LEARNED_PICTURES + 300
    x_px, y_px = shake(count, 1.0, seed=1), shake(count, 1.0, seed=2)
    turn_rad = shake(count, 0.002, seed=3)
    deck_px = sine(count, RATE_HZ, 4.0, 0.1)
    meter = DisplacementMeter(REGIONS)
    results = [meter.measure(one) for one in filmed(x_px, y_px, turn_rad, deck_px)]
    zero_px = deck_px[:LEARNED_PICTURES].mean()
    _, right, _, deck, house = zip(*results[LEARNED_PICTURES:], strict=True)
    truths_px = ((deck, deck_px[LEARNED_PICTURES:] - zero_px), (house, np.zeros(300)))
    for measured, truth_px in truths_px:
        for axis, true in (("x", truth_px), ("y", np.zeros(300))):
            error = column(measured, f"{axis}_px") - true
            se_px = column(measured, f"{axis}_se_px")
            assert np.sqrt(np.square(error).mean()) < 0.02
            assert np.sqrt(np.mean(np.square(error / se_px))) < 1.3
            assert np.mean(se_px) < 0.01
    assert {one.shake for one in (*deck, *house)} == {"affine"}
    # What was taken out is the camera's motion there; a reference shows its own, uncompensated.
    taken_out_px = column(deck, "shake_y_px")
    assert np.corrcoef(taken_out_px, y_px[LEARNED_PICTURES:])[0, 1] > 0.98
    assert {one.shake for one in right} == {None}
    assert column(right, "x_px").std() > 0.5


PLACES_PX = np.array([[40.0, 60.0], [150.0, 90.0]])
CENTRES_PX = np.array([[20.0, 20.0], [210.0, 30.0], [110.0, 160.0], [30.0, 150.0]])


def moved_by(model: str, at_px: Floats) -> Floats:
    """Displacements (n, 2) of places under a motion of this kind."""
    x, y = at_px.T
    moved = np.stack([0.3 + 0 * x, -0.2 + 0 * x], axis=1)
    if model != "translation":
        moved += np.stack([-0.004 * y + 0.001 * x, 0.004 * x + 0.001 * y], axis=1)
    if model == "affine":
        moved += np.stack([0.002 * y, -0.001 * x], axis=1)
    return moved


@pytest.mark.parametrize(
    ("count", "model"), [(1, "translation"), (2, "similarity"), (3, "affine"), (4, "affine")]
)
def test_the_number_of_references_chooses_a_model_that_is_exact_for_its_motion(
    count: int, model: str
) -> None:
    names = [f"r{number}" for number in range(count)]
    one = ShakeCompensation(names, CENTRES_PX[:count], PLACES_PX)
    assert one.model == model
    none = np.zeros((count, 2))
    told = one.shake(moved_by(model, CENTRES_PX[:count]), none, none, none)
    np.testing.assert_allclose(told.moved_px, moved_by(model, PLACES_PX), atol=1e-9)


def test_references_in_one_line_do_not_determine_an_affine_map() -> None:
    line_px = np.array([[0.0, 0.0], [100.0, 1.0], [200.0, 0.0]])
    assert ShakeCompensation("abc", line_px, PLACES_PX).model == "similarity"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_errors_of_references_propagate_as_they_scatter(count: int) -> None:
    random = np.random.default_rng(count)
    se_px = random.uniform(0.002, 0.02, (count, 2))
    one = ShakeCompensation("abcd"[:count], CENTRES_PX[:count], PLACES_PX)
    drawn = np.array(
        [
            one.shake(random.normal(0, se_px), se_px**2, 4 * se_px**2, se_px**2).moved_px
            for _ in range(4000)
        ]
    )
    told = one.shake(np.zeros((count, 2)), se_px**2, 4 * se_px**2, se_px**2)
    np.testing.assert_allclose(np.sqrt(told.noise_px2), drawn.std(axis=0), rtol=0.05)
    np.testing.assert_allclose(told.variance_px2, 4 * told.noise_px2)


def verdicts(moved_px: Floats, se_px: float = 0.004) -> list[str | None]:
    """Of frames (n, 3 references, 2)."""
    one = ShakeCompensation([r.name for r in STILL], CENTRES_PX[:3], PLACES_PX)
    variance = np.full((3, 2), se_px**2)
    return [
        one.verdict(round(number * SECOND_NS / RATE_HZ), moved, variance, [None] * 3)
        for number, moved in enumerate(moved_px)
    ]


def noisy(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.004, (count, 3, 2))


def test_references_that_shake_together_are_believed() -> None:
    moved_px = noisy(3000) + np.stack([shake(3000, 1.0, 1), shake(3000, 1.0, 2)], 1)[:, None]
    turn = shake(3000, 0.003, 4)[:, None]
    moved_px += np.stack([-turn * CENTRES_PX[:3, 1], turn * CENTRES_PX[:3, 0]], axis=2)
    assert set(verdicts(moved_px)) == {None}


def test_a_reference_that_moves_on_its_own_is_named_and_not_believed_for_a_second() -> None:
    moved_px = noisy(300)
    moved_px[100:110, 2, 1] += 0.15
    told = verdicts(moved_px)
    assert set(told[:100]) == {None} == set(told[175:])
    assert None not in told[100:165]
    assert told[105] is not None
    assert told[105].startswith('shake: the reference regions disagree: "wall"')


def test_a_camera_that_points_elsewhere_is_no_shake() -> None:
    moved_px = noisy(20) + np.array([LARGEST_SHAKE_PX + 1, 0.0])
    for told in verdicts(moved_px):
        assert told is not None
        assert "moved by more than 10 px: the camera points elsewhere" in told


def test_references_that_part_slowly_cost_accuracy_and_not_the_measurement() -> None:
    count = 1800 * 2  # half an hour, two frames a second
    moved_px = noisy(count)
    moved_px[:, 0, 0] += np.linspace(0, 0.06, count)
    one = ShakeCompensation([r.name for r in STILL], CENTRES_PX[:3], PLACES_PX)
    variance = np.full((3, 2), 0.004**2)
    told = [
        one.verdict(number * SECOND_NS // 2, moved, variance, [None] * 3)
        for number, moved in enumerate(moved_px)
    ]
    assert set(told) == {None}
    last = one.shake(moved_px[-1], variance, variance, variance / LEARNED_PICTURES)
    assert np.sqrt(last.variance_px2[:, 0]).min() > 0.01
    assert np.sqrt(last.noise_px2).max() < 0.006


def test_a_missing_reference_that_the_model_needs_makes_the_others_missing_and_says_so() -> None:
    count = LEARNED_PICTURES + 12
    none = np.zeros(count)
    frames = list(filmed(none, none, none, none))
    for frame in frames[-8:-4]:
        frame.image[10:70, 10:70] = 0
    meter = DisplacementMeter(REGIONS)
    results = [meter.measure(frame) for frame in frames]
    for left, right, _, deck, house in results[-8:-4]:
        assert (left.valid, right.valid) == (False, True)
        assert left.reason == "too dark: raise the exposure or add light"
        for one in (deck, house):
            assert (one.valid, one.x_px, one.x_se_px, one.shake) == (False, None, None, None)
            assert one.reason == f'shake: reference region "pier-left" is missing ({left.reason})'
    for *_, deck, _ in results[-4:]:
        assert deck.valid


def test_where_others_determine_the_model_the_measurement_goes_on_without_a_reference() -> None:
    gate = Region(name="gate", x=24, y=140, width=40, height=40, reference=True)
    before, covered, after = LEARNED_PICTURES + 120, 120, 60
    count = before + covered + after
    x_px, y_px = shake(count, 1.0, seed=1), shake(count, 1.0, seed=2)
    turn_rad, deck_px = shake(count, 0.002, seed=3), sine(count, RATE_HZ, 4.0, 0.1)
    meter = DisplacementMeter([*STILL, gate, DECK])
    results = []
    for frame in filmed(x_px, y_px, turn_rad, deck_px):
        if before <= frame.index < before + covered:
            frame.image[10:64, 10:64] = 128
        results.append(meter.measure(frame))
    left, *_, deck = zip(*results, strict=True)
    assert not any(one.valid for one in left[before : before + covered])
    assert {one.shake for one in deck[LEARNED_PICTURES:]} == {"affine"}
    truth_px = deck_px - deck_px[:LEARNED_PICTURES].mean()
    gone = slice(before, before + covered)
    for axis, true in (("x", truth_px), ("y", np.zeros(count))):
        error_px, se_px = column(deck, f"{axis}_px") - true, column(deck, f"{axis}_se_px")
        assert np.sqrt(np.mean(np.square(error_px / se_px)[gone])) < 1.3
        assert np.mean(np.abs(error_px / se_px)[gone] < 3) > 0.98
        # Its error is larger with fewer references, and says so.
        assert se_px[gone].min() > se_px[LEARNED_PICTURES:before].mean()
        step_px = error_px[gone].mean() - error_px[LEARNED_PICTURES:before].mean()
        assert abs(step_px) < 0.5 * se_px[gone].mean()


def apart(missing: Sequence[int], learned: bool = True) -> tuple[Floats, str | None]:
    """Four references of which the first drifted slowly by .1 px: the step at the others when some
    of them get lost, and the verdict then."""
    one = ShakeCompensation("abcd", CENTRES_PX, PLACES_PX)
    none, variance = np.zeros((4, 2)), np.full((4, 2), 0.004**2)
    moved_px = none.copy()
    for second in range(3000):
        moved_px[0, 0] = min(0.1, second * 1e-4)
        assert one.verdict(second * SECOND_NS, moved_px, variance, [None] * 4) is None
    before_px = one.shake(moved_px, variance, variance, variance).moved_px
    moved_px[list(missing)] = np.nan
    problems = ["gone" if row in missing else None for row in range(4)]
    verdict = one.verdict(3000 * SECOND_NS, moved_px, variance, problems, learned)
    after_px = one.shake(moved_px, variance, variance, variance).moved_px
    return after_px - before_px, verdict


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_slow_disagreement_is_no_step_when_a_reference_is_lost(missing: int) -> None:
    step_px, verdict = apart([missing])
    assert verdict is None
    assert np.abs(step_px).max() < 0.001


def test_what_the_model_needs_is_needed() -> None:
    gone = 'shake: reference region "b" is missing (gone)'
    assert apart([1, 3])[1] == gone
    assert apart([1], learned=False)[1] == gone
    line_px = np.array([[0.0, 0.0], [100.0, 0.0], [200.0, 0.0], [90.0, 100.0]])
    one = ShakeCompensation("abcd", line_px, PLACES_PX)
    moved_px = np.zeros((4, 2))
    moved_px[3] = np.nan
    told = one.verdict(0, moved_px, np.ones((4, 2)), [None, None, None, "gone"])
    assert told == 'shake: reference region "d" is missing (gone)'


def test_a_region_that_begins_after_the_references_counts_from_its_own_zero() -> None:
    count = 3 * LEARNED_PICTURES
    drift_px = np.linspace(0, 2, count)
    none = np.zeros(count)
    frames = list(filmed(drift_px, none, none, none))
    for frame in frames[: LEARNED_PICTURES // 2]:
        frame.image[HOUSE.y - 4 : HOUSE.y + 44, HOUSE.x - 4 : HOUSE.x + 44] = 255
    meter = DisplacementMeter(REGIONS)
    house = [meter.measure(frame)[4] for frame in frames][2 * LEARNED_PICTURES :]
    for one in house:
        assert one.x_px is not None
        assert one.x_se_px is not None
        assert abs(one.x_px) < 5 * one.x_se_px


def test_a_camera_that_was_turned_away_is_not_told_as_a_structure_that_moved_far() -> None:
    count = LEARNED_PICTURES + 8
    none = np.zeros(count)
    x_px = np.where(np.arange(count) < LEARNED_PICTURES + 4, 0.0, 20.7)
    meter, alone = DisplacementMeter(REGIONS), DisplacementMeter([HOUSE])
    for index, frame in enumerate(filmed(x_px, none, none, none)):
        house, [without] = meter.measure(frame)[4], alone.measure(frame)
        if index >= LEARNED_PICTURES + 4:
            assert without.reason == "moved: by more than 20 px"
            assert house.reason is not None
            assert house.reason.startswith('shake: reference region "pier-left" is missing (moved:')
