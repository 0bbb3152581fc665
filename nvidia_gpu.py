"""NVIDIA's Python packages, and the GPU's context, for whoever builds engines and whoever runs them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from failure import Failure

log = logging.getLogger(__name__)


def installed_tensorrt() -> Any:
    """The module ``tensorrt``. Raises Failure that says how to get it."""
    try:
        import tensorrt
    except ImportError as error:
        raise Failure(
            f"the Python package tensorrt cannot be imported ({error}); on a Jetson it comes with "
            "JetPack 6.1 or newer: sudo apt install python3-libnvinfer, for the system's own Python, so "
            "make the virtual environment with: python3 -m venv --system-site-packages"
        ) from error
    return tensorrt


def installed_pycuda() -> Any:
    """The module ``pycuda.driver``. Raises Failure that says how to get it."""
    try:
        from pycuda import driver
    except ModuleNotFoundError as error:
        raise Failure(
            f"pycuda, which TensorRT needs here, is not installed ({error}); pip install pycuda compiles "
            "it on the device, with g++, nvcc on PATH (/usr/local/cuda/bin), and CUDA's folders in CPATH "
            "(/usr/local/cuda/include) and LIBRARY_PATH (/usr/local/cuda/lib64)"
        ) from error
    except ImportError as error:
        raise Failure(
            f"pycuda cannot be loaded ({error}); libcuda.so.1 belongs to the GPU's driver, which a "
            "container gets from: --runtime nvidia; anything else is mended by compiling pycuda again: "
            "pip install --force-reinstall --no-cache-dir pycuda"
        ) from error
    return driver


class GpuContext:
    """The first GPU, by its primary context, which TensorRT shares.

    CUDA asks for a context on each thread that calls it, and pycuda ends the whole process when a
    thread ends with one left on it. So every use stands in ``with context.current():``, which any
    thread may do, for as long as it lasts. ``driver`` is pycuda's module; what it raises becomes a
    Failure that names the call and what it was for; ``owner`` is what the sentence begins with.
    """

    def __init__(self, driver: Any, owner: str) -> None:
        self.driver = driver
        self._owner = owner
        try:
            driver.init()
            device = driver.Device(0)
            self.name: str = device.name()
            self.compute_capability: tuple[int, int] = device.compute_capability()
            self.shares_memory = bool(device.get_attribute(driver.device_attribute.INTEGRATED))
            version: int = driver.get_driver_version()
            self.cuda_version = f"{version // 1000}.{version % 1000 // 10}"
        except driver.Error as error:
            raise Failure(
                f"{owner}: CUDA finds no GPU that it can use ({error}); check with nvidia-smi, and that "
                "this user is in the groups video and render"
            ) from error
        with self.doing("take the GPU into use"):
            self._context: Any = device.retain_primary_context()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Push the context on the calling thread, and pop it on the way out."""
        with self.doing("make the GPU's context current"):
            self._context.push()
        try:
            yield
        except BaseException:
            self.attempt("leave the GPU's context", self.driver.Context.pop)
            raise
        with self.doing("leave the GPU's context"):
            self.driver.Context.pop()

    def close(self) -> None:
        """Give it back; whatever was made in it must be gone. Later calls do nothing."""
        if self._context is None:
            return
        context, self._context = self._context, None

        def release() -> None:
            # While it is current: from another thread than the one that took it, pycuda would keep
            # it in silence. This takes it off pycuda's stack; CUDA's own keeps it as this thread's
            # default, as TensorRT's calls would leave it, too.
            context.push()
            context.detach()

        self.attempt("give the GPU back", release)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Errors of the driver become a Failure: ``what`` goes on after "cannot"."""
        try:
            yield
        except self.driver.MemoryError as error:
            raise Failure(
                f"{self._owner}: cannot {what} ({error}); free memory on the GPU (the desktop: sudo "
                "systemctl isolate multi-user.target), or build an engine for smaller pictures: "
                "tremorscope export --size, then tremorscope build"
            ) from error
        except self.driver.Error as error:
            raise Failure(f"{self._owner}: cannot {what} ({error}); {START_AGAIN}") from error

    def attempt(self, what: str, release: Callable[[], object]) -> None:
        """Do it on the way out, where a failure is told in the log and stops nothing.

        Whoever closes can do nothing about it, and must not lose the error that he closes because of.
        """
        try:
            with self.doing(what):
                release()
        except Failure as failure:
            log.error("%s", failure)


START_AGAIN = (
    "start tremorscope again, and if that does not help, look for the GPU's driver in: sudo dmesg"
)
"""What to do about an error of the driver: the plan is not to blame."""
