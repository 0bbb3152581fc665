"""The poster's arithmetic, at 384x384."""

import pytest
from torch import nn

from magnifier import networks
from magnifier.arithmetic import cost
from magnifier.networks import Magnifier
from magnifier.networks.baseline import Baseline


def giga(network: Magnifier) -> float:
    return cost(network, 384, 384).multiply_accumulates / 1e9


def without_blocks(network: Baseline, module: nn.Module, kept: int = 0) -> Baseline:
    from magnifier.networks.blocks import ResidualBlock

    found = [
        (parent, name)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, ResidualBlock)
    ]
    for parent, name in found[kept:]:
        setattr(parent, name, nn.Identity())
    return network


def test_the_baseline_is_the_published_one() -> None:
    network = Baseline()
    assert giga(network) == pytest.approx(41.20, rel=0.01)
    assert cost(network, 384, 384).parameters == 966_979


def test_each_row_of_the_first_table_costs_what_the_poster_says() -> None:
    network = Baseline()
    assert giga(without_blocks(network, network.encoder)) == pytest.approx(37.46, rel=0.01)
    network = Baseline()
    assert giga(without_blocks(network, network.manipulator)) == pytest.approx(40.52, rel=0.01)
    network = Baseline()
    assert giga(without_blocks(network, network.decoder, kept=3)) == pytest.approx(24.89, rel=0.01)


@pytest.mark.parametrize(("blocks", "channels"), [(36, 32), (144, 16)])
def test_depth_for_channels_costs_the_same(blocks: int, channels: int) -> None:
    assert giga(Baseline(blocks, channels)) == pytest.approx(41.20, rel=0.01)


@pytest.mark.parametrize(("name", "published"), [("proposed", 9.79), ("twofold", 5.01)])
def test_the_networks_that_ship_cost_a_fraction(name: str, published: float) -> None:
    network = networks.build(name)
    assert giga(network) == pytest.approx(published, rel=0.01)
    assert giga(Baseline()) / giga(network) > 4.2


def test_bytes_count_every_tensor_that_a_convolution_touches() -> None:
    class One(Magnifier):
        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Conv2d(3, 5, 3, padding=1)

        def encode(self, frame):  # type: ignore[no-untyped-def]
            return networks.Encoded(frame, frame)

        def magnify(self, current, *_):  # type: ignore[no-untyped-def]
            return self.only(current.frame), None

    found = cost(One(), 8, 6)
    assert found.multiply_accumulates == 8 * 6 * 27 * 5
    assert found.moved_bytes == 2 * (3 * 48 + 27 * 5 + 5 * 48)
