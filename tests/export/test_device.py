"""What a build asks of the machine, where there is a GPU and where there is none."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fake_builders import jetpack_6
from test_engine_builder import add_graph
from typer.testing import CliRunner

from export import device
from export.commands import app
from failure import Failure


class CudaError(Exception):
    pass


def pycuda(*, integrated: bool = False, broken: bool = False) -> ModuleType:
    """Of a machine with one GPU of which 4 GB are free, or whose driver does not start."""
    pushed: list[bool] = []

    class Gpu:
        def __init__(self, number: int) -> None:
            assert number == 0

        def retain_primary_context(self) -> Any:
            return SimpleNamespace(push=lambda: pushed.append(True), pop=pushed.pop)

        def name(self) -> str:
            return "Orin"

        def compute_capability(self) -> tuple[int, int]:
            return 8, 7

        def get_attribute(self, attribute: str) -> int:
            assert attribute == "INTEGRATED"
            return int(integrated)

    def init() -> None:
        if broken:
            raise CudaError("cuInit failed: no CUDA-capable device is detected")

    def mem_get_info() -> tuple[int, int]:
        assert pushed  # the driver refuses without a context
        return 4_000_000_000, 8_000_000_000

    module = ModuleType("pycuda.driver")
    module.__dict__.update(
        Error=CudaError,
        Device=Gpu,
        device_attribute=SimpleNamespace(INTEGRATED="INTEGRATED"),
        init=init,
        mem_get_info=mem_get_info,
        get_driver_version=lambda: 12060,
    )
    return module


def install(monkeypatch: pytest.MonkeyPatch, driver: ModuleType | None) -> None:
    package = ModuleType("pycuda")
    package.__dict__["driver"] = driver
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)


def test_a_gpu_with_memory_of_its_own_tells_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, pycuda())
    found = device.this_device()
    assert (found.gpu, found.compute_capability, found.cuda_version) == ("Orin", (8, 7), "12.6")
    assert found.free_memory_bytes == 4_000_000_000


def test_a_gpu_that_shares_memory_can_take_what_linux_can_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, pycuda(integrated=True))
    available = device.available_memory_bytes(Path("/"))
    assert device.this_device().free_memory_bytes == pytest.approx(available, rel=0.2)


def test_what_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    with pytest.raises(Failure, match=r"pycuda cannot be imported.*needs nvcc"):
        device.this_device()
    install(monkeypatch, pycuda(broken=True))
    with pytest.raises(Failure, match=r"no GPU.*no CUDA-capable device is detected"):
        device.this_device()


def test_a_board_is_named_with_its_release(tmp_path: Path) -> None:
    assert device.board(tmp_path) is None
    for folder in ("proc/device-tree", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano\0")
    assert device.board(tmp_path) == "NVIDIA Jetson Orin Nano"
    (tmp_path / "etc/nv_tegra_release").write_text(
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
    )
    assert device.board(tmp_path) == "NVIDIA Jetson Orin Nano, Jetson Linux 36.4.3"
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable:    5000 kB\n")
    assert device.available_memory_bytes(tmp_path) == 5_120_000


def test_the_command_builds_and_says_what_it_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, pycuda())
    monkeypatch.setitem(sys.modules, "tensorrt", jetpack_6())
    add_graph(tmp_path / "graphs", "fp16", b"graph")
    places = ["--graphs", str(tmp_path / "graphs"), "--out", str(tmp_path / "engines")]
    command = ["build", *places, "--size", "64x36"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    path = tmp_path / "engines" / "twofold-64x36-fp16.engine"
    assert f"{path}: fp16 for Orin, 0.0 MB, built in 0 s. Convolutions: 1 in fp16." in done.output
    done = CliRunner().invoke(app, [*command, "--precision", "fp8"])
    assert str(done.exception) == "--precision fp8: choose from: fp32, fp16, int8"
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    done = CliRunner().invoke(app, command)
    assert "comes with JetPack 6.1 or newer" in str(done.exception)
