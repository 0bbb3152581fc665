"""How hard a camera is tried, in simulated time."""

from itertools import pairwise

from runtime.camera.ladder import ARGUS_EVERY_S, STEADY_S, Ladder, Step
from runtime.config.recovery import Recovery


def climbed(ladder: Ladder, until_s: float) -> list[tuple[float, Step]]:
    """Every failure of a camera that never comes back, and what was done about it."""
    now_s, steps = 0.0, []
    while now_s < until_s and (step := ladder.failed(now_s)) is not None:
        steps.append((now_s, step))
        now_s += step.wait_s
    return steps


def test_the_wait_doubles_up_to_the_longest_and_starts_over_after_steady_frames() -> None:
    ladder = Ladder(Recovery(), csi=False)
    waits_s = [step.wait_s for _, step in climbed(ladder, 200.0)]
    assert waits_s[:8] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    ladder.good(300.0)
    ladder.good(300.0 + STEADY_S / 2)
    step = ladder.failed(301.0 + STEADY_S / 2)
    assert step is not None
    assert step.wait_s == 30.0, "a camera that dies again soon has not been well"
    ladder.good(400.0)
    ladder.good(400.0 + STEADY_S)
    step = ladder.failed(500.0)
    assert step is not None
    assert step.wait_s == 1.0


def test_it_gives_up_after_the_configured_time_of_trouble_and_not_before() -> None:
    steps = climbed(Ladder(Recovery(give_up_after_s=3600.0), csi=False), 1e6)
    assert 3600.0 - 30.0 <= steps[-1][0] < 3600.0


def test_argus_is_restarted_after_some_attempts_and_rarely() -> None:
    steps = climbed(Ladder(Recovery(), csi=True), 3600.0)
    asked = [index for index, (_, step) in enumerate(steps) if step.restart_argus]
    assert asked[0] == 2, "the third attempt"
    times_s = [steps[index][0] for index in asked]
    assert len(times_s) > 3
    assert all(after - before >= ARGUS_EVERY_S for before, after in pairwise(times_s))


def test_only_csi_cameras_have_argus_restarted_and_only_where_wanted() -> None:
    for ladder in (Ladder(Recovery(), csi=False), Ladder(Recovery(argus_after=0), csi=True)):
        assert not any(step.restart_argus for _, step in climbed(ladder, 3600.0))
