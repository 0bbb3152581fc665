"""The TensorRT engine on a GPU that watches it: pictures, threads, and giving everything back."""

import gc
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeGpu
from fake_tensorrt import NEW, OLD, installed, plan_of, write_plan
from numpy.typing import NDArray
from pictures import AT_ONCE, BAND, coming_is, compare, in_thread, picture, run

from export.artifact import checked_engine, sidecar_path
from export.engine_builder import Wanted
from export.engine_store import publish
from failure import Failure
from runtime.config import Magnification
from runtime.engine.choice import engine_for
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.engine.tensorrt import TensorRtEngine


@pytest.fixture(params=[OLD, NEW])
def version(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, version: str) -> Iterator[FakeGpu]:
    """Nothing may have been done wrong on it, and nothing may be left, when a test is over."""
    gpu = installed(monkeypatch, version)
    yield gpu
    gc.collect()
    gpu.check()


@pytest.fixture
def plan(tmp_path: Path, version: str) -> Path:
    return write_plan(tmp_path / "twofold.engine", plan_of(48, 32, version), version)


@pytest.mark.parametrize("early_copies", [False, True])
def test_its_pictures_are_those_of_onnx_runtime(
    gpu: FakeGpu, plan: Path, early_copies: bool
) -> None:
    gpu.early_copies = early_copies
    compare(plan)
    assert "enqueueV3" in gpu.calls


@pytest.mark.usefixtures("gpu")
def test_a_network_that_displaces_nothing_runs_as_well(tmp_path: Path, version: str) -> None:
    content = plan_of(48, 32, version, displacement_px=None)
    compare(write_plan(tmp_path / "baseline.engine", content, version))


@pytest.mark.usefixtures("gpu")
def test_it_says_what_runs_and_where(plan: Path, version: str) -> None:
    engine = TensorRtEngine(plan)
    assert engine.description == f"twofold fp32 in TensorRT {version} on Orin"
    engine.close()


