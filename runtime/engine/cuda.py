"""One GPU through pycuda: memory, a stream and a context that are given back together."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from numpy.typing import DTypeLike, NDArray

from failure import Failure


class Gpu:
    """The first GPU, by its primary context, which TensorRT shares.

    CUDA asks for a context on each thread that calls it, and pycuda ends the whole process when a
    thread ends with one left on it. So every use stands in ``with gpu.current():``, which any thread
    may do, for as long as it lasts. What pycuda raises becomes a Failure that names the call and what
    it was for; ``owner`` is what the sentence begins with.
    """

    def __init__(self, driver: Any, owner: str) -> None:
        self._driver = driver
        self._owner = owner
        self._held = ExitStack()
        self._context: Any = None
        self._stream: Any = None
        self._done: Any = None
        with self._doing("find a GPU"):
            driver.init()
            device = driver.Device(0)
            self.name: str = device.name()
            self.compute_capability: tuple[int, int] = device.compute_capability()
        with self._doing("take the GPU into use"):
            self._context = device.retain_primary_context()
        try:
            with self.current(), self._doing("open a stream"):
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
        """Push the context on the calling thread, and pop it on the way out."""
        with self._doing("make the GPU's context current"):
            self._context.push()
        try:
            yield
        finally:
            self._driver.Context.pop()

    def memory(self, size: int, what: str) -> int:
        """The address of ``size`` bytes on the GPU, uninitialised."""
        with self._doing(f"allocate {size} bytes on the GPU for {what}"):
            allocation = self._driver.mem_alloc(size)
        self._held.callback(allocation.free)
        return int(allocation)

    def page_locked(self, shape: tuple[int, ...], dtype: DTypeLike, what: str) -> NDArray[Any]:
        """Memory of the processor that the GPU copies from and to by itself; gone after ``close``."""
        with self._doing(f"allocate page-locked memory for {what}"):
            array: NDArray[Any] = self._driver.pagelocked_empty(shape, dtype)
        self._held.callback(array.base.free)  # type: ignore[union-attr]
        return array

    def hold(self, release: Callable[[], object]) -> None:
        """Call ``release`` on closing, before anything that was taken earlier is freed."""
        self._held.callback(release)

    def upload(self, address: int, source: NDArray[Any], what: str) -> None:
        """Copy page-locked memory to the GPU; ``source`` must stay as it is until ``wait``."""
        with self._doing(f"copy {what} to the GPU"):
            self._driver.memcpy_htod_async(address, source, self._stream)

    def download(self, target: NDArray[Any], address: int, what: str) -> None:
        """Copy from the GPU to page-locked memory; it is there after ``wait``."""
        with self._doing(f"copy {what} from the GPU"):
            self._driver.memcpy_dtoh_async(target, address, self._stream)

    def fill_with_zeros(self, address: int, size: int, what: str) -> None:
        """``size`` bytes, a multiple of 4."""
        with self._doing(f"zero {what}"):
            self._driver.memset_d32_async(address, 0, size // 4, self._stream)

    def wait(self, what: str) -> None:
        """Sleep until everything asked for so far is done; errors of it are told here."""
        with self._doing(f"finish {what}"):
            self._done.record(self._stream)
            self._done.synchronize()

    def close(self) -> None:
        """Wait for what runs, then give everything back. Later calls do nothing."""
        if self._context is None:
            return
        context, self._context = self._context, None
        with self._doing("make the GPU's context current"):
            context.push()
        try:
            if self._stream is not None:
                with suppress(self._driver.Error):  # told already by what it came from
                    self._stream.synchronize()
            with self._doing("free the GPU's memory"):
                self._held.close()
        finally:
            self._stream = self._done = None
            # While it is current: from another thread than the one that took it, pycuda would keep
            # it in silence. This takes it off pycuda's stack; CUDA's own keeps it as this thread's
            # default, as TensorRT's calls would leave it, too.
            context.detach()

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._driver.MemoryError as error:
            raise Failure(
                f"{self._owner}: cannot {what} ({error}); free memory on the GPU, or make "
                "magnification.area smaller"
            ) from error
        except self._driver.Error as error:
            raise Failure(
                f"{self._owner}: cannot {what} ({error}); start tremorscope again, and if that does "
                "not help, look for the GPU's driver in: sudo dmesg"
            ) from error
