"""Several processes that train one network."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from failure import Failure
from magnifier import networks, weights
from magnifier.processes import Processes

TRAIN = ("-m", "tremorscope", "train", "--threads", "1", "--blocks", "1", "--seed", "5")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(6):
        coarse = random.integers(0, 255, (60, 80, 3)).astype(np.uint8)
        picture = cv2.resize(coarse, (800, 600), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def train(work: Path, photographs: Path, processes: int, steps: int, *more: str) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(torchrun if processes > 1 else []), *TRAIN]
    command += [
        "--work",
        str(work),
        "--photographs",
        str(photographs),
        "--steps",
        str(steps),
        *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("averaged weights in") == 1


def test_two_processes_learn_what_one_learns_from_the_same_batches_and_go_on(
    tmp_path: Path, photographs: Path
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(alone, photographs, 1, steps=3)
    train(together, photographs, 2, steps=3)
    torch.manual_seed(5)
    start = flat(networks.build("twofold", 1).state_dict())
    one, two = (weights.read(work / "twofold/twofold.safetensors") for work in (alone, together))
    assert one[1]["steps"] == two[1]["steps"] == "3"
    learned = flat(one[0]) - start
    assert learned.abs().mean() > 0
    assert (flat(two[0]) - flat(one[0])).abs().mean() < 0.02 * learned.abs().mean()

    train(together, photographs, 2, steps=5)
    tensors, facts = weights.read(together / "twofold/twofold.safetensors")
    assert facts["steps"] == "5"
    assert (flat(tensors) - flat(two[0])).abs().mean() > 0


def test_quantised_training_is_the_same_by_one_process_and_by_two(
    tmp_path: Path, photographs: Path
) -> None:
    torch.manual_seed(1)
    start = tmp_path / "start.safetensors"
    network = networks.build("twofold", 1)
    weights.save(start, network.state_dict(), {"network": "twofold"})
    found = []
    for processes in (1, 2):
        work = tmp_path / str(processes)
        train(work, photographs, processes, 2, "--quantised", "--start-from", str(start))
        tensors, facts = weights.read(work / "twofold-quantised/twofold.safetensors")
        assert facts["quantised"] == "yes"
        found.append(tensors)
    for name in ("stream", "inner"):
        one, two = (tensors[f"decoder.0.{name}.log_scale"] for tensors in found)
        assert -15 < one < 0
        assert torch.allclose(one, two, atol=1e-3)
    learned = flat(found[0]) - flat(found[1])
    assert learned.abs().mean() < 1e-6


def flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for _, value in sorted(tensors.items())])


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    assert Processes(count=2, rank=1).share(8) == slice(4, 8)
    with pytest.raises(Failure, match="multiple of 3"):
        Processes(count=3).share(8)
