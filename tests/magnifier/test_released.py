"""What is released fits this version, and each other."""

from pathlib import Path

import pytest

from export.artifact import checked, sha256
from magnifier import weights

RELEASED = sorted(weights.RELEASED.glob("*.safetensors"))


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_released_weights_load_and_have_a_card(path: Path) -> None:
    network = weights.load_network(path)
    assert path.stem == network.name
    card = path.with_suffix(".md").read_text()
    assert f"`{network.name}`" in card
    assert f"| {weights.trained_steps(weights.read(path)[1])} of " in card


def test_the_shipped_graph_is_of_the_released_weights() -> None:
    graph = weights.RELEASED.parents[1] / "export/released/twofold.onnx"
    assert checked(graph).weights_sha256 == sha256(weights.released("twofold"))
