"""One GPU through pycuda: memory, a stream and a context that are given back together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from numpy.typing import DTypeLike, NDArray

from nvidia_gpu import GpuContext


class Gpu:
    """The first GPU with one stream, and everything that was taken from it.

    Every use stands in ``with gpu.current():``, on any thread (see GpuContext, whose errors these are).
    """

    def __init__(self, driver: Any, owner: str) -> None:
        self._driver = driver
        self._context = GpuContext(driver, owner)
        self._held: list[tuple[str, Callable[[], object]]] = []
        self._stream: Any = None
        self._done: Any = None
        self._marks: dict[str, Any] = {}
        self._closed = False
        self.name = self._context.name
        self.compute_capability = self._context.compute_capability
        try:
            with self.current(), self._context.doing("open a stream"):
                self._stream = driver.Stream()
                # Without BLOCKING_SYNC a thread that waits spins, and the measurement needs the core.
                flags = driver.event_flags.BLOCKING_SYNC | driver.event_flags.DISABLE_TIMING
                self._done = driver.Event(flags)
        except BaseException:
            self.close()
            raise

    @property
    def stream_handle(self) -> int:
        """The stream that everything runs on, in the order of the calls."""
        handle: int = self._stream.handle
        return handle

    @contextmanager
    def current(self) -> Iterator[None]:
        """Makes the GPU's context that of the calling thread, for as long as it lasts."""
        with self._context.current():
            yield

    def memory(self, size: int, what: str) -> int:
        """The address of ``size`` bytes on the GPU, uninitialised."""
        with self._context.doing(f"allocate {size} bytes on the GPU for {what}"):
            allocation = self._driver.mem_alloc(size)
        self.hold(f"free the GPU's memory of {what}", allocation.free)
        return int(allocation)

    def page_locked(self, shape: tuple[int, ...], dtype: DTypeLike, what: str) -> NDArray[Any]:
        """Memory of the processor that the GPU copies from and to by itself; gone after ``close``."""
        with self._context.doing(f"allocate page-locked memory for {what}"):
            array: NDArray[Any] = self._driver.pagelocked_empty(shape, dtype)
        self.hold(f"free the page-locked memory of {what}", array.base.free)  # type: ignore[union-attr]
        return array

    def hold(self, what: str, release: Callable[[], object]) -> None:
        """Call ``release`` on closing, before anything that was taken earlier is freed."""
        self._held.append((what, release))

    def upload(self, address: int, source: NDArray[Any], what: str) -> None:
        """Copy page-locked memory to the GPU; ``source`` must stay as it is until ``wait``."""
        with self._context.doing(f"copy {what} to the GPU"):
            self._driver.memcpy_htod_async(address, source, self._stream)

    def download(self, target: NDArray[Any], address: int, what: str) -> None:
        """Copy from the GPU to page-locked memory; it is there after ``wait``."""
        with self._context.doing(f"copy {what} from the GPU"):
            self._driver.memcpy_dtoh_async(target, address, self._stream)

    def fill_with_zeros(self, address: int, size: int, what: str) -> None:
        """``size`` bytes, a multiple of 4."""
        with self._context.doing(f"zero {what}"):
            self._driver.memset_d32_async(address, 0, size // 4, self._stream)

    def mark(self, name: str) -> None:
        """Note when the GPU gets here, as the latest moment of that name."""
        with self._context.doing(f"note the time of {name}"):
            if name not in self._marks:
                self._marks[name] = self._driver.Event()
            self._marks[name].record(self._stream)

    def seconds_between(self, first: str, second: str) -> float:
        """Of the GPU's own clock, between two marks that were waited for."""
        with self._context.doing(f"tell the time from {first} to {second}"):
            milliseconds: float = self._marks[second].time_since(self._marks[first])
        return milliseconds / 1e3

    def wait(self, what: str) -> None:
        """Sleep until everything asked for so far is done; errors of it are told here."""
        with self._context.doing(f"finish {what}"):
            self._done.record(self._stream)
            self._done.synchronize()

    def close(self) -> None:
        """Wait for what runs, then give everything back. Later calls do nothing.

        What cannot be freed is told in the log, so that the error that led here is not lost.
        """
        if self._closed:
            return
        self._closed = True
        self._context.attempt("free what is on the GPU", self._free)
        self._context.close()

    def _free(self) -> None:
        with self.current():
            if self._stream is not None:
                with suppress(self._driver.Error):  # told already by what it came from
                    self._stream.synchronize()
            while self._held:
                self._context.attempt(*self._held.pop())
            self._stream = self._done = None
            self._marks.clear()
