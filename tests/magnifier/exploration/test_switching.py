"""Learning to remove parts: the switch, its loss, and the rebuilt network."""

import pytest
import torch
from torch import Tensor, nn

from magnifier.arithmetic import cost
from magnifier.exploration import switching
from magnifier.networks.baseline import Baseline


def output(network: Baseline) -> Tensor:
    torch.manual_seed(3)
    a, b = torch.rand(2, 1, 3, 32, 40).unbind()
    with torch.inference_mode():
        picture: Tensor = network(a, b, torch.full((1, 1, 1, 1), 4.0))[0]
    return picture


@pytest.mark.parametrize(
    ("module", "kind", "count"),
    [
        ("encoder", "relu", 11),
        ("encoder", "block", 7),
        ("manipulator", "relu", 2),
        ("manipulator", "block", 1),
        ("decoder", "relu", 9),
        ("decoder", "block", 9),
    ],
)
def test_every_part_of_a_module_gets_a_switch(
    module: str, kind: switching.Kind, count: int
) -> None:
    network = Baseline()
    before = output(network)
    assert switching.add_switches(network.get_submodule(module), kind, start=0.0) == count
    assert torch.allclose(output(network), before, atol=1e-6)


def test_a_switch_leads_from_the_part_to_nothing() -> None:
    x = torch.tensor([-2.0, 3.0])
    for w, expected in ((0.0, [0.0, 3.0]), (0.25, [-0.5, 3.0]), (1.0, [-2.0, 3.0])):
        assert switching.Switch(nn.ReLU(), w)(x).tolist() == pytest.approx(expected)


def test_the_loss_is_one_with_all_parts_and_zero_without_any() -> None:
    module = nn.Sequential(nn.ReLU(), nn.ReLU())
    switching.add_switches(module, "relu", start=0.0)
    assert switching.removal_loss(module, power=1.0).item() == pytest.approx(1, abs=2e-3)
    for switch, w in zip(switching.switches(module).values(), (1.0, 0.25), strict=True):
        switch.w.data.fill_(w)
    # (1 - 1 + 1 - sqrt(1/4)) / 2
    assert switching.removal_loss(module, power=0.5).item() == pytest.approx(0.25)


def test_a_switch_that_costs_nothing_is_learned_away() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.ReLU(), nn.Linear(4, 4))
    switching.add_switches(module, "relu", start=0.1)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(100):
        # Inputs that are never negative: the ReLU does nothing.
        error = (module(torch.rand(8, 4)) - 1).square().mean()
        optimiser.zero_grad()
        (error + 0.1 * switching.removal_loss(module, 1.0)).backward()
        optimiser.step()
        switching.clamp_switches(module)
    switching.decide(module)
    assert switching.without_removed(module) == 1
    assert isinstance(module[0], nn.Identity)


def test_the_rebuilt_network_gives_the_same_picture_for_less() -> None:
    network = Baseline()
    switching.add_switches(network.encoder, "block", start=0.1)
    for place, switch in enumerate(switching.switches(network.encoder).values()):
        switch.w.data.fill_(0.9 if place % 2 else 0.2)
    switching.decide(network)
    before = output(network)
    assert switching.without_removed(network) == 3
    assert not switching.switches(network)
    assert torch.equal(output(network), before)
    assert cost(network, 64, 64).parameters < cost(Baseline(), 64, 64).parameters


def test_an_undecided_switch_is_not_rebuilt() -> None:
    module = nn.Sequential(nn.ReLU())
    switching.add_switches(module, "relu", start=0.4)
    with pytest.raises(ValueError, match="decide first"):
        switching.without_removed(module)
