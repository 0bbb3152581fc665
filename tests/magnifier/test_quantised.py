"""A decoder in eight bits: what rounds, what is learned, what is kept."""

from pathlib import Path

import pytest
import torch
from test_training import SMALL, FixedPool, trained

from failure import Failure
from magnifier import networks, weights
from magnifier.networks.quantised import LARGEST, QuantisedBlock, Quantiser, fitting, rounded
from magnifier.training import Recipe, Trainer


def test_rounding_gives_whole_multiples_within_eight_bits_and_passes_the_gradient() -> None:
    x = torch.tensor([0.26, -0.9, 40.0], requires_grad=True)
    scale = torch.tensor(0.1, requires_grad=True)
    found = rounded(x, scale)
    assert found.tolist() == pytest.approx([0.3, -0.9, LARGEST * 0.1])
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1, 0]
    assert scale.grad is not None
    # LSQ: round(v) - v inside, 127 where it clips.
    assert scale.grad.item() == pytest.approx(0.4 + 0.0 + LARGEST, abs=1e-3)


def network_and_output(
    name: str = "proposed",
) -> tuple[networks.Magnifier, torch.Tensor, list[torch.Tensor]]:
    torch.manual_seed(1)
    network = networks.build(name, 3)
    frames = list(torch.rand(2, 1, 3, 48, 48).unbind())
    frames.append(torch.full((1, 1, 1, 1), 5.0))
    with torch.no_grad():
        return network, network(*frames)[0], frames


@pytest.mark.parametrize("name", list(networks.NETWORKS))
def test_fitted_scales_keep_the_picture(name: str) -> None:
    network, before, frames = network_and_output(name)
    networks.quantised(network)
    with fitting(network):
        assert torch.allclose(network(*frames)[0], before, atol=0.02), "only weights are rounded"
    with torch.no_grad():
        after = network(*frames)[0]
    error = (after - before).abs().mean()
    assert 0 < error < 0.02 * before.std()


def test_the_stream_between_blocks_has_eight_bits() -> None:
    network, _, frames = network_and_output()
    networks.quantised(network)
    seen: list[torch.Tensor] = []
    for block in network.decoder:
        assert isinstance(block, QuantisedBlock)
        block.stream.register_forward_hook(lambda _part, _inputs, output: seen.append(output))
    with fitting(network):
        network(*frames)
    seen.clear()
    network(*frames)
    for block, stream in zip(network.decoder, seen, strict=True):
        assert isinstance(block.stream, Quantiser)
        levels = stream / block.stream.log_scale.exp()
        assert torch.allclose(levels, levels.round(), atol=1e-3)
        assert levels.abs().max() <= LARGEST + 1e-3


def test_finished_weights_are_fine_tuned_kept_and_gone_on_with(tmp_path: Path) -> None:
    finished = tmp_path / "finished.safetensors"
    trained(tmp_path / "float", SMALL, FixedPool()).save_average(finished)
    recipe = Recipe(batch=2, crop_px=32, steps=6, warmup_steps=2, quantised=True)
    folder = tmp_path / "quantised"
    trainer = trained(folder, recipe, FixedPool(), finished)
    trainer.save_average(tmp_path / "eight.safetensors")
    loaded = weights.load_network(tmp_path / "eight.safetensors")
    scales = [part.log_scale.item() for part in loaded.modules() if isinstance(part, Quantiser)]
    assert len(scales) == 2
    assert all(-15 < scale < 0 for scale in scales), "chosen from what flows"
    again = Trainer(networks.build("twofold", 1), folder, recipe, None)
    assert again.step == 6
    for key, value in again.average.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key])
    with pytest.raises(Failure, match="no scales"):
        Trainer(networks.build("twofold", 2), folder, recipe, None)


def test_eight_bits_and_bfloat16_exclude_each_other(tmp_path: Path) -> None:
    recipe = Recipe(quantised=True, bfloat16=True)
    with pytest.raises(Failure, match="--bfloat16"):
        Trainer(networks.build("twofold", 1), tmp_path, recipe, None)


def test_nothing_is_quantised_from_random_weights(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="--start-from"):
        Trainer(networks.build("twofold", 1), tmp_path, Recipe(quantised=True), None)
