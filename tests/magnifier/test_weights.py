"""Weights are data: read as such, refused when they are anything else."""

from pathlib import Path

import pytest
import torch

from failure import Failure
from magnifier import networks, weights


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    network = networks.build("twofold", blocks=1)
    weights.save(tmp_path / "w.safetensors", network.state_dict(), {"network": "twofold"})
    loaded = weights.load_network(tmp_path / "w.safetensors")
    for key, value in network.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key])


def test_a_pickle_and_a_cut_file_are_refused(tmp_path: Path) -> None:
    network = networks.build("twofold", blocks=1)
    pickled, cut = tmp_path / "w.pt", tmp_path / "cut.safetensors"
    torch.save(network.state_dict(), pickled)
    weights.save(cut, network.state_dict(), {"network": "twofold"})
    cut.write_bytes(cut.read_bytes()[:-100])
    for path in (pickled, cut):
        with pytest.raises(Failure, match=path.name):
            weights.load_network(path)


def test_a_missing_file_another_network_and_unreleased_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no such file"):
        weights.load_network(tmp_path / "none.safetensors")
    other = networks.build("proposed", blocks=1)
    weights.save(tmp_path / "w.safetensors", other.state_dict(), {"network": "twofold"})
    with pytest.raises(Failure, match="not those of the network"):
        weights.load_network(tmp_path / "w.safetensors")
    with pytest.raises(Failure, match="train it first"):
        weights.released("nothing")
