"""Weights -> the streaming ONNX graph, simplified, checked, and compared with torch."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxsim
import torch
from numpy.typing import NDArray

from atomic_file import replaced
from export.artifact import Parity, Sidecar, sha256, write_sidecar
from export.streaming import INPUTS, StreamingMagnifier, output_names
from failure import Failure
from magnifier import weights
from magnifier.onnx_export import exported

SMALLEST_PX = 16
PARITY_FRAMES = 50
ALLOWED_DIFFERENCE = 1.0
"""Grey levels: a value that lies at a rounding's edge may fall to either side."""
FOLLOW_BY_MODE = {"static": (1.0, 0.05), "dynamic": (1.0, 1.0), "band-pass": (0.6, 0.1)}


def export(weights_path: Path, out: Path, size_px: tuple[int, int] | None) -> tuple[Path, Sidecar]:
    """Write ``<network>.onnx``, or ``<network>-<W>x<H>.onnx`` for one size, with its sidecar.

    ``size_px`` is (width, height); None leaves both open, as ONNX Runtime can run it. Raises Failure
    when the graph does not give the picture that torch gives.
    """
    network = weights.load_network(weights_path)
    if weights.is_quantised(weights.read(weights_path)[1]):
        raise Failure(
            f"{weights_path}: was trained to imitate eight bits, which this command would write as "
            "float arithmetic; export the weights that it was fine-tuned from"
        )
    streaming = StreamingMagnifier(network).eval()
    model = simplified(traced(streaming), streaming, size_px)
    parity = compare(streaming, model, size_px or (192, 160))
    if parity.largest_difference > ALLOWED_DIFFERENCE:
        raise Failure(
            f"{weights_path}: the exported graph differs from torch by "
            f"{parity.largest_difference:.1f} grey levels, at most {ALLOWED_DIFFERENCE:g} is allowed; "
            "report this with the versions of torch, onnx and onnxruntime"
        )
    name = network.name if size_px is None else f"{network.name}-{size_px[0]}x{size_px[1]}"
    path = out / f"{name}.onnx"
    with replaced(path) as scratch:
        onnx.save(model, scratch)
    sidecar = Sidecar(
        sha256=sha256(path),
        network=network.name,
        precision="fp32",
        size_px=size_px,
        state_channels=_state_shape(streaming, 16, 16)[1],
        state_stride=network.encoder_stride,
        weights_sha256=sha256(weights_path),
        tool_version=version("tremorscope"),
        parity=parity,
    )
    write_sidecar(path, sidecar)
    return path, sidecar


def traced(streaming: StreamingMagnifier) -> onnx.ModelProto:
    """The graph with open height and width, as torch's exporter writes it."""
    # Two sizes that differ from each other and from every other extent, so that none is merged.
    height, width = 52, 76
    any_size = torch.export.Dim.AUTO
    frame = {0: any_size, 1: any_size}
    state = {2: any_size, 3: any_size}
    shape = _state_shape(streaming, height, width)
    arguments = (
        torch.zeros(height, width, 3, dtype=torch.uint8),
        torch.ones(1),
        torch.ones(2),
        torch.zeros(shape),
        torch.zeros(shape),
    )
    return exported(
        streaming,
        arguments,
        inputs=INPUTS,
        outputs=output_names(streaming.network),
        dynamic_shapes={"frame": frame, "gain": {}, "follow": {}, "fast": state, "slow": state},
    )


def simplified(
    model: onnx.ModelProto, streaming: StreamingMagnifier, size_px: tuple[int, int] | None
) -> onnx.ModelProto:
    """Constants folded, for one size if given; refused unless the ONNX checker accepts all of it."""
    shapes = None
    if size_px is not None:
        width, height = size_px
        if min(size_px) < SMALLEST_PX:
            raise Failure(f"{width}x{height} is too small; at least {SMALLEST_PX} px a side")
        state = _state_shape(streaming, height, width)
        shapes = {"frame": [height, width, 3], "fast": list(state), "slow": list(state)}
    simple: onnx.ModelProto
    simple, agrees = onnxsim.simplify(model, overwrite_input_shapes=shapes)
    if not agrees:
        raise Failure("onnxsim changed what the graph computes; report this with its version")
    onnx.checker.check_model(simple, full_check=True)
    return simple


def compare(
    streaming: StreamingMagnifier, model: onnx.ModelProto, size_px: tuple[int, int]
) -> Parity:
    """Run graph and torch side by side for 50 frames of each mode on a moving texture."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    differences, displacements_px = [], []
    for follow in FOLLOW_BY_MODE.values():
        found = _differences(streaming, session, size_px, follow)
        differences += found[0]
        displacements_px += found[1]
    return Parity(
        frames=len(differences),
        largest_difference=float(max(part.max() for part in differences)),
        mean_difference=float(np.mean([part.mean() for part in differences])),
        largest_displacement_difference_px=max(displacements_px, default=None),
    )


def moving_texture(size_px: tuple[int, int], frames: int) -> list[NDArray[np.uint8]]:
    """A smooth texture that sways by half a pixel, (height, width, 3) uint8, always the same."""
    width, height = size_px
    random = np.random.default_rng(5)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    waves = random.uniform((0.05, 0.05, 0, 8), (0.9, 0.9, 6.28, 18), (12, 4))
    pictures = []
    for number in range(frames):
        shift_px = 0.5 * np.sin(number * 0.7)
        levels = np.full((height, width, 3), 128.0)
        for place, (a, b, phase, size) in enumerate(waves):
            levels[..., place % 3] += size * np.sin(a * (columns - shift_px) + b * rows + phase)
        levels += random.normal(0, 1, levels.shape)
        pictures.append(np.clip(levels, 0, 255).astype(np.uint8))
    return pictures


def _differences(
    streaming: StreamingMagnifier,
    session: onnxruntime.InferenceSession,
    size_px: tuple[int, int],
    follow: tuple[float, float],
) -> tuple[list[NDArray[np.float64]], list[float]]:
    """Of each frame: grey levels, and the largest difference of displacement where there is one."""
    width, height = size_px
    shape = _state_shape(streaming, height, width)
    ours = theirs = [np.zeros(shape, np.float32), np.zeros(shape, np.float32)]
    differences: list[NDArray[np.float64]] = []
    displacements_px: list[float] = []
    for number, picture in enumerate(moving_texture(size_px, PARITY_FRAMES)):
        # The first frame fills the states: followed at once, and nothing magnified.
        gain = np.array([1.0 if number == 0 else 20.0], np.float32)
        rates = np.array((1.0, 1.0) if number == 0 else follow, np.float32)
        with torch.inference_mode():
            tensors = [torch.from_numpy(x) for x in (picture, gain, rates, *ours)]
            mine, fast, slow, *cells = (part.numpy() for part in streaming(*tensors))
            ours = [fast, slow]
        feeds = dict(zip(INPUTS, (picture, gain, rates, *theirs), strict=True))
        other, fast, slow, *other_cells = session.run(None, feeds)
        theirs = [fast, slow]
        displacements_px += [
            float(np.abs(a - b).max()) for a, b in zip(cells, other_cells, strict=True)
        ]
        differences.append(np.abs(mine.astype(np.float64) - other))
    return differences, displacements_px


def _state_shape(
    streaming: StreamingMagnifier, height: int, width: int
) -> tuple[int, int, int, int]:
    with torch.inference_mode():
        features = streaming.network.encode(torch.zeros(1, 3, height, width)).features
    batch, channels, rows, columns = features.shape
    return batch, channels, rows, columns
