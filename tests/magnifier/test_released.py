"""What is released fits this version, and was made from the weights that are released with it.

After new weights, `make release` makes all of it again.
"""

from pathlib import Path

import pytest
from PIL import Image

from benchmarks import precisions
from calibration import ranges
from calibration.ranges import RECIPE
from export import golden
from export.artifact import checked, sha256
from export.commands import released_ranges
from magnifier import weights
from runtime.engine.onnx_runtime import SHIPPED

ROOT = weights.RELEASED.parents[1]
RELEASED = sorted(weights.RELEASED.glob("*.safetensors"))
every_network = pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)


@every_network
def test_released_weights_load_and_have_a_card(path: Path) -> None:
    network = weights.load_network(path)
    assert path.stem == network.name
    card = path.with_suffix(".md").read_text()
    assert f"`{network.name}`" in card
    assert f"| {weights.trained_steps(weights.read(path)[1])} of " in card
    assert f"| weights | SHA-256 {weights.digest(path)}... |" in card


@every_network
def test_scales_of_eight_bits_and_their_page_are_of_the_released_weights(path: Path) -> None:
    found = ranges.read(released_ranges(path.stem))
    assert (found.network, found.weights_sha256) == (path.stem, sha256(path))
    assert found.ranges_version == RECIPE
    page = released_ranges(path.stem).with_name(f"{path.stem}-int8.md").read_text()
    assert f"Weights {found.weights_sha256[:12]}, frames {found.frames_sha256[:12]}." in page
    for layer, reach in found.reaches.items():
        assert f"| {layer} | {reach:.3g} |" in page


def test_the_shipped_graph_and_its_golden_pictures_are_of_the_released_weights() -> None:
    sidecar = checked(SHIPPED)
    assert sidecar.weights_sha256 == sha256(weights.released("twofold"))
    assert list(SHIPPED.parent.glob("*.golden.png")) == [
        golden.golden_path(SHIPPED.parent, sidecar)
    ]
    assert golden.load(golden.golden_path(SHIPPED.parent, sidecar))


@pytest.mark.parametrize("page", [ROOT / "magnifier/RESULTS.md", precisions.PAGE])
@every_network
def test_published_results_are_of_the_released_weights(path: Path, page: Path) -> None:
    assert weights.digest(path) in page.read_text()


def test_the_picture_of_the_readme_is_of_the_released_weights() -> None:
    with Image.open(ROOT / "docs/raw-and-magnified.png") as picture:
        assert picture.info["weights"] == sha256(weights.released("twofold"))
