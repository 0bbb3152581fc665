"""The exported graph: the same picture as torch, in a form that TensorRT takes."""

from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from released_graphs import traced_once as traced_once

from export import onnx_graph
from export.artifact import checked, sidecar_path
from export.streaming import StreamingMagnifier
from failure import Failure
from magnifier import networks, weights

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture(scope="module", params=["twofold", "proposed", "baseline"])
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a shallow network whose last layers move and change something."""
    torch.manual_seed(1)
    network = networks.build(request.param, blocks=2)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    weights.save(path, network.state_dict(), {"network": request.param})
    return path


def test_graph_and_torch_agree_for_fifty_frames(stored: Path, tmp_path: Path) -> None:
    told: list[None] = []
    path, sidecar = onnx_graph.export(stored, tmp_path, None, tell=lambda: told.append(None))
    assert sidecar.parity is not None
    assert sidecar.parity.frames == len(told) == 50
    assert sidecar.parity.largest_difference <= 1
    assert sidecar.parity.mean_difference < 0.01
    off_px = sidecar.parity.largest_displacement_difference_px
    if networks.NETWORKS[sidecar.network].displaces:
        assert off_px is not None
        assert off_px < 0.05
    else:
        assert off_px is None
    assert checked(path) == sidecar
    session_sizes = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert all(not side.dim_value for side in session_sizes[:2])


def test_a_graph_of_one_size_is_what_tensorrt_takes(stored: Path, tmp_path: Path) -> None:
    path, sidecar = onnx_graph.export(stored, tmp_path, (67, 46))
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert sidecar.size_px == (67, 46)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [19]
    nodes = model.graph.node
    assert [node.op_type for node in nodes if "frame" in node.input] == ["Cast"]
    assert [node.op_type for node in nodes if "magnified" in node.output] == ["Cast"]
    types = {node.op_type for node in nodes}
    assert not types & {"Shape", "If", "Loop", "Range", "ConstantOfShape"}
    # Resize by constant scales (third input), never by sizes (fourth).
    for node in nodes:
        if node.op_type == "Resize":
            assert node.input[2]
            assert len(node.input) == 3
    byte = onnx.TensorProto.UINT8
    assert model.graph.input[0].type.tensor_type.elem_type == byte
    assert model.graph.output[0].type.tensor_type.elem_type == byte


def test_a_size_below_the_smallest_is_refused(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="too small"):
        onnx_graph.export(stored, tmp_path, (12, 200))


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(["twofold", "proposed"]),
    fast=st.floats(0.01, 1),
    slow=st.floats(0.01, 1),
)
def test_filtering_pixels_equals_filtering_features(name: str, fast: float, slow: float) -> None:
    streaming = StreamingMagnifier(networks.build(name, blocks=1)).double()

    def encode(frame: torch.Tensor) -> torch.Tensor:
        return streaming.network.encode(frame).features

    frames = torch.rand(6, 1, 3, 21, 30, dtype=torch.float64)
    nothing = encode(torch.zeros_like(frames[0]))
    pixels = [frames[0].clone(), frames[0].clone()]
    features = [encode(frames[0]), encode(frames[0])]
    for frame in frames[1:]:
        code = encode(frame)
        pixels[0] = pixels[0] + fast * (frame - pixels[0])
        features[0] = features[0] + fast * (code - features[0])
        of_pixels = encode(pixels[0] - pixels[1]) - nothing
        assert torch.allclose(of_pixels, features[0] - features[1], atol=1e-10)
        pixels[1] = pixels[1] + slow * (frame - pixels[1])
        features[1] = features[1] + slow * (code - features[1])


def test_a_graph_without_its_true_sidecar_is_not_loaded(stored: Path, tmp_path: Path) -> None:
    path, _ = onnx_graph.export(stored, tmp_path, (32, 32))
    with pytest.raises(Failure, match="no such graph"):
        checked(tmp_path / "other.onnx")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Failure, match="SHA-256"):
        checked(path)
    sidecar_path(path).write_text("{}")
    with pytest.raises(Failure, match="not a sidecar"):
        checked(path)
    sidecar_path(path).unlink()
    with pytest.raises(Failure, match="no sidecar"):
        checked(path)
