"""``tremorscope quantize``: from frames to ranges to an eight-bit graph with its sidecar."""

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from released_graphs import traced_once as traced_once

from calibration import ranges
from export.onnx_graph import export, moving_texture
from export.quantize import WINDOW_PX, quantize, where_most_moves
from failure import Failure
from magnifier import networks, weights
from magnifier.networks.quantised import fitting

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    network = networks.build("twofold", blocks=1)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    weights.save(path, network.state_dict(), {"network": "twofold"})
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes_in(tmp_path_factory.mktemp("scenes"), 16)


def scenes_in(folder: Path, count: int) -> Path:
    with (folder / "scenes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "gain"), *((number, 8) for number in range(count))])
    for number in range(count):
        for part, picture in zip("aby", moving_texture((64, 48), 3), strict=True):
            cv2.imwrite(str(folder / f"{number}_{part}.png"), picture)
    return folder


def quantized(stored: Path, out: Path, scenes: Path, told: list[str] | None = None) -> str:
    steps: list[str] = [] if told is None else told
    return quantize(
        stored, out, frames=None, gain=None, scenes=scenes, command="quantize", tell=steps.append
    )


def test_ranges_make_a_graph_that_shows_what_torch_shows(
    stored: Path, scenes: Path, tmp_path: Path
) -> None:
    said = quantized(stored, tmp_path, scenes)
    assert "2 of 2 deep layers in eight bits" in said
    measured = ranges.read(tmp_path / "twofold.ranges.json")
    assert set(measured.reaches) == {"decoder.0.first", "decoder.0.second"}
    page = (tmp_path / "twofold-int8.md").read_text()
    assert "| decoder.0.second |" in page
    assert (tmp_path / "twofold-int8.svg").is_file()
    path, sidecar = export(stored, tmp_path, (64, 48), "int8", measured)
    assert path.name == "twofold-64x48-int8.onnx"
    assert sidecar.frames_sha256 == measured.frames_sha256
    assert sidecar.parity is not None
    assert sidecar.parity.ssim > 0.99


def test_the_same_weights_and_frames_are_measured_once(
    stored: Path, scenes: Path, tmp_path: Path
) -> None:
    quantized(stored, tmp_path, scenes)
    told: list[str] = []
    assert "left as it is" in quantized(stored, tmp_path, scenes, told)
    assert told == []
    (tmp_path / "twofold-int8.md").unlink()
    assert "left as it is" not in quantized(stored, tmp_path, scenes)
    (tmp_path / "twofold.ranges.json").write_text("{")  # damaged: measured anew
    assert "left as it is" not in quantized(stored, tmp_path, scenes)
    others = scenes_in(tmp_path, 17)
    assert "left as it is" not in quantized(stored, tmp_path, others, told)
    assert told


def test_ranges_of_other_weights_are_refused(stored: Path, scenes: Path, tmp_path: Path) -> None:
    quantized(stored, tmp_path, scenes)
    tensors, facts = weights.read(stored)
    other = tmp_path / "other.safetensors"
    weights.save(other, {name: 1.01 * tensor for name, tensor in tensors.items()}, facts)
    measured = ranges.read(tmp_path / "twofold.ranges.json")
    with pytest.raises(Failure, match="measured with the weights"):
        export(other, tmp_path, (64, 48), "int8", measured)
    with pytest.raises(Failure, match="eight bits need measured ranges"):
        export(stored, tmp_path, (64, 48), "int8")


def test_a_network_fine_tuned_in_eight_bits_keeps_its_rounded_stream(
    stored: Path, tmp_path: Path
) -> None:
    network = networks.quantised(weights.load_network(stored))
    frames = torch.rand(2, 1, 3, 48, 64) * 2 - 1
    with fitting(network):
        network(frames[0], frames[1], torch.full((1, 1, 1, 1), 20.0))
    path = tmp_path / "eight.safetensors"
    weights.save(path, network.state_dict(), {"network": "twofold", "quantised": "yes"})
    written, sidecar = export(path, tmp_path, (64, 48), "int8")
    assert sidecar.parity is not None
    assert sidecar.parity.ssim > 0.999  # torch rounds as the graph does, but for its half precision
    nodes = onnx.load(written).graph.node
    sums = [node for node in nodes if node.op_type == "Add"]
    assert sum("decoder.0.first.input_coarse" in node.input for node in sums) == 1
    with pytest.raises(Failure, match="was fine-tuned for eight bits"):
        export(path, tmp_path, (64, 48))


def test_without_frames_and_with_too_few_it_is_refused(stored: Path, tmp_path: Path) -> None:
    def refused(**settings: Any) -> str:
        usual = {"frames": None, "gain": None, "scenes": None, "command": "", "tell": print}
        with pytest.raises(Failure) as failure:
            quantize(stored, tmp_path, **(usual | settings))
        return str(failure.value)

    assert "random data is never used" in refused()
    few = scenes_in(tmp_path, 15)
    assert "holds 15 runs with 30 frames; needed are 4 runs and 32 frames" in refused(scenes=few)
    assert "every one of --scenes has its own" in refused(scenes=few, gain=20)
    assert "is no folder of calibration frames" in refused(frames=tmp_path)


def test_fine_tuned_weights_hold_their_scales_already(
    stored: Path, scenes: Path, tmp_path: Path
) -> None:
    tensors, _ = weights.read(stored)
    path = tmp_path / "eight.safetensors"
    weights.save(path, tensors, {"network": "twofold", "quantised": "yes"})
    with pytest.raises(Failure, match="was fine-tuned for eight bits and holds its scales"):
        quantized(path, tmp_path, scenes)


def test_of_large_pictures_the_part_is_used_where_most_moves() -> None:
    width, height = WINDOW_PX
    still = np.zeros((height + 200, width + 300, 3), np.uint8)
    moved = still.copy()
    moved[150:170, 900:930] = 255
    first, second = where_most_moves([still, moved])
    assert first.shape == second.shape == (height, width, 3)
    assert np.count_nonzero(second) == 20 * 30 * 3
    [small, _] = where_most_moves([still[:50, :60], moved[:50, :60]])
    assert small.shape == (50, 60, 3)


@pytest.mark.parametrize("content", ["", "{}", '{"network": 3}'])
def test_a_damaged_file_of_ranges_is_told(content: str, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no such file of ranges"):
        ranges.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(Failure, match="not a file of ranges"):
        ranges.read(tmp_path / "bad.json")
