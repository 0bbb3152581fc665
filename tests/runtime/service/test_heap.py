"""Memory of pictures goes back to the system, whatever lies behind it in the heap."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path

import numpy as np

from runtime.service.heap import keep_memory_flat


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


if sys.argv[1] == "flat":
    keep_memory_flat()
first = np.ones(1 << 20)
del first  # which raises the size from which memory is mapped
begun_mb = resident_mb()
pictures = [np.ones(1 << 20) for _ in range(10)]
stays = np.ones(1 << 13)
del pictures
print(resident_mb() - begun_mb)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(("how", "flat"), [("flat", True), ("as it comes", False)])
def test_memory_of_pictures_is_handed_back(how: str, flat: bool) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True
    )
    assert (float(answer.stdout) < 20) is flat


SERVICE = """
from runtime import assembly
from runtime.service import service


def assembled(*_, **__):
    print("begun")
    raise SystemExit


service.keep_memory_flat = lambda: print("flat, and ", end="", flush=True)
assembly.assembled = assembled
service.Service(None, None).run(None)
"""


def test_a_service_keeps_its_memory_flat_before_it_begins() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", SERVICE],
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout == "flat, and begun\n"
