"""The device that a plan is built on, and bound to: GPU, CUDA, board, and the memory that is free."""

import re
from dataclasses import dataclass
from pathlib import Path

from failure import Failure


@dataclass(frozen=True, slots=True)
class Device:
    """``board`` is None where no device tree names one. Memory is what a build could take now."""

    gpu: str
    compute_capability: tuple[int, int]
    cuda_version: str
    board: str | None
    free_memory_bytes: int


def this_device() -> Device:
    """The first GPU of this machine. Raises Failure where pycuda, CUDA or a GPU is missing."""
    try:
        import pycuda.driver as cuda
    except ImportError as error:
        raise Failure(
            f"pycuda cannot be imported ({error}); it compiles on the board and needs nvcc for that: "
            "export PATH=/usr/local/cuda/bin:$PATH, then pip install 'tremorscope[jetson]'"
        ) from error
    try:
        cuda.init()
        gpu = cuda.Device(0)
        context = gpu.retain_primary_context()
        context.push()
        try:
            free_bytes, _ = cuda.mem_get_info()
        finally:
            context.pop()
        shares_memory = gpu.get_attribute(cuda.device_attribute.INTEGRATED)
        driver = cuda.get_driver_version()
        return Device(
            gpu=gpu.name(),
            compute_capability=gpu.compute_capability(),
            cuda_version=f"{driver // 1000}.{driver % 1000 // 10}",
            board=board(Path("/")),
            free_memory_bytes=available_memory_bytes(Path("/")) if shares_memory else free_bytes,
        )
    except cuda.Error as error:
        raise Failure(
            f"CUDA finds no GPU that it can use ({error}); an engine is built on the board that runs "
            "it: check with nvidia-smi, and that this user is in the groups video and render"
        ) from error


def board(root: Path) -> str | None:
    """As the device tree names it, with its Jetson Linux release where there is one."""
    try:
        name = (root / "proc/device-tree/model").read_text().rstrip("\0\n")
    except OSError:
        return None
    try:
        release = (root / "etc/nv_tegra_release").read_text()
    except OSError:
        return name
    found = re.search(r"# R(\d+) .*REVISION: ([\d.]+)", release)
    return f"{name}, Jetson Linux {found[1]}.{found[2]}" if found else name


def available_memory_bytes(root: Path) -> int:
    """What processor and GPU share on a Jetson; CUDA's figure leaves out caches that would yield."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", (root / "proc/meminfo").read_text())
    assert found is not None  # in every Linux since 3.14
    return int(found[1]) * 1024