@pytest.mark.usefixtures("gpu")
def test_a_plan_that_fell_back_says_so(
    tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = "int8 was refused: no implementation for a layer"
    content = plan_of(48, 32, version)
    changed: dict[str, Any] = {"precision": "fp16", "wanted_precision": "int8"}
    path = tmp_path / "twofold.engine"
    plan = write_plan(path, content, version, fallbacks=(told,), **changed)
    engine = TensorRtEngine(plan)
    assert engine.description.startswith("twofold fp16 in ")
    assert told in caplog.text
    engine.close()


COMPUTING, ARRIVALS = 0, 1
"""The two streams."""


def test_a_frame_allocates_nothing_and_copies_in_order(gpu: FakeGpu, plan: Path) -> None:
    engine = TensorRtEngine(plan)
    for _ in range(2):  # each of the two places has been used
        engine.step(picture(), 1.0, AT_ONCE)
    before = len(gpu.calls)
    engine.step(picture(), 20.0, BAND)
    assert gpu.calls[before:] == [
        "cuCtxPushCurrent",
        "cuEventSynchronize",  # that what was copied from the same place is there
        *["cuEventRecord", "cuMemcpyHtoDAsync", "cuEventRecord"],
        *["cuMemcpyHtoDAsync"] * 2,
        "cuStreamWaitEvent",
        *["cuEventRecord", "enqueueV3", "cuEventRecord"],
        *["cuMemcpyDtoHAsync", "cuEventRecord"],
        "cuEventSynchronize",
        "cuEventElapsedTime",
        "cuCtxPopCurrent",
    ]
    engine.close()


def test_the_next_frame_is_copied_while_this_one_computes(gpu: FakeGpu, plan: Path) -> None:
    engine = TensorRtEngine(plan)
    frames = [picture(moved_px=0.1 * number) for number in range(3)]
    engine.step(frames[0], 1.0, AT_ONCE)
    waited_s: list[float] = []
    begin = len(gpu.asked)

    def coming(within_s: float) -> NDArray[np.uint8]:
        # Everything of this frame was asked for by now, and nobody has waited for the GPU yet.
        waited_s.append(within_s)
        assert gpu.asked[-3:] == [
            *[("cuEventRecord", COMPUTING), ("cuMemcpyDtoHAsync", COMPUTING)],
            ("cuEventRecord", COMPUTING),
        ]
        assert gpu.calls[-1] == "cuEventRecord"
        return frames[2]

    engine.step(frames[1], 20.0, BAND, coming)
    sent = gpu.asked[begin:]
    assert [each for each in sent if each[1] == ARRIVALS] == [
        *[("cuEventRecord", ARRIVALS), ("cuMemcpyHtoDAsync", ARRIVALS), ("cuEventRecord", ARRIVALS)]
        * 2
    ]
    assert waited_s == [pytest.approx(0.8 * 0.005)]  # less than it computes: no picture is late
    begin = len(gpu.asked)
    engine.step(frames[2], 20.0, BAND)
    assert not [each for each in gpu.asked[begin:] if each[1] == ARRIVALS]
    engine.close()


def test_a_frame_that_was_overtaken_is_not_shown(gpu: FakeGpu, plan: Path) -> None:
    engine, theirs = TensorRtEngine(plan), OnnxRuntimeEngine(SHIPPED, threads=1)
    frames = [picture(moved_px=0.1 * number) for number in range(3)]
    for gpu.early_copies in (False, True):
        for each in (engine, theirs):
            each.reset()
        engine.step(frames[0], 1.0, AT_ONCE, coming_is(frames[1]))
        theirs.step(frames[0], 1.0, AT_ONCE)
        ours = engine.step(frames[2], 20.0, BAND)
        np.testing.assert_array_equal(ours, theirs.step(frames[2], 20.0, BAND))
    engine.close()


@pytest.mark.usefixtures("gpu")
def test_a_picture_stays_as_it_is_when_the_next_comes(plan: Path) -> None:
    engine = TensorRtEngine(plan)
    first = engine.step(picture(), 1.0, AT_ONCE)
    kept = first.copy()
    engine.step(255 - picture(), 1.0, AT_ONCE)
    engine.close()
    np.testing.assert_array_equal(first, kept)


@pytest.mark.usefixtures("gpu")
def test_a_part_of_a_larger_picture_is_taken_as_it_is(plan: Path) -> None:
    engine = TensorRtEngine(plan)
    large = picture(96, 64)
    part = large[16:48, 24:72]
    assert not part.flags.c_contiguous
    theirs = OnnxRuntimeEngine(SHIPPED, threads=1).step(part, 1.0, AT_ONCE)
    np.testing.assert_array_equal(engine.step(part, 1.0, AT_ONCE), theirs)
    engine.close()


@pytest.mark.usefixtures("gpu")
def test_any_thread_may_make_it_use_it_and_close_it(plan: Path) -> None:
    made: list[TensorRtEngine] = []
    in_thread(lambda: made.append(TensorRtEngine(plan)))
    ours: list[NDArray[np.uint8]] = []
    in_thread(lambda: ours.extend(run(made[0])))
    made[0].close()
    np.testing.assert_array_equal(ours, run(OnnxRuntimeEngine(SHIPPED, threads=1)))


def closed_twice(plan: Path) -> None:
    engine = TensorRtEngine(plan)
    engine.close()
    engine.close()


def forgotten(plan: Path) -> None:
    TensorRtEngine(plan).step(picture(), 1.0, AT_ONCE)


def forgotten_by_another_thread(plan: Path) -> None:
    made = [TensorRtEngine(plan)]
    in_thread(made.clear)


def forgotten_in_a_circle(plan: Path) -> None:
    circle: list[Any] = [TensorRtEngine(plan)]
    circle.append(circle)


def two_first_closed_first(plan: Path) -> None:
    first, second = TensorRtEngine(plan), TensorRtEngine(plan)
    first.close()
    second.step(picture(), 1.0, AT_ONCE)
    second.close()


def two_last_closed_first(plan: Path) -> None:
    first, second = TensorRtEngine(plan), TensorRtEngine(plan)
    second.close()
    first.step(picture(), 1.0, AT_ONCE)
    first.close()


def closed_while_the_caller_handles_an_error(plan: Path) -> None:
    engine = TensorRtEngine(plan)
    with pytest.raises(Failure):
        engine.step(picture(64, 40), 1.0, AT_ONCE)
    engine.close()


@pytest.mark.parametrize(
    "ending",
    [
        *(closed_twice, forgotten, forgotten_by_another_thread, forgotten_in_a_circle),
        *(two_first_closed_first, two_last_closed_first),
        closed_while_the_caller_handles_an_error,
    ],
)
def test_everything_is_given_back_however_it_ends(
    gpu: FakeGpu, plan: Path, ending: Callable[[Path], None]
) -> None:
    ending(plan)
    gc.collect()
    gpu.check()


EXIT = """
import atexit, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import pytest
from fake_tensorrt import OLD
from fake_tensorrt import installed, plan_of
from pictures import AT_ONCE, picture
from runtime.engine.tensorrt import TensorRtEngine
gpu = installed(pytest.MonkeyPatch(), OLD)
atexit.register(lambda: (gpu.check(), print("nothing left", len(gpu.calls))))
engine = TensorRtEngine(Path({plan!r}))
engine.step(picture(), 1.0, AT_ONCE)
{ending}
"""


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise RuntimeError('in the middle')"])
def test_everything_is_given_back_when_python_ends(tmp_path: Path, ending: str) -> None:
    plan = write_plan(tmp_path / "twofold.engine", plan_of(48, 32, OLD), OLD)
    here = Path(__file__).parent
    script = EXIT.format(
        paths=[str(each) for each in (here, here.parents[1], here.parents[2])],
        plan=str(plan),
        ending=ending,
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("nothing left"), done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_closed_engine_magnifies_nothing(gpu: FakeGpu, plan: Path) -> None:
    engine = TensorRtEngine(plan)
    engine.close()
    before = len(gpu.calls)
    with pytest.raises(RuntimeError, match="the engine was closed"):
        engine.step(picture(), 1.0, AT_ONCE)
    with pytest.raises(RuntimeError, match="the engine was closed"):
        engine.reset()
    assert len(gpu.calls) == before


def made_and_used(plan: Path) -> None:
    engine = TensorRtEngine(plan)
    try:
        engine.step(picture(), 1.0, AT_ONCE)
        engine.reset()
    finally:
        engine.close()


@pytest.mark.parametrize("stays_broken", [False, True])
def test_each_call_that_fails_is_named_and_everything_is_given_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stays_broken: bool
) -> None:
    plan = write_plan(tmp_path / "twofold.engine", plan_of(48, 32, OLD), OLD)
    healthy = installed(monkeypatch, OLD)
    made_and_used(plan)
    calls = healthy.calls[: healthy.calls.index("cuStreamSynchronize") - 1]  # the rest frees
    assert {"cuInit", "cuMemAlloc", "cuMemcpyDtoHAsync", "enqueueV3"} <= set(calls)
    for number, call in enumerate(calls):
        gpu = installed(monkeypatch, OLD)
        gpu.fails_at, gpu.stays_broken = number, stays_broken
        with pytest.raises(Failure) as failure:
            made_and_used(plan)
        sentence = str(failure.value)
        assert sentence.startswith(f"{plan}: ")
        assert f"{call} failed: as the test wishes" in sentence
        assert "\n" not in sentence
        del failure
        gc.collect()
        # Where leaving fails the context stays, and of a broken GPU nothing can be given back.
        if call != "cuCtxPopCurrent" and not stays_broken:
            gpu.check()


def test_an_error_while_magnifying_is_no_reason_to_build_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = write_plan(tmp_path / "twofold.engine", plan_of(48, 32, OLD), OLD)
    healthy = installed(monkeypatch, OLD)
    made_and_used(plan)
    for call in ("enqueueV3", "cuMemcpyDtoHAsync", "cuEventSynchronize"):
        gpu = installed(monkeypatch, OLD)
        gpu.fails_at = healthy.calls.index(call)
        with pytest.raises(Failure, match=r"start tremorscope again, .* sudo dmesg$") as failure:
            made_and_used(plan)
        assert "build" not in str(failure.value)
        del failure
        gc.collect()
        gpu.check()


def test_a_call_that_fails_while_closing_is_logged_and_the_rest_is_given_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = write_plan(tmp_path / "twofold.engine", plan_of(48, 32, OLD), OLD)
    healthy = installed(monkeypatch, OLD)
    engine = TensorRtEngine(plan)
    begin = len(healthy.calls)
    engine.close()
    closing = list(enumerate(healthy.calls))[begin:]
    assert {"cuMemFree", "cuMemFreeHost", "cuDevicePrimaryCtxRelease"} <= {
        name for _, name in closing
    }
    for number, call in closing:
        gpu = installed(monkeypatch, OLD)
        engine = TensorRtEngine(plan)
        gpu.fails_at = number
        caplog.clear()
        engine.close()
        engine.close()
        assert gpu.calls[number] == call
        if call != "cuStreamSynchronize":  # its errors were told by what they came from
            assert f"{call} failed: as the test wishes" in caplog.text
        if call.startswith("cuMemFree"):
            assert len(gpu.blocks) + len(gpu.pinned) == 1, "what could not be freed, and no more"
        if call != "cuCtxPushCurrent" or number != begin:
            assert not gpu.held["streams"]
            assert not gpu.held["engines"]
        if "Ctx" not in call:
            assert not gpu.held["retained contexts"]
            assert not any(gpu.contexts.values())


def test_too_little_memory_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "twofold.engine", plan_of(48, 32, OLD), OLD)
    healthy = installed(monkeypatch, OLD)
    TensorRtEngine(plan).close()
    gpu = installed(monkeypatch, OLD)
    gpu.fails_at, gpu.failure_kind = healthy.calls.index("cuMemAlloc"), "MemoryError"
    with pytest.raises(Failure) as failure:
        TensorRtEngine(plan)
    assert str(failure.value) == (
        f"{plan}: cannot allocate 4608 bytes on the GPU for frame (cuMemAlloc failed: as the test "
        "wishes); free memory on the GPU (the desktop: sudo systemctl isolate multi-user.target), or "
        "build an engine for smaller pictures: tremorscope export --size, then tremorscope build"
    )
    gpu.check()


