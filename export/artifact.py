"""The sidecar: a JSON file beside a graph or an engine that says what it is, and its SHA-256.

A device reads it without torch or onnx. Nothing is loaded whose content differs from its sidecar's.
"""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from atomic_file import replaced
from failure import Failure


class Parity(BaseModel):
    """Difference between the graph in ONNX Runtime and the network in torch, in grey levels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int
    largest_difference: float
    mean_difference: float
    largest_displacement_difference_px: float | None = None
    """None where the network displaces nothing."""


class Sidecar(BaseModel):
    """What a file is. ``size_px`` is (width, height), or None for a graph of any size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sidecar_version: Literal[1] = 1
    sha256: str
    network: str
    precision: Literal["fp32", "fp16", "int8"]
    size_px: tuple[int, int] | None
    state_channels: int
    state_stride: int
    """A state tensor is (1, state_channels, ceil(height / stride), ceil(width / stride))."""
    weights_sha256: str
    tool_version: str
    parity: Parity | None = None


def sidecar_path(path: Path) -> Path:
    """``twofold.onnx`` -> ``twofold.onnx.json``."""
    return path.with_name(path.name + ".json")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content. Raises Failure when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Failure(f"{path}: cannot be read ({error.strerror})") from error


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write the sidecar of ``path`` in one atomic step."""
    with replaced(sidecar_path(path)) as scratch:
        scratch.write_text(sidecar.model_dump_json(indent=2) + "\n")


def checked(path: Path) -> Sidecar:
    """The sidecar of ``path``, after its SHA-256 was compared with the file's.

    Raises Failure when either is missing, the sidecar is malformed, or the two do not match.
    """
    if not path.is_file():
        raise Failure(f"{path}: no such graph; make one with: tremorscope export")
    beside = sidecar_path(path)
    try:
        sidecar = Sidecar.model_validate_json(beside.read_bytes())
    except FileNotFoundError as error:
        raise Failure(
            f"{path}: has no sidecar {beside.name}, so nothing vouches for it; "
            "use a graph written by: tremorscope export"
        ) from error
    except (ValidationError, OSError) as error:
        raise Failure(
            f"{beside}: is not a sidecar of this version; write the graph again with: "
            "tremorscope export"
        ) from error
    actual = sha256(path)
    if actual != sidecar.sha256:
        raise Failure(
            f"{path}: its SHA-256 is {actual[:12]}..., its sidecar says {sidecar.sha256[:12]}...; "
            "the file was changed or cut short: copy both again, or run: tremorscope export"
        )
    return sidecar
