"""What the losses reward."""

from dataclasses import replace

import torch
from torch import Tensor

from magnifier import networks
from magnifier.losses import displacement_loss, separation_loss, task_loss
from magnifier.networks import Encoded, Magnifier
from magnifier.pool import Batch


def batch(size: int = 32) -> Batch:
    torch.manual_seed(0)
    reference, current, magnified = torch.rand(3, 2, 3, size, size) * 2 - 1
    return Batch(
        reference,
        current,
        magnified,
        displacement_px=torch.ones(2, 2, size // 4, size // 4),
        gain=torch.full((2, 1, 1, 1), 5.0),
    )


class Answering(Magnifier):
    """Gives a fixed picture and displacement."""

    def __init__(self, picture: Tensor, displacement_px: Tensor | None) -> None:
        super().__init__()
        self.answer = picture, displacement_px

    def encode(self, frame: Tensor) -> Encoded:
        return Encoded(frame, frame)

    def magnify(
        self, _current: Encoded, _difference: Tensor, _gain: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        return self.answer


def test_the_truth_costs_nothing() -> None:
    drawn = batch()
    perfect = task_loss(Answering(drawn.magnified, drawn.fine_displacement_px()), drawn)
    assert perfect.total.item() < 1e-5
    assert perfect.similarity > 0.9999


def test_a_wrong_displacement_costs_even_where_the_picture_is_right() -> None:
    drawn = batch()
    right, wrong = (
        task_loss(Answering(drawn.magnified, drawn.fine_displacement_px() + error), drawn).total
        for error in (0.0, 3.0)
    )
    assert wrong > right + 0.05


def test_the_same_error_costs_more_where_little_moves() -> None:
    drawn = batch()
    long = replace(drawn, displacement_px=20 * drawn.displacement_px)
    cost = [
        displacement_loss(each.fine_displacement_px() + 0.3, each).item() for each in (drawn, long)
    ]
    assert cost[0] > 10 * cost[1]


def test_leaving_out_a_small_displacement_costs_most_at_a_low_gain() -> None:
    """At a high gain it may be noise, which should not be shown; at a low one it is the motion."""
    small = replace(batch(), displacement_px=torch.full((2, 2, 8, 8), 0.04))
    low, high = (
        displacement_loss(
            torch.zeros(2, 2, 32, 32), replace(small, gain=torch.full((2, 1, 1, 1), gain))
        )
        for gain in (2.0, 50.0)
    )
    assert low > 10 * high


def test_the_branches_are_kept_apart() -> None:
    class TwoBranches(Magnifier):
        """Texture sees motion and shape sees colour, as they should not, or neither."""

        def __init__(self, mixed: bool) -> None:
            super().__init__()
            self.mixed = mixed

        def encode(self, frame: Tensor) -> Encoded:
            colour = frame.mean(dim=(2, 3), keepdim=True)
            shape = frame - colour
            # Dividing by the contrast leaves what a change of colours does not touch.
            shape = shape / shape.std(dim=(2, 3), keepdim=True)
            if self.mixed:
                return Encoded(frame, frame, frame)
            return Encoded(frame, shape, torch.zeros_like(colour))

    drawn = batch()
    losses = []
    for mixed in (True, False):
        network = TwoBranches(mixed)
        reference, current = network.encode(drawn.reference), network.encode(drawn.current)
        losses.append(separation_loss(network, drawn, reference, current).item())
    assert losses[0] > 0.5
    assert losses[1] < 1e-5


def test_every_network_learns_from_every_parameter() -> None:
    for name in networks.NETWORKS:
        network = networks.build(name, blocks=1)
        for parameter in network.parameters():
            parameter.data += 0.01 * torch.randn_like(parameter)
        task_loss(network, batch()).total.backward()  # type: ignore[no-untyped-call]
        still = [key for key, value in network.named_parameters() if value.grad is None]
        assert not still, (name, still)