def published(folder: Path, version: str, **changed: Any) -> Path:
    """An engine as a build puts it there: a link to a plan that is named by its SHA-256."""
    made = write_plan(folder / "made.engine", plan_of(48, 32, version), version, **changed)
    sidecar = checked_engine(made)
    # Other content each time, as two builds never give the same.
    content = made.read_bytes() + b" " * int(sidecar.build_s)
    sidecar = sidecar.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    made.unlink()
    sidecar_path(made).unlink()
    engine = folder / "twofold-48x32.engine"
    publish(engine, content, sidecar)
    return engine


@pytest.mark.usefixtures("gpu")
def test_an_engine_is_loaded_as_the_build_puts_it_there(tmp_path: Path, version: str) -> None:
    graph = Wanted("twofold", (48, 32), "fp32").graph(tmp_path, "fp32")
    shutil.copy(SHIPPED, graph)
    shutil.copy(sidecar_path(SHIPPED), sidecar_path(graph))
    assert published(tmp_path, version) == graph.with_suffix(".engine")
    engine = engine_for(Magnification(engine="tensorrt", graph=graph))
    assert version in engine.description
    engine.close()


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("reads", [0, 1, 2])
def test_a_build_that_ends_while_an_engine_is_loaded_gives_the_old_one_or_the_new(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, reads: int
) -> None:
    """It puts a new plan in the place of the old one after so many files were read."""
    plan = published(tmp_path, version, network="old", build_s=1.0)
    read, done = Path.read_bytes, list[Path]()

    def read_bytes(path: Path) -> bytes:
        if len(done) == reads:
            done.append(path)
            published(tmp_path, version, network="new", build_s=2.0)
        done.append(path)
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        engine = TensorRtEngine(plan)
    assert engine.description.split()[0] == ("old" if reads == 2 else "new")
    engine.step(picture(), 1.0, AT_ONCE)
    engine.close()


@pytest.mark.usefixtures("gpu")
def test_the_plan_that_was_checked_is_loaded(monkeypatch: pytest.MonkeyPatch, plan: Path) -> None:
    read = Path.read_bytes

    def spoiling(path: Path) -> bytes:
        content = read(path)
        if path == plan:
            plan.write_bytes(b"another plan")
        return content

    monkeypatch.setattr(Path, "read_bytes", spoiling)
    TensorRtEngine(plan).close()
