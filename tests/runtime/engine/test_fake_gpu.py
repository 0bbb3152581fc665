"""The GPU of the tests notices each mistake that an engine could make: one function breaks it in each."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeGpu, Stream
from fake_tensorrt import NEW, OLD, Context, Engine, installed, plan_of, write_plan
from numpy.typing import NDArray
from pictures import compare, in_thread

from nvidia_gpu import GpuContext
from runtime.engine.cuda import Gpu
from runtime.engine.tensorrt import TensorRtEngine, _Run


def no_swap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Run, "_swap_states", lambda _: None)


def one_state_swapped(patch: pytest.MonkeyPatch) -> None:
    whole = _Run._swap_states

    def swap(self: _Run) -> None:
        patch.setattr("runtime.engine.tensorrt.STATES", ("fast",))
        whole(self)

    patch.setattr(_Run, "_swap_states", swap)


def both_states_in_one_place(patch: pytest.MonkeyPatch) -> None:
    def swap(self: Any) -> None:
        self._bind("fast", self._addresses["fast_next"])

    patch.setattr(_Run, "_swap_states", swap)


def states_not_zeroed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Run, "_zero_states", lambda _: None)


def states_half_zeroed(patch: pytest.MonkeyPatch) -> None:
    whole = Gpu.fill_with_zeros
    patch.setattr(
        Gpu, "fill_with_zeros", lambda self, at, size, what: whole(self, at, size // 2, what)
    )


def no_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gpu, "wait", lambda *_: None)


def no_wait_for_the_frame(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gpu, "after", lambda *_: None)


def no_wait_for_a_frame_that_was_overtaken(patch: pytest.MonkeyPatch) -> None:
    wait = Gpu.wait

    def for_pictures_alone(self: Gpu, name: str, what: str) -> None:
        if name == "the end":
            wait(self, name, what)

    patch.setattr(Gpu, "wait", for_pictures_alone)


def one_place_for_every_frame(patch: pytest.MonkeyPatch) -> None:
    make = _Run.__init__

    def init(self: Any, *arguments: Any) -> None:
        make(self, *arguments)
        self._read = self._free

    patch.setattr(_Run, "__init__", init)


def any_frame_taken_for_the_one_that_was_sent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("runtime.engine.tensorrt._are_one", lambda *_: True)


def frame_changed_before_it_is_copied(patch: pytest.MonkeyPatch) -> None:
    send = Gpu.send

    def early(self: Gpu, address: int, source: NDArray[Any], what: str) -> None:
        send(self, address, source, what)
        source[...] = 0

    patch.setattr(Gpu, "send", early)


def memory_freed_early(patch: pytest.MonkeyPatch) -> None:
    def memory(self: Any, size: int, _: str) -> int:
        allocation = self._driver.mem_alloc(size)
        address = int(allocation)
        allocation.free()
        return address

    patch.setattr(Gpu, "memory", memory)


def memory_freed_while_it_is_used(patch: pytest.MonkeyPatch) -> None:
    download = Gpu.download

    def freeing(self: Any, target: NDArray[Any], address: int, what: str) -> None:
        download(self, target, address, what)
        while self._held:
            self._held.pop()[1]()

    patch.setattr(Gpu, "download", freeing)


def memory_freed_twice(patch: pytest.MonkeyPatch) -> None:
    def memory(self: Any, size: int, _: str) -> int:
        allocation = self._driver.mem_alloc(size)
        self.hold("free it", allocation.free)
        self.hold("free it again", allocation.free)
        return int(allocation)

    patch.setattr(Gpu, "memory", memory)


def memory_never_freed(patch: pytest.MonkeyPatch) -> None:
    kept = []

    def memory(self: Any, size: int, _: str) -> int:
        kept.append(self._driver.mem_alloc(size))
        return int(kept[-1])

    patch.setattr(Gpu, "memory", memory)


def memory_too_small(patch: pytest.MonkeyPatch) -> None:
    memory = Gpu.memory
    patch.setattr(Gpu, "memory", lambda self, size, what: memory(self, size - 1, what))


def ordinary_memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gpu, "page_locked", lambda _, shape, dtype, __: np.empty(shape, dtype))


def page_locked_memory_never_freed(patch: pytest.MonkeyPatch) -> None:
    def page_locked(self: Any, shape: tuple[int, ...], dtype: Any, _: str) -> Any:
        return self._driver.pagelocked_empty(shape, dtype)

    patch.setattr(Gpu, "page_locked", page_locked)


def no_context(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def current(_: Gpu) -> Iterator[None]:
        yield

    patch.setattr(Gpu, "current", current)


def context_left_behind(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def current(self: Any) -> Iterator[None]:
        self._context.push()
        yield

    patch.setattr(GpuContext, "current", current)


def context_not_released(patch: pytest.MonkeyPatch) -> None:
    close = GpuContext.close

    def keeping(self: Any) -> None:
        self._context.detach = self.driver.Context.pop
        close(self)

    patch.setattr(GpuContext, "close", keeping)


def context_released_where_it_is_not_current(patch: pytest.MonkeyPatch) -> None:
    """From another thread than the one that took it: pycuda keeps it, in silence."""
    close = GpuContext.close

    def elsewhere(self: Any) -> None:
        self._context.push = lambda: None
        in_thread(lambda: close(self))

    patch.setattr(GpuContext, "close", elsewhere)


def times_of_an_event_that_keeps_none(patch: pytest.MonkeyPatch) -> None:
    mark = Gpu.mark

    def marking(self: Any, name: str) -> None:
        mark(self, name)
        self._marks[name].flags |= self._driver.event_flags.DISABLE_TIMING

    patch.setattr(Gpu, "mark", marking)


def times_before_they_are_known(patch: pytest.MonkeyPatch) -> None:
    wait = Gpu.wait

    def asking(self: Gpu, name: str, what: str) -> None:
        if name == "the end":
            self.seconds_between("computing", "computed")
        wait(self, name, what)

    patch.setattr(Gpu, "wait", asking)


def execution_context_outlives_the_gpu(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Run, "_forget", lambda _: None)


def another_stream(patch: pytest.MonkeyPatch) -> None:
    streams: list[Stream] = []

    def handle(self: Any) -> int:
        if not streams:
            streams.append(self._driver.Stream())
            self.hold("let go of it", streams.clear)
        return streams[0].handle

    patch.setattr(Gpu, "stream_handle", property(handle))


def no_stream(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gpu, "stream_handle", property(lambda _: 0))


def spinning(patch: pytest.MonkeyPatch) -> None:
    mark = Gpu.mark

    def marking(self: Any, name: str) -> None:
        mark(self, name)
        self._marks[name].flags = 0

    patch.setattr(Gpu, "mark", marking)


def a_tensor_without_an_address(patch: pytest.MonkeyPatch) -> None:
    bind = _Run._bind

    def forgetful(self: Any, name: str, address: int) -> None:
        if name != "displacement_px":
            bind(self, name, address)

    patch.setattr(_Run, "_bind", forgetful)


def compare_and_check(plan: Path, gpu: FakeGpu) -> None:
    for gpu.early_copies in (False, True):
        compare(plan)
        gc.collect()
        gpu.check()


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (no_swap, "Arrays are not equal"),
        (one_state_swapped, "Arrays are not equal"),
        (both_states_in_one_place, "share their memory"),
        (states_not_zeroed, "Arrays are not equal"),
        (states_half_zeroed, "Arrays are not equal"),
        (no_wait, "that nobody waited for"),
        (no_wait_for_the_frame, "Arrays are not equal"),
        (no_wait_for_a_frame_that_was_overtaken, "was changed before it was copied"),
        (one_place_for_every_frame, "Arrays are not equal"),
        (any_frame_taken_for_the_one_that_was_sent, "Arrays are not equal"),
        (frame_changed_before_it_is_copied, "was changed before it was copied"),
        (memory_freed_early, "is not allocated, or it was freed"),
        (memory_freed_while_it_is_used, "is not allocated, or it was freed"),
        (memory_freed_twice, "device memory is freed twice"),
        (memory_never_freed, "bytes of device memory at"),
        (memory_too_small, "bytes at"),
        (ordinary_memory, "is not page-locked"),
        (page_locked_memory_never_freed, "page-locked memory"),
        (no_context, "no context is current on this thread"),
        (context_left_behind, "a context on thread"),
        (context_not_released, "1 retained contexts"),
        (context_released_where_it_is_not_current, "1 retained contexts"),
        (times_of_an_event_that_keeps_none, "of an event is asked for that keeps none"),
        (times_before_they_are_known, "that nobody waited for"),
        (execution_context_outlives_the_gpu, "an execution context's destructor"),
        (another_stream, "Arrays are not equal"),
        (no_stream, "is no stream"),
        (spinning, "a whole core"),
        (a_tensor_without_an_address, "displacement_px has no address"),
    ],
)
def test_the_gpu_notices(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mistake: Callable[[pytest.MonkeyPatch], None],
    told: str,
) -> None:
    gpu = installed(monkeypatch, OLD)
    plan = write_plan(tmp_path / "twofold.engine", plan_of(48, 32, OLD), OLD)
    mistake(monkeypatch)
    with pytest.raises(AssertionError) as caught:
        compare_and_check(plan, gpu)
    assert any(told in text for text in (str(caught.value), *gpu.misuses))


@pytest.mark.parametrize(
    "removed", ["device_memory_size", "create_execution_context_without_device_memory"]
)
def test_the_newer_tensorrt_lacks_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, removed: str
) -> None:
    for version in (OLD, NEW):
        gpu = installed(monkeypatch, version)
        plan = write_plan(tmp_path / "twofold.engine", plan_of(48, 32, version), version)
        engine = TensorRtEngine(plan)
        assert hasattr(engine._run._engine, removed) == (version == OLD)
        engine.close()
        gpu.check()


def test_nvidias_own_module_has_every_name_that_the_newer_one_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = pytest.importorskip("tensorrt_rtx")
    installed(monkeypatch, NEW)
    ours = sys.modules["tensorrt"]
    pairs = [
        (ours, theirs),
        (ours.Runtime, theirs.Runtime),
        (ours.ILogger, theirs.ILogger),
        (ours.DataType, theirs.DataType),
        (ours.TensorIOMode, theirs.TensorIOMode),
        (ours.ILogger.Severity, theirs.ILogger.Severity),
        (Engine, theirs.ICudaEngine),
        (Context, theirs.IExecutionContext),
    ]
    for mine, real in pairs:
        names = {name for name in vars(mine) if not name.startswith("_")}
        assert names
        assert names <= set(dir(real))
