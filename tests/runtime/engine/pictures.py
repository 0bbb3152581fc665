"""What engines are given in tests, and a comparison of what they give back."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import Scene
from runtime.engine import Coming, Engine, Follow
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.engine.tensorrt import TensorRtEngine

AT_ONCE: Follow = (1.0, 1.0)
BAND: Follow = (0.6, 0.1)
SEQUENCE: list[tuple[float, float, Follow] | None] = [
    (0.0, 1.0, AT_ONCE),
    (0.3, 20.0, BAND),
    (-0.2, 20.0, BAND),
    (0.1, 8.0, (1.0, 0.02)),
    None,
    (0.4, 20.0, BAND),
    (0.0, 5.0, AT_ONCE),
    (0.2, 5.0, AT_ONCE),
]
"""Motion (px), gain and follow of each frame; None is a reset, and the states are not filled first."""


def picture(width: int = 48, height: int = 32, moved_px: float = 0.0) -> NDArray[np.uint8]:
    """A grey texture that has moved to the right."""
    grey = Scene(width, height).at(moved_px, 0.0)
    return np.repeat(np.rint(grey).astype(np.uint8)[:, :, None], 3, axis=2)


def coming_is(frame: NDArray[np.uint8] | None) -> Coming:
    """What is seen coming, however long it is waited for."""
    return lambda _: frame


def run(engine: Engine) -> list[NDArray[np.uint8]]:
    """The pictures of the whole sequence; while each is made, another is seen coming.

    It is the next one, one that is overtaken by the next, one of another size, or none, in turn.
    """
    frames = [None if each is None else picture(moved_px=each[0]) for each in SEQUENCE]
    overtaken = [picture(moved_px=5.0), picture(64, 40)]
    pictures = []
    for number, each in enumerate(SEQUENCE):
        if each is None:
            engine.reset()
            continue
        frame, (_, gain, follow) = frames[number], each
        assert frame is not None
        following = next((later for later in frames[number + 1 :] if later is not None), None)
        seen = [following, overtaken[0], following, overtaken[1], None][number % 5]
        pictures.append(engine.step(frame, gain, follow, coming_is(seen)))
    return pictures


def in_thread(work: Callable[[], object]) -> None:
    """Do it on a thread that ends with it; what it raises is raised here."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def compare(plan: Path) -> None:
    """Run the sequence on both engines; the pictures must be the same, to the byte."""
    theirs = run(OnnxRuntimeEngine(SHIPPED, threads=1))
    assert len({each.tobytes() for each in theirs}) == len(theirs), "they differ from each other"
    engine = TensorRtEngine(plan)
    ours: list[NDArray[np.uint8]] = []
    try:
        in_thread(lambda: ours.extend(run(engine)))  # as the daemon does
        np.testing.assert_array_equal(ours, theirs)
        # As the clock of the stand-in goes: one copy to the GPU, one back.
        times = engine.frame_times()
        assert (round(times.computing_s, 9), round(times.copying_s, 9)) == (0.005, 0.002)
    finally:
        engine.close()
