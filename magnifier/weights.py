"""Weights on disk: safetensors, never pickle. What is released lies in ``magnifier/released``."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from atomic_file import replaced
from failure import Failure
from magnifier import networks

RELEASED = Path(__file__).parent / "released"


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    """Write tensors and the facts about them in one atomic step."""
    with replaced(path) as scratch:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, scratch, facts)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and facts of a safetensors file. Raises Failure when it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            return tensors, stored.metadata() or {}
    except FileNotFoundError as error:
        raise Failure(f"{path}: no such file of weights") from error
    except (SafetensorError, OSError) as error:
        raise Failure(
            f"{path}: not a readable safetensors file ({error}); fetch or train it again"
        ) from error


def digest(path: Path) -> str:
    """The beginning of a file's SHA-256, by which pages and files say which weights they are of."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def trained_steps(facts: dict[str, str]) -> int:
    """Steps in all, those of the weights that training started from included."""
    return int(facts.get("steps", 0)) + int(facts.get("earlier_steps", 0))


def is_quantised(facts: dict[str, str]) -> bool:
    """Whether the weights are of a network whose decoder was trained in eight bits."""
    return facts.get("quantised") == "yes"


def load_network(path: Path) -> networks.Magnifier:
    """The network that a file of weights is for, ready to evaluate."""
    tensors, facts = read(path)
    if "network" not in facts:
        raise Failure(f"{path}: does not say which network it is for; it was not written by train")
    network = networks.build(facts["network"], networks.depth(tensors))
    if is_quantised(facts):
        network = networks.quantised(network)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise Failure(
            f'{path}: its tensors are not those of the network "{facts["network"]}"; '
            "train it again with this version"
        ) from error
    return network.eval()


def released(name: str) -> Path:
    """Where the released weights of a network lie. Raises Failure when there are none."""
    path = RELEASED / f"{name}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RELEASED.glob("*.safetensors"))) or "none"
        raise Failure(f'no weights are released for "{name}" (released: {known}); train it first')
    return path
