"""What a build asks of the machine, where there is a GPU and where there is none."""

import sys
from pathlib import Path

import pytest
from fake_builders import jetpack_6
from fake_cuda import FakeGpu, install_pycuda
from test_engine_builder import add_graph
from typer.testing import CliRunner

from export import device
from export.commands import app
from failure import Failure
from machine import board


def test_a_gpu_with_memory_of_its_own_tells_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(integrated=False)
    install_pycuda(monkeypatch, gpu)
    found = device.this_device()
    assert (found.gpu, found.compute_capability, found.cuda_version) == ("Orin", (8, 7), "12.6")
    assert found.free_memory_bytes == 4_000_000_000
    gpu.check()


def test_a_gpu_that_shares_memory_can_take_what_linux_can_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_pycuda(monkeypatch, FakeGpu(integrated=True))
    available = device.available_memory_bytes(Path("/"))
    assert device.this_device().free_memory_bytes == pytest.approx(available, rel=0.2)


def test_what_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu()
    gpu.fails_at = 0
    install_pycuda(monkeypatch, gpu)
    with pytest.raises(Failure, match=r"tremorscope build: CUDA finds no GPU.*groups video"):
        device.this_device()
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(Failure, match=r"pycuda, which TensorRT needs here, is not installed.*nvcc"):
        device.this_device()


def test_a_board_is_named_with_its_release(tmp_path: Path) -> None:
    assert board(tmp_path) is None
    for folder in ("proc/device-tree", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano\0")
    assert board(tmp_path) == "NVIDIA Jetson Orin Nano"
    (tmp_path / "etc/nv_tegra_release").write_text(
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
    )
    assert board(tmp_path) == "NVIDIA Jetson Orin Nano, Jetson Linux 36.4.3"
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable:    5000 kB\n")
    assert device.available_memory_bytes(tmp_path) == 5_120_000


def test_the_command_builds_and_says_what_it_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_pycuda(monkeypatch, FakeGpu())
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
