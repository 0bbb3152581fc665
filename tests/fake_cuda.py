"""A GPU without a GPU: ``pycuda.driver`` as far as the project needs it, and it watches what is asked.

Device memory is real memory at its real address. What is asked of a stream happens only when somebody
waits for it, as late as a GPU may; so whoever reads too early, or frees or changes memory that is still
to be copied, gets wrong bytes or is caught. With ``early_copies`` what is copied to the GPU is copied at
once instead, where nothing of its stream is still to be done. A mistake raises ``Misuse`` at once, except in a
destructor, and is kept: end each test with ``gpu.check()``, which also finds what was left over.

How contexts and destructors behave was read in the sources of pycuda 2026.1 (src/cpp/cuda.hpp).
"""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

ALIGNMENT = 256
DIRT = 0x7F
"""Fresh and freed memory holds this: as float32 a huge number, so that nothing gets by on zeros."""


class Misuse(AssertionError):
    """What a real GPU would answer with wrong pictures, a crash, or memory lost for good."""


Function = TypeVar("Function", bound=Callable[..., Any])


def as_in_c(function: Function) -> Function:
    """pycuda is C++: an error's traceback holds none of its arguments, and so does not keep them."""

    def called(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            del arguments
            raise error.with_traceback(None)  # noqa: B904

    called.__name__ = function.__name__
    return cast(Function, called)


class FakeGpu:
    """The device, and a module for it: ``driver``."""

    def __init__(
        self,
        name: str = "Orin",
        capability: tuple[int, int] = (8, 7),
        integrated: bool = True,
        early_copies: bool = False,
    ) -> None:
        self.name, self.capability, self.integrated = name, capability, integrated
        self.early_copies = early_copies
        self.clock_ms = 0.0
        """A copy takes 1 ms, whatever its size, and computing takes 5."""
        self.misuses: list[str] = []
        self.calls: list[str] = []
        self.asked: list[tuple[str, int]] = []
        """What was asked of streams: the call, and which stream, counted as they were made."""
        self.fails_at: int | None = None
        """The number of the call that fails, counted from 0 in ``calls``."""
        self.stays_broken = False
        """Whether all calls after that fail, too, as after an error in a kernel."""
        self.failure_kind = "RuntimeError"
        self.held: dict[str, int] = {}
        """How many of each kind exist now: contexts, streams, events, and TensorRT's objects."""
        self.blocks: list[tuple[int, int, NDArray[np.uint8]]] = []
        """Living device memory: address, size, bytes."""
        self.pinned: dict[int, int] = {}
        """Living page-locked memory: address, size."""
        self.graveyard: list[NDArray[np.uint8]] = []
        self.contexts: dict[int, list[Context]] = {}
        self.streams: WeakValueDictionary[int, Stream] = WeakValueDictionary()
        self.driver = _driver(self)

    def call(self, name: str, *, needs_context: bool = True) -> None:
        """Begins every call of the driver: it may be told to fail, and it needs a context."""
        number = len(self.calls)
        self.calls.append(name)
        broken = self.fails_at is not None and self.stays_broken and number > self.fails_at
        if number == self.fails_at or broken:
            raise getattr(self.driver, self.failure_kind)(f"{name} failed: as the test wishes")
        if needs_context:
            self.need_context(name)

    def need_context(self, who: str) -> None:
        if not self.stack:
            raise self.misuse(f"{who}: no context is current on this thread")

    def misuse(self, what: str) -> Misuse:
        self.misuses.append(what)
        return Misuse(what)

    def hold(self, kind: str, change: int) -> None:
        self.held[kind] = self.held.get(kind, 0) + change

    @property
    def stack(self) -> list["Context"]:
        """The contexts of the calling thread, the current one last."""
        return self.contexts.setdefault(threading.get_ident(), [])

    def allocate(self, size: int) -> int:
        """Address of ``size`` fresh bytes, never used before."""
        room = np.full(size + ALIGNMENT, DIRT, np.uint8)
        address = int(room.ctypes.data)
        skip = -address % ALIGNMENT
        self.graveyard.append(room)  # never given back: an address means one block for good
        self.blocks.append((address + skip, size, room[skip : skip + size]))
        return address + skip

    def free(self, address: int) -> None:
        for block in self.blocks:
            if block[0] == address:
                block[2][:] = DIRT
                self.blocks.remove(block)
                return
        raise self.misuse(f"device memory at {address:#x} is freed, but it is not allocated")

    def bytes_at(self, address: int, size: int, who: str) -> NDArray[np.uint8]:
        """``size`` bytes of living device memory."""
        for start, length, content in self.blocks:
            if start <= address < start + length:
                if address + size > start + length:
                    raise self.misuse(
                        f"{who}: {size} bytes at {address:#x}, where {start + length - address} are"
                    )
                return content[address - start : address - start + size]
        raise self.misuse(f"{who}: {address:#x} is not allocated, or it was freed")

    def pinned_bytes(self, array: NDArray[Any], who: str) -> NDArray[np.uint8]:
        """The bytes of a page-locked array; others cannot be copied asynchronously."""
        start = int(array.ctypes.data)
        if not array.flags.c_contiguous:
            raise self.misuse(f"{who}: the array is not contiguous")
        inside = any(a <= start and start + array.nbytes <= a + n for a, n in self.pinned.items())
        if not inside:
            raise self.misuse(f"{who}: the array is not page-locked, or it was freed")
        return array.reshape(-1).view(np.uint8)

    def check(self) -> None:
        """Nothing was done wrong, and nothing is left."""
        left = [f"{size} bytes of device memory at {at:#x}" for at, size, _ in self.blocks]
        left += [f"{size} bytes of page-locked memory" for size in self.pinned.values()]
        left += [f"{count} {kind}" for kind, count in self.held.items() if count]
        left += [
            f"a context on thread {thread}" for thread, stack in self.contexts.items() if stack
        ]
        assert not self.misuses, self.misuses
        assert not left, f"left over: {left}"


class Context:
    """pycuda's, of the primary context. One stack for each thread, the last one is current."""

    gpu: FakeGpu

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu_of_this, self.thread, self.valid = gpu, threading.get_ident(), True
        gpu.hold("retained contexts", 1)

    def push(self) -> None:
        gpu = self.gpu_of_this
        gpu.call("cuCtxPushCurrent", needs_context=False)
        if not self.valid:
            raise gpu.misuse("a context is pushed that was released")
        gpu.stack.append(self)

    def detach(self) -> None:
        """pycuda releases it only when it is current here, or was retained on this thread."""
        gpu = self.gpu_of_this
        gpu.call("cuDevicePrimaryCtxRelease", needs_context=False)
        if not self.valid:
            raise gpu.misuse("a context is detached twice")
        if (gpu.stack and gpu.stack[-1] is self) or self.thread == threading.get_ident():
            gpu.hold("retained contexts", -1)
        self.valid = False
        while gpu.stack and not gpu.stack[-1].valid:
            gpu.stack.pop()


class Stream:
    """Remembers what it was asked for, and does it when somebody waits."""

    def __init__(self, gpu: FakeGpu) -> None:
        gpu.call("cuStreamCreate")
        self.gpu, self.queue = gpu, list[Callable[[], None]]()
        self.number = gpu.held.get("streams", 0)
        self.done = 0
        self.context = gpu.stack[-1]
        self.handle = id(self)
        gpu.streams[self.handle] = self
        gpu.hold("streams", 1)

    @property
    def end(self) -> int:
        """How much it was asked for since it was made."""
        return self.done + len(self.queue)

    def ask(self, call: str, action: Callable[[], None], *, early: bool = False) -> None:
        """Put it into the queue, or do it at once where a GPU may."""
        self.gpu.asked.append((call, self.number))
        self.queue.append(action)
        if early and len(self.queue) == 1:
            self.run_to(self.end)

    @as_in_c
    def synchronize(self) -> None:
        self.gpu.call("cuStreamSynchronize")
        self.run_to(self.end)

    @as_in_c
    def wait_for_event(self, event: "Event") -> None:
        self.gpu.call("cuStreamWaitEvent")
        stream, place = event.stream, event.place  # as they are now: it may be recorded again
        if stream is None:
            raise self.gpu.misuse("a stream is to wait for an event that was never recorded")
        self.ask("cuStreamWaitEvent", partial(stream.run_to, place))

    def run_to(self, place: int) -> None:
        """Do everything up to this place of the queue."""
        while self.done < place:
            action = self.queue.pop(0)
            self.done += 1
            action()

    def __del__(self) -> None:
        if getattr(self, "handle", None) is not None:
            with suppress(Misuse):
                destroyed(self.gpu, self.context, "a stream")
                self.gpu.hold("streams", -1)


class Event:
    """A place in a stream's queue."""

    def __init__(self, gpu: FakeGpu, flags: int) -> None:
        gpu.call("cuEventCreate")
        self.gpu, self.flags = gpu, flags
        self.context = gpu.stack[-1]
        self.stream: Stream | None = None
        self.place = 0
        self.passed_ms: list[float] = []
        gpu.hold("events", 1)

    @as_in_c
    def record(self, stream: Stream) -> None:
        self.gpu.call("cuEventRecord")
        gpu, passed_ms = self.gpu, list[float]()  # not the event itself: the queue would keep it
        stream.ask("cuEventRecord", lambda: passed_ms.append(gpu.clock_ms), early=gpu.early_copies)
        self.stream, self.place, self.passed_ms = stream, stream.end, passed_ms

    @as_in_c
    def time_since(self, earlier: "Event") -> float:
        self.gpu.call("cuEventElapsedTime")
        for event in (earlier, self):
            if event.flags & int(self.gpu.driver.event_flags.DISABLE_TIMING):
                raise self.gpu.misuse("the time of an event is asked for that keeps none")
            if not event.passed_ms:
                raise self.gpu.misuse("the time of an event is asked for that nobody waited for")
        return self.passed_ms[0] - earlier.passed_ms[0]

    @as_in_c
    def synchronize(self) -> None:
        self.gpu.call("cuEventSynchronize")
        if self.stream is None:
            raise self.gpu.misuse("an event is waited for that was never recorded")
        if not self.flags & int(self.gpu.driver.event_flags.BLOCKING_SYNC):
            raise self.gpu.misuse("waiting for this event takes a whole core of the processor")
        self.stream.run_to(self.place)

    def __del__(self) -> None:
        if getattr(self, "context", None) is not None:
            with suppress(Misuse):
                destroyed(self.gpu, self.context, "an event")
                self.gpu.hold("events", -1)


class DeviceAllocation:
    """``mem_alloc`` gives it; ``int()`` of it is its address."""

    def __init__(self, gpu: FakeGpu, size: int) -> None:
        gpu.call("cuMemAlloc")
        self.gpu, self.context = gpu, gpu.stack[-1]
        self.address: int | None = gpu.allocate(size)

    def __int__(self) -> int:
        if self.address is None:
            raise self.gpu.misuse("the address of freed device memory is asked for")
        return self.address

    def free(self) -> None:
        if self.address is None:
            raise self.gpu.misuse("device memory is freed twice")
        self.gpu.call("cuMemFree", needs_context=False)
        destroyed(self.gpu, self.context, "device memory")
        address, self.address = self.address, None
        self.gpu.free(address)

    def __del__(self) -> None:
        if getattr(self, "address", None) is not None:
            with suppress(Misuse, self.gpu.driver.Error):
                self.free()


class PagelockedHostAllocation:
    """The ``base`` of the arrays that ``pagelocked_empty`` gives."""

    def __init__(self, gpu: FakeGpu, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        gpu.call("cuMemHostAlloc")
        self.gpu, self.context = gpu, gpu.stack[-1]
        self.content = np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize, DIRT, np.uint8)
        self.address: int | None = int(self.content.ctypes.data)
        gpu.graveyard.append(self.content)
        gpu.pinned[self.address] = self.content.size
        self.__array_interface__ = {
            "shape": tuple(shape),
            "typestr": np.dtype(dtype).str,
            "data": (self.address, False),
            "version": 3,
        }

    def free(self) -> None:
        if self.address is None:
            raise self.gpu.misuse("page-locked memory is freed twice")
        self.gpu.call("cuMemFreeHost", needs_context=False)
        destroyed(self.gpu, self.context, "page-locked memory")
        self.content[:] = DIRT
        del self.gpu.pinned[self.address]
        self.address = None

    def __del__(self) -> None:
        if getattr(self, "address", None) is not None:
            with suppress(Misuse, self.gpu.driver.Error):
                self.free()


def destroyed(gpu: FakeGpu, context: Context, what: str) -> None:
    """pycuda frees where the thing's own context is current; else it warns, and the thing is lost."""
    if not (gpu.stack and gpu.stack[-1] is context and context.valid):
        raise gpu.misuse(f"{what} is freed where its context is not current: it is lost")


def _driver(gpu: FakeGpu) -> Any:
    """The module ``pycuda.driver``, with the names that the engine may use and no others."""

    class Error(Exception):
        """Base of pycuda's errors."""

    def error(name: str) -> type[Exception]:
        return type(name, (Error,), {})

    class EventFlags:
        DEFAULT, BLOCKING_SYNC, DISABLE_TIMING = 0, 1, 2

    class DeviceAttribute:
        INTEGRATED = "INTEGRATED"

    class Device:
        def __init__(self, number: int) -> None:
            gpu.call("cuDeviceGet", needs_context=False)
            assert number == 0

        def name(self) -> str:
            return gpu.name

        def compute_capability(self) -> tuple[int, int]:
            return gpu.capability

        def get_attribute(self, attribute: str) -> int:
            assert attribute == DeviceAttribute.INTEGRATED
            return int(gpu.integrated)

        def retain_primary_context(self) -> Context:
            gpu.call("cuDevicePrimaryCtxRetain", needs_context=False)
            return Context(gpu)

    class ContextType:
        @staticmethod
        def pop() -> None:
            gpu.call("cuCtxPopCurrent", needs_context=False)
            if not gpu.stack:
                raise gpu.misuse("a context is popped where none is")
            gpu.stack.pop()

    def init() -> None:
        gpu.call("cuInit", needs_context=False)

    def get_driver_version() -> int:
        return 12060

    def mem_get_info() -> tuple[int, int]:
        gpu.call("cuMemGetInfo")
        return 4_000_000_000, 8_000_000_000

    def pagelocked_empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.asarray(PagelockedHostAllocation(gpu, shape, dtype))

    def mem_alloc(size: int) -> DeviceAllocation:
        return DeviceAllocation(gpu, size)

    def memcpy_htod_async(dest: int, src: NDArray[Any], stream: Stream) -> None:
        gpu.call("cuMemcpyHtoDAsync")
        gpu.pinned_bytes(src, "cuMemcpyHtoDAsync")
        gpu.bytes_at(int(dest), src.nbytes, "cuMemcpyHtoDAsync")
        asked = src.tobytes()

        def copy() -> None:
            to = gpu.bytes_at(int(dest), src.nbytes, "a copy to the GPU")
            to[:] = gpu.pinned_bytes(src, "a copy to the GPU")
            if to.tobytes() != asked:
                raise gpu.misuse("page-locked memory was changed before it was copied")
            gpu.clock_ms += 1

        stream.ask("cuMemcpyHtoDAsync", copy, early=gpu.early_copies)

    def memcpy_dtoh_async(dest: NDArray[Any], src: int, stream: Stream) -> None:
        gpu.call("cuMemcpyDtoHAsync")
        gpu.pinned_bytes(dest, "cuMemcpyDtoHAsync")
        gpu.bytes_at(int(src), dest.nbytes, "cuMemcpyDtoHAsync")

        def copy() -> None:
            to = gpu.pinned_bytes(dest, "a copy from the GPU")
            to[:] = gpu.bytes_at(int(src), dest.nbytes, "a copy from the GPU")
            gpu.clock_ms += 1

        stream.ask("cuMemcpyDtoHAsync", copy)

    def memset_d32_async(dest: int, data: int, size: int, stream: Stream) -> None:
        gpu.call("cuMemsetD32Async")
        gpu.bytes_at(int(dest), 4 * size, "cuMemsetD32Async")

        def fill() -> None:
            gpu.bytes_at(int(dest), 4 * size, "filling memory").view(np.uint32)[:] = data

        stream.ask("cuMemsetD32Async", fill)

    driver: Any = ModuleType("pycuda.driver")
    driver.Error = Error
    for kind in ("MemoryError", "LogicError", "LaunchError", "RuntimeError"):
        setattr(driver, kind, error(kind))
    driver.event_flags, driver.Device, driver.Context = EventFlags, Device, ContextType
    driver.device_attribute, driver.get_driver_version = DeviceAttribute, get_driver_version
    driver.Stream = lambda: Stream(gpu)
    driver.Event = lambda flags=0: Event(gpu, flags)
    for function in (
        *(init, mem_get_info, mem_alloc, pagelocked_empty),
        *(memcpy_htod_async, memcpy_dtoh_async, memset_d32_async),
    ):
        setattr(driver, function.__name__, as_in_c(function))
    return driver


def install_pycuda(monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu) -> None:
    """``pycuda`` of this GPU, for as long as the test lasts."""
    package: Any = ModuleType("pycuda")
    package.driver = gpu.driver
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", gpu.driver)
