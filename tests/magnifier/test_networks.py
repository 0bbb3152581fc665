"""The networks' geometry and growth."""

import pytest
import torch

from failure import Failure
from magnifier import networks
from magnifier.networks.blocks import multiply_in_bfloat16
from magnifier.networks.least_squares import GROUPS, _averaged, _pairs, _solved, _summed
from magnifier.networks.twofold import sampled_at


@pytest.mark.parametrize("name", ["twofold", "proposed"])
def test_the_encoder_is_linear(name: str) -> None:
    network = networks.build(name, blocks=1).double()
    a, b = torch.rand(2, 1, 3, 37, 50, dtype=torch.float64).unbind()
    of_a, of_b, of_difference, zero = (
        network.encode(frame).features for frame in (a, b, a - b, torch.zeros_like(a))
    )
    assert torch.allclose(of_a - of_b, of_difference - zero, atol=1e-12)


@pytest.mark.parametrize("name", list(networks.NETWORKS))
@pytest.mark.parametrize("size", [(32, 48), (33, 49), (35, 50), (34, 47)])
def test_every_size_comes_back_as_it_went_in(name: str, size: tuple[int, int]) -> None:
    network = networks.build(name, blocks=1)
    frame = torch.rand(1, 3, *size)
    output, _ = network(frame, frame, torch.ones(1, 1, 1, 1))
    assert output.shape == frame.shape
    stride = network.encoder_stride
    cells = [-(-side // stride) for side in size]
    assert list(network.encode(frame).features.shape) == [1, 32, *cells]


@pytest.mark.parametrize("name", list(networks.NETWORKS))
def test_at_gain_one_motion_adds_nothing(name: str) -> None:
    network = networks.build(name, blocks=1)
    reference, current = torch.rand(2, 1, 3, 32, 32).unbind()
    one = torch.ones(1, 1, 1, 1)
    moving, _ = network(reference, current, one)
    still, _ = network(current, current, one)
    assert torch.equal(moving, still)


def test_the_gain_changes_nothing_where_nothing_moves() -> None:
    network = networks.build("twofold", blocks=1)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    frame = torch.rand(1, 3, 32, 32)
    once, _ = network(frame, frame, torch.ones(1, 1, 1, 1))
    magnified, _ = network(frame, frame, torch.full((1, 1, 1, 1), 50.0))
    assert torch.equal(once, magnified)


def test_least_squares_find_the_motion_and_know_where_they_cannot() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 1, 32, 12, 14).unbind()
    y[..., :5] = 2 * x[..., :5]  # edges of one direction: only the motion across them shows
    change = 0.3 * x - 0.2 * y
    sums = torch.cat([_summed(a * b) for a, b in _pairs(x, y, change)], 1)
    motion, trust = _solved(_averaged(sums, 3))
    assert motion[:, :GROUPS, :, 7:].mean().item() == pytest.approx(0.3, rel=0.03)
    assert motion[:, GROUPS:, :, 7:].mean().item() == pytest.approx(-0.2, rel=0.03)
    strength, isotropy = trust.chunk(2, 1)
    assert strength.min() > 0.9
    assert isotropy[..., 7:].mean() > 0.8
    assert isotropy[..., :4].max() < 0.1


def test_bfloat16_is_close_and_leaves_float32() -> None:
    network = networks.build("proposed", blocks=3)
    frame = torch.rand(1, 3, 32, 32)
    gain = torch.full((1, 1, 1, 1), 5.0)
    exact, _ = network(frame, frame.flip(-1), gain)
    multiply_in_bfloat16(network, True)
    rough, _ = network(frame, frame.flip(-1), gain)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert torch.allclose(rough, exact, atol=0.05)
    multiply_in_bfloat16(network, False)
    assert torch.equal(network(frame, frame.flip(-1), gain)[0], exact)


def test_sampling_moves_the_picture_by_the_displacement() -> None:
    columns = torch.arange(40.0).expand(1, 3, 30, 40)
    displacement = torch.zeros(1, 2, 30, 40)
    displacement[:, 0] = 2.5
    moved = sampled_at(columns, displacement)
    # What stood at x - 2.5 now stands at x: to the right.
    assert torch.allclose(moved[..., 4:], columns[..., 4:] - 2.5, atol=1e-4)


def test_deepening_keeps_the_function() -> None:
    shallow = networks.build("twofold", blocks=2)
    for parameter in shallow.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    deep = networks.deepened(networks.build("twofold", blocks=5), shallow.state_dict())
    reference, current = torch.rand(2, 1, 3, 32, 32).unbind()
    gain = torch.full((1, 1, 1, 1), 7.0)
    assert networks.depth(deep.state_dict()) == 5
    assert torch.equal(shallow(reference, current, gain)[0], deep(reference, current, gain)[0])


def test_an_unknown_network_is_told_with_the_known_ones() -> None:
    with pytest.raises(Failure, match="twofold, proposed, baseline"):
        networks.build("resnet")
