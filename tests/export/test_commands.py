"""The commands of a workstation, as a user types them: from a camera's frames to an eight-bit graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from released_graphs import traced_once as traced_once
from typer.testing import CliRunner

from benchmarks.clips import Scene, render, sine
from calibration import ranges
from calibration.collection import Collector
from calibration.frames import begun
from export.artifact import checked
from export.commands import app
from export.graph_session import Run
from export.quantize import digest
from magnifier import networks, weights

pytestmark = pytest.mark.usefixtures("traced_once")
RATE_HZ = 30.0


def said(*words: str | Path) -> str:
    """What a command prints; what it fails with is raised here."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def camera_frames(folder: Path) -> Path:
    """As ``tremorscope capture`` leaves them: eight runs of a structure that sways."""
    sway_px = sine(64, RATE_HZ, 5.0, 0.3)
    with begun(folder) as scratch:
        collector = Collector(scratch, runs=8, frames_per_run=8)
        for frame in render(Scene(96, 64), sway_px, np.zeros_like(sway_px), rate_hz=RATE_HZ):
            collector.add(frame.t_capture_ns, frame.image)
        collector.finish("a camera")
    return folder


def test_a_cameras_frames_give_the_scales_of_an_eight_bit_graph(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = networks.build("twofold", blocks=1)
    stored = tmp_path / "w.safetensors"
    weights.save(stored, network.state_dict(), {"network": "twofold"})
    frames, out = camera_frames(tmp_path / "frames"), tmp_path / "ranges"
    quantize = "quantize", "--frames", frames, "--weights", stored, "--out", out
    assert "2 of 2 deep layers in eight bits; SSIM " in said(*quantize)
    measured = ranges.read(out / "twofold.ranges.json")
    assert measured.source == "8 runs of a camera, gain 20"
    assert "Frames: 8 runs of a camera, gain 20; " in (out / "twofold-int8.md").read_text()
    assert "left as it is" in said(*quantize)
    assert "left as it is" in said(*quantize, "--gain", "20")
    graphs = tmp_path / "graphs"
    told = said(
        *("export", "--weights", stored, "--out", graphs, "--size", "96x64", "--precision", "int8"),
        *("--ranges", out / "twofold.ranges.json"),
    )
    graph = graphs / "twofold-96x64-int8.onnx"
    assert f"{graph}: within " in told
    assert told.endswith("over 50 frames\n")
    assert checked(graph).frames_sha256 == measured.frames_sha256


def test_another_gain_is_another_calibration() -> None:
    frames = [np.zeros((8, 8, 3), np.uint8)] * 2
    assert digest([Run(frames, 20.0)]) == digest([Run(frames, 20.0)])
    assert digest([Run(frames, 20.0)]) != digest([Run(frames, 5.0)])


def test_a_plan_is_an_estimate_for_the_board_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    told = said("plan", "--board", "Orin NX 16GB", "--size", "1920x1080")
    assert "twofold at 1920x1080: an ESTIMATE from data sheets, no measurement." in told
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.splitlines()]
    rows = {row[0]: row[1:] for row in cells if row}
    assert list(rows) == ["filter", "encoder", "manipulator", "decoder", "head", "Orin NX 16GB"]
    assert rows["decoder"] == ["57.33", "1594", "797", "598"]  # GMAC, MB in each precision
    fp32, fp16, int8 = map(int, rows["Orin NX 16GB"])
    assert fp32 < fp16 < int8
