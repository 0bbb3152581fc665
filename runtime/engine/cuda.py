"""One GPU through pycuda: memory, streams and a context that are given back together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from numpy.typing import DTypeLike, NDArray

from nvidia_gpu import GpuContext

COMPUTING, ARRIVALS = "computing", "arrivals"


class Gpu:
    """The first GPU with two streams, and everything that was taken from it.

    One stream computes; frames come on the other, so that one can be copied while another computes.
    Every use stands in ``with gpu.current():``, on any thread (see GpuContext, whose errors these are).
    """

    def __init__(self, driver: Any, owner: str) -> None:
        self._driver = driver
        self._context = GpuContext(driver, owner)
        self._held: list[tuple[str, Callable[[], object]]] = []
        # Always reached through here: a variable that an error's traceback keeps would keep a stream.
        self._streams: dict[str, Any] = {}
        self._marks: dict[str, Any] = {}
        self._closed = False
        self.name = self._context.name
        self.compute_capability = self._context.compute_capability
        try:
            with self.current(), self._context.doing("open a stream"):
                for name in (COMPUTING, ARRIVALS):
                    self._streams[name] = driver.Stream()
        except BaseException:
            self.close()
            raise

    @property
    def stream_handle(self) -> int:
        """The stream that everything but ``send`` runs on, in the order of the calls."""
        handle: int = self._streams[COMPUTING].handle
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
        """Copy page-locked memory to the GPU; ``source`` must stay as it is until a later mark."""
        with self._context.doing(f"copy {what} to the GPU"):
            self._driver.memcpy_htod_async(address, source, self._streams[COMPUTING])

    def send(self, address: int, source: NDArray[Any], what: str) -> None:
        """The same beside everything else, between the marks "``what`` leaves" and "``what`` is there".

        ``source`` must stay as it is until the GPU has passed the second; what computes with it must begin
        ``after`` that.
        """
        self._mark(f"{what} leaves", ARRIVALS)
        with self._context.doing(f"copy {what} to the GPU"):
            self._driver.memcpy_htod_async(address, source, self._streams[ARRIVALS])
        self._mark(f"{what} is there", ARRIVALS)

    def download(self, target: NDArray[Any], address: int, what: str) -> None:
        """Copy from the GPU to page-locked memory; it is there after a later mark."""
        with self._context.doing(f"copy {what} from the GPU"):
            self._driver.memcpy_dtoh_async(target, address, self._streams[COMPUTING])

    def fill_with_zeros(self, address: int, size: int, what: str) -> None:
        """``size`` bytes, a multiple of 4."""
        with self._context.doing(f"zero {what}"):
            self._driver.memset_d32_async(address, 0, size // 4, self._streams[COMPUTING])

    def mark(self, name: str) -> None:
        """Note when the GPU gets here, as the latest moment of that name."""
        self._mark(name, COMPUTING)

    def after(self, name: str) -> None:
        """What is asked for from now on begins when the GPU has passed this mark."""
        with self._context.doing(f"let the GPU wait until {name}"):
            self._streams[COMPUTING].wait_for_event(self._marks[name])

    def wait(self, name: str, what: str) -> None:
        """Sleep until the GPU has passed this mark, if there is one; errors of ``what`` are told here."""
        if name in self._marks:
            with self._context.doing(f"finish {what}"):
                self._marks[name].synchronize()

    def seconds_between(self, first: str, second: str) -> float:
        """Of the GPU's own clock, between two marks that were waited for."""
        with self._context.doing(f"tell the time from {first} to {second}"):
            milliseconds: float = self._marks[second].time_since(self._marks[first])
        return milliseconds / 1e3

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
            for name in self._streams:
                with suppress(self._driver.Error):  # told already by what it came from
                    self._streams[name].synchronize()
            while self._held:
                self._context.attempt(*self._held.pop())
            self._streams.clear()
            self._marks.clear()

    def _mark(self, name: str, stream: str) -> None:
        with self._context.doing(f"note the time of {name}"):
            if name not in self._marks:
                # Without BLOCKING_SYNC a thread that waits spins, and the measurement needs the core.
                self._marks[name] = self._driver.Event(self._driver.event_flags.BLOCKING_SYNC)
            self._marks[name].record(self._streams[stream])
