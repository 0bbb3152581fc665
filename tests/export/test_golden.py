"""Golden pictures: of every weights and size that are exported, made by torch, and carried along."""

from pathlib import Path

import numpy as np
import pytest
import torch
from released_graphs import traced_once as traced_once

from export import golden, onnx_graph
from export.artifact import checked
from failure import Failure
from magnifier import networks, weights
from runtime.engine.onnx_runtime import OnnxRuntimeEngine
from runtime.engine.trial import Effort, tried

pytestmark = pytest.mark.usefixtures("traced_once")
QUICK = Effort(warm_up_s=0, frames=1)


def stored(folder: Path, seed: int, name: str = "twofold") -> Path:
    """Weights of a shallow network whose last layers move and change something."""
    torch.manual_seed(seed)
    network = networks.build(name, blocks=2)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    path = folder / f"{name}-{seed}.safetensors"
    weights.save(path, network.state_dict(), {"network": name})
    return path


@pytest.mark.parametrize("name", ["twofold", "proposed", "baseline"])
@pytest.mark.parametrize("size_px", [(67, 46), None])
def test_every_exported_graph_can_be_held_against_pictures_of_its_own(
    tmp_path: Path, name: str, size_px: tuple[int, int] | None
) -> None:
    graph, sidecar = onnx_graph.export(stored(tmp_path, 1, name), tmp_path, size_px)
    pictures = golden.load(golden.golden_path(tmp_path, sidecar))
    assert pictures[0][0].shape[:2] == (size_px or onnx_graph.GOLDEN_PX)[::-1]
    found = tried(OnnxRuntimeEngine(graph, threads=1), name, "fp32", pictures, QUICK)
    assert found.holds
    assert found.largest_difference <= 1


def test_precisions_share_pictures_and_other_weights_do_not(tmp_path: Path) -> None:
    graph, full = onnx_graph.export(stored(tmp_path, 1), tmp_path, (64, 48))
    _, half = onnx_graph.export(stored(tmp_path, 1), tmp_path, (64, 48), "fp16")
    path = golden.golden_path(tmp_path, full)
    assert golden.golden_path(tmp_path, half) == path
    _, other = onnx_graph.export(stored(tmp_path, 2), tmp_path, (64, 48), "fp16")
    others = golden.golden_path(tmp_path, other)
    assert others != path
    assert {path, others} == set(tmp_path.glob("*.golden.png"))
    assert checked(graph) == full
    engine = OnnxRuntimeEngine(graph, threads=1)
    assert tried(engine, "", "fp32", golden.load(path), QUICK).holds
    assert not tried(engine, "", "fp32", golden.load(others), QUICK).holds


@pytest.mark.parametrize("size_px", [(192, 128), (640, 360), (1280, 720)])
def test_the_motion_is_as_large_at_any_size(size_px: tuple[int, int]) -> None:
    frames = onnx_graph.moving_texture(size_px, golden.FRAMES)
    grey = [frame.astype(np.float32).mean(2) for frame in frames]
    slopes = np.stack([part.ravel() for part in np.gradient((grey[0] + grey[2]) / 2)], axis=1)
    (down_px, right_px), *_ = np.linalg.lstsq(slopes, (grey[0] - grey[2]).ravel(), rcond=None)
    assert right_px == pytest.approx(0.5 * np.sin(1.4), abs=0.1)
    assert down_px == pytest.approx(0, abs=0.1)


def test_pictures_are_carried_to_where_the_engine_is(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    frames = [random.integers(0, 255, (16, 24, 3), np.uint8) for _ in range(golden.FRAMES)]
    source, target = tmp_path / "a.golden.png", tmp_path / "engines" / "a.golden.png"
    assert not golden.carry(source, target)
    golden.store(source, frames, frames[::-1])
    assert golden.carry(source, source)
    assert golden.carry(source, target)
    found, expected = golden.load(target)
    np.testing.assert_array_equal(found, frames)
    np.testing.assert_array_equal(expected, frames[::-1])


def test_pictures_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    frames = [np.zeros((16, 24, 3), np.uint8)] * golden.FRAMES
    with pytest.raises(Failure, match="cannot be written"):
        golden.store(tmp_path / "file" / "a.golden.png", frames, frames)
