"""The sidecar: a JSON file beside a graph or an engine that says what it is, and its SHA-256.

A device reads it without torch or onnx. Nothing is loaded whose content differs from its sidecar's.
"""

import hashlib
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from atomic_file import replaced
from failure import Failure

Precision = Literal["fp32", "fp16", "int8"]
SMALLEST_PX = 16
"""Of a picture's sides, for every network."""


class Parity(BaseModel):
    """Difference between the graph in ONNX Runtime and the network in torch.

    Grey levels; SSIM of the graph's pictures against torch's; by what share it adds too much motion.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int
    largest_difference: float
    mean_difference: float
    ssim: float
    gain_error: float
    largest_displacement_difference_px: float | None = None
    """None where the network displaces nothing."""


class Artifact(BaseModel):
    """What the sidecars of graphs and of engines have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sidecar_version: Literal[1] = 1
    sha256: str
    network: str
    precision: Precision
    state_channels: int
    state_stride: int
    """A state tensor is (1, state_channels, ceil(height / stride), ceil(width / stride))."""
    tool_version: str

    def state_shape(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """Of each of the two state tensors, for pictures of this size."""
        stride = self.state_stride
        return 1, self.state_channels, -(-height_px // stride), -(-width_px // stride)


class Sidecar(Artifact):
    """What a graph is. ``size_px`` is (width, height), or None for a graph of any size."""

    size_px: tuple[int, int] | None
    weights_sha256: str
    frames_sha256: str | None = None
    """Of the frames that eight-bit ranges were measured on; None in other precisions."""
    parity: Parity | None = None


class EngineSidecar(Artifact):
    """What a TensorRT plan is: it runs on the kind of GPU and the TensorRT it was built with."""

    size_px: tuple[int, int]
    graph_sha256: str
    weights_sha256: str
    frames_sha256: str | None
    """Of the frames that eight-bit ranges were measured on; None in other precisions."""
    wanted_precision: Precision
    """``precision`` is what was built; lower precisions fall back where TensorRT refuses them."""
    fallbacks: tuple[str, ...]
    """One sentence for each precision that was tried and refused."""
    tensorrt_version: str
    """As the module tells it, such as "10.3.0"."""
    cuda_version: str
    """The newest that the driver knows, such as "12.6"."""
    gpu: str
    compute_capability: tuple[int, int]
    board: str | None
    """As the device tree names it, with its Jetson Linux release; None on other machines."""
    builder_flags: tuple[str, ...]
    convolutions: dict[str, int]
    """How many compute in which precision; "unknown" where TensorRT does not tell."""
    build_s: float


def sidecar_path(path: Path) -> Path:
    """``twofold.onnx`` -> ``twofold.onnx.json``; of a link, beside the file that it names."""
    file = path.resolve()
    return file.with_name(file.name + ".json")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content. Raises Failure when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Failure(f"{path}: cannot be read ({error.strerror})") from error


def write_sidecar(path: Path, sidecar: Artifact) -> None:
    """Write the sidecar of ``path`` in one atomic step."""
    with replaced(sidecar_path(path)) as scratch:
        scratch.write_text(sidecar.model_dump_json(indent=2) + "\n")


def checked(path: Path) -> Sidecar:
    """The sidecar of the graph ``path``, after its SHA-256 was compared with the file's.

    Raises Failure when either is missing, the sidecar is malformed, or the two do not match.
    """
    return read_graph(path)[1]


def checked_engine(path: Path) -> EngineSidecar:
    """The same for a TensorRT plan."""
    return read_engine(path)[1]


def read_graph(path: Path) -> tuple[bytes, Sidecar]:
    """The very bytes that were compared, too: load these, the file may be another by then."""
    return _read(path, Sidecar, "graph", "tremorscope export")


def read_engine(path: Path) -> tuple[bytes, EngineSidecar]:
    """The same for a TensorRT plan."""
    return _read(path, EngineSidecar, "engine", "tremorscope build")


Kind = TypeVar("Kind", bound=Artifact)


def _read(path: Path, model: type[Kind], kind: str, maker: str) -> tuple[bytes, Kind]:
    content, described = _both(path, kind, maker)
    try:
        sidecar = model.model_validate_json(described)
    except ValidationError as error:
        raise Failure(
            f"{sidecar_path(path)}: is not a sidecar of a {kind}, or of another version; write it again "
            f"with: {maker}"
        ) from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != sidecar.sha256:
        raise Failure(
            f"{path}: its SHA-256 is {actual[:12]}..., its sidecar says {sidecar.sha256[:12]}...; "
            f"the file was changed or cut short: copy both again, or run: {maker}"
        )
    return content, sidecar


def _both(path: Path, kind: str, maker: str) -> tuple[bytes, bytes]:
    """The content of ``path`` and of its sidecar."""
    for _ in range(2):
        # An engine's name is a link, and a build removes the plan that it named before: then it is
        # followed once more.
        file = path.resolve()
        try:
            return file.read_bytes(), sidecar_path(file).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Failure(
                f"{path}: it or its sidecar cannot be read ({error.strerror}); let this user read both"
            ) from error
    if not path.is_file():
        raise Failure(f"{path}: no such {kind}; make one with: {maker}")
    raise Failure(
        f"{path}: has no sidecar {sidecar_path(path).name}, so nothing vouches for it; "
        f"use one written by: {maker}"
    )
