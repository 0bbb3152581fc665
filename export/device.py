"""The device that a plan is built on, and bound to: GPU, CUDA, board, and the memory that is free."""

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from machine import board
from nvidia_gpu import GpuContext, installed_pycuda


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
    with closing(GpuContext(installed_pycuda(), "tremorscope build")) as gpu:
        with gpu.current(), gpu.doing("ask how much memory is free"):
            free_bytes, _ = gpu.driver.mem_get_info()
        return Device(
            gpu=gpu.name,
            compute_capability=gpu.compute_capability,
            cuda_version=gpu.cuda_version,
            board=board(Path("/")),
            free_memory_bytes=(
                available_memory_bytes(Path("/")) if gpu.shares_memory else free_bytes
            ),
        )


def available_memory_bytes(root: Path) -> int:
    """What processor and GPU share on a Jetson; CUDA's figure leaves out caches that would yield."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", (root / "proc/meminfo").read_text())
    assert found is not None  # in every Linux since 3.14
    return int(found[1]) * 1024
