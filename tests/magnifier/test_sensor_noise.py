"""Noise and dither keep what they should."""

import pytest
import torch

from magnifier.sensor_noise import noisy, quantised


def test_dither_keeps_a_level_between_two_steps() -> None:
    levels = quantised(torch.full((300, 300, 3), 99.3), torch.Generator().manual_seed(0))
    assert levels.mean().item() == pytest.approx(99.3, abs=0.01)
    assert set(levels.flatten().tolist()) == {99, 100}


def test_noise_grows_with_the_root_of_the_level() -> None:
    random = torch.Generator().manual_seed(0)
    plain = torch.tensor([127.5, 31.875]).view(2, 1).expand(2, 200_000)
    deviations = (noisy(plain, 2.0, random) - plain).std(dim=1)
    assert deviations.tolist() == pytest.approx([2.0, 1.0], rel=0.02)


def test_each_picture_of_a_batch_has_its_own_noise() -> None:
    sigma = torch.tensor([0.0, 3.0]).view(2, 1)
    plain = torch.full((2, 1000), 127.5)
    added = noisy(plain, sigma, torch.Generator().manual_seed(0)) - plain
    assert added[0].abs().max() == 0
    assert added[1].std().item() == pytest.approx(3.0, rel=0.1)
