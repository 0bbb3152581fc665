"""Training: learns, stops, goes on as if it had never stopped."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from failure import Failure
from magnifier import networks, weights
from magnifier.networks.twofold import sampled_at
from magnifier.pool import Batch, ScenePool
from magnifier.processes import Processes, T
from magnifier.training import Recipe, Trainer

SMALL = Recipe(batch=2, crop_px=32, steps=6, warmup_steps=2)


def shallow() -> networks.Magnifier:
    return networks.build("twofold", 1)


class FixedPool(ScenePool):
    """Draws that depend on nothing but their number."""

    def __init__(self, begin: int = 0) -> None:
        self._number = begin

    def refresh(self) -> None:
        pass

    def draw(self, count: int, crop_px: int) -> Batch:
        self._number += 1
        torch.manual_seed(self._number)
        pictures = torch.rand(3, count, 3, crop_px, crop_px) * 2 - 1
        coarse = torch.zeros(count, 2, crop_px // 4, crop_px // 4)
        return Batch(
            pictures[0],
            pictures[1],
            pictures[2],
            displacement_px=coarse,
            gain=torch.full((count, 1, 1, 1), 5.0),
        )


def trained(folder: Path, recipe: Recipe, pool: ScenePool, start: Path | None = None) -> Trainer:
    torch.manual_seed(0)
    trainer = Trainer(shallow(), folder, recipe, start)
    trainer.run(pool, None, lambda _: None)
    return trainer


def test_the_loss_falls(tmp_path: Path) -> None:
    class OneScene(FixedPool):
        def draw(self, count: int, crop_px: int) -> Batch:
            self._number = 0
            return super().draw(count, crop_px)

    recipe = Recipe(batch=2, crop_px=32, steps=40, warmup_steps=2)
    losses: list[float] = []
    trainer = Trainer(shallow(), tmp_path, recipe, None)
    trainer.run(OneScene(), None, lambda step: losses.append(step.loss))
    assert losses[-1] < 0.9 * losses[0]


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", SMALL, FixedPool())
    # A checkpoint at step 3, as a stop there leaves it; the schedule stays that of six steps.
    parted = tmp_path / "parted"
    torch.manual_seed(0)
    first = Trainer(shallow(), parted, SMALL, None)
    pool = FixedPool()
    for _ in range(3):
        first._train_step(pool.draw(SMALL.batch, SMALL.crop_px))
    first.save()
    second = trained(parted, SMALL, FixedPool(begin=3))
    assert second.step == whole.step == 6
    for one, other in zip(whole.average.parameters(), second.average.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_checkpoint_can_be_deepened_but_not_made_shallower(tmp_path: Path) -> None:
    trained(tmp_path, SMALL, FixedPool())
    deeper = Trainer(networks.build("twofold", 2), tmp_path, SMALL, None)
    assert deeper.step == 6
    assert networks.depth(deeper.average.state_dict()) == 2
    deeper.save()
    with pytest.raises(Failure, match="only be made deeper"):
        Trainer(shallow(), tmp_path, SMALL, None)


def test_another_networks_checkpoint_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, SMALL, FixedPool())
    with pytest.raises(Failure, match="another --work folder"):
        Trainer(networks.build("proposed", 1), tmp_path, SMALL, None)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    weights.save(other, networks.build("proposed", 1).state_dict(), {"network": "proposed"})
    with pytest.raises(Failure, match="choose other weights"):
        Trainer(shallow(), tmp_path / "work", SMALL, other)


def test_processes_at_different_steps_are_told_and_none_waits(tmp_path: Path) -> None:
    class AheadElsewhere(Processes):
        asked = 0

        def agreed(self, value: T) -> T:
            AheadElsewhere.asked += 1
            return cast(T, 7) if isinstance(value, int) else value

    with pytest.raises(Failure, match="at step 0 here and at 7 in the first process"):
        Trainer(shallow(), tmp_path, SMALL, None, AheadElsewhere())
    assert AheadElsewhere.asked == 1, "a second question would wait for the others for ever"


def test_a_file_of_weights_starts_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    first = trained(tmp_path / "a", SMALL, FixedPool())
    first.save_average(tmp_path / "start.safetensors")
    begun = Trainer(shallow(), tmp_path / "b", SMALL, tmp_path / "start.safetensors")
    expected = weights.load_network(tmp_path / "start.safetensors").state_dict()
    assert begun.step == 0
    for key, value in begun.network.state_dict().items():
        assert torch.equal(value, expected[key])


def test_steps_core_hours_and_curve_count_on_from_the_weights_a_run_starts_from(
    tmp_path: Path,
) -> None:
    first = trained(tmp_path / "a", SMALL, FixedPool())
    first.core_s = 7200
    first.curve.append((6, 2.0, 0.5))
    first.save_average(tmp_path / "start.safetensors")
    second = trained(tmp_path / "b", SMALL, FixedPool(), tmp_path / "start.safetensors")
    second.save_average(tmp_path / "end.safetensors")
    facts = weights.read(tmp_path / "end.safetensors")[1]
    assert weights.trained_steps(facts) == 12
    assert float(facts["core_hours"]) == pytest.approx(2, abs=0.02)
    assert second.curve == [(6, 2.0, 0.5)]


def test_core_hours_are_the_processes_time_times_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking = iter(range(0, 36000, 3600))
    monkeypatch.setattr("magnifier.training.time.process_time", lambda: next(ticking))
    trainer = Trainer(shallow(), tmp_path, Recipe(batch=2, crop_px=32, steps=2), None)
    trainer.run(FixedPool(), None, lambda _: None)
    assert trainer.core_s == 7200
    assert float(weights.read(tmp_path / "checkpoint.safetensors")[1]["core_hours"]) == 2


def test_a_scene_is_rendered_for_every_so_many_crops(tmp_path: Path) -> None:
    class Counting(FixedPool):
        rendered = 0

        def refresh(self) -> None:
            self.rendered += 1

    pool = Counting()
    trained(tmp_path, Recipe(batch=16, crop_px=32, steps=5), pool)
    assert pool.rendered == 2


def test_the_learning_curve_has_the_mean_similarity_of_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magnifier.training.CURVE_EVERY", 3)
    seen: list[float] = []
    trainer = Trainer(shallow(), tmp_path, SMALL, None)
    trainer.run(FixedPool(), None, lambda step: seen.append(step.similarity))
    assert [step for step, _, _ in trainer.curve] == [3, 6]
    assert trainer.curve[0][2] == pytest.approx(np.mean(seen[:3]), abs=1e-4)
    assert 0 <= trainer.curve[0][1] <= trainer.curve[1][1]
    assert Trainer(shallow(), tmp_path, SMALL, None).curve == trainer.curve


def test_stored_scenes_agree_with_their_displacement_however_they_are_turned(
    tmp_path: Path,
) -> None:
    rows, columns = np.mgrid[:400, :400]
    wave = 128 + 50 * np.sin(0.11 * columns + 0.05 * rows) + 40 * np.sin(0.09 * rows)
    picture = np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)
    random = np.random.default_rng(1)
    pool = ScenePool(tmp_path, [picture, picture], random=random, slots=6, size_px=96)
    for _ in range(8):
        pool.refresh()
    assert len(pool) == pool.slots == 6
    plain, warped = [], []
    for _ in range(12):
        batch = pool.draw(4, 64)
        fine = torch.nn.functional.interpolate(batch.displacement_px, scale_factor=4.0)
        guess = sampled_at(batch.current, fine)
        inner = (..., slice(8, -8), slice(8, -8))
        plain.append((batch.current - batch.magnified)[inner].abs().mean().item())
        warped.append((guess - batch.magnified)[inner].abs().mean().item())
    assert np.mean(warped) < 0.5 * np.mean(plain)
    reopened = ScenePool(tmp_path, [picture, picture], random=random, slots=6, size_px=96)
    assert len(reopened) == 6


def test_a_pool_of_another_size_does_not_touch_the_scenes_that_are_there(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (400, 400, 3)).astype(np.uint8)
    for size_px in (64, 96):
        pool = ScenePool(
            tmp_path,
            [picture, picture],
            random=np.random.default_rng(1),
            slots=4,
            size_px=size_px,
        )
        assert len(pool) == 0
        pool.refresh()
        assert pool.draw(1, size_px).current.shape[-1] == size_px
