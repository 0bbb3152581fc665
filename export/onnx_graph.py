"""Weights -> the streaming ONNX graph, simplified, checked, and compared with torch."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxsim
import torch
from numpy.typing import NDArray

from atomic_file import replaced
from calibration.ranges import Ranges
from export import golden
from export.agreement import Agreement
from export.artifact import SMALLEST_PX, Parity, Precision, Sidecar, sha256, write_sidecar
from export.eight_bits import in_eight_bits
from export.graph_session import FIRST, GraphSession
from export.half_precision import halved
from export.qdq_linter import faults
from export.streaming import DISPLACEMENT, INPUTS, StreamingMagnifier, output_names
from failure import Failure
from magnifier import weights
from magnifier.evaluation import similarity
from magnifier.networks.quantised import in_float, reaches
from magnifier.onnx_export import exported

PARITY_FRAMES = 50
"""Of all modes together: torch takes seconds for one in full HD."""
PARITY_GAIN = 20.0
ANY_SIZE_PX = (191, 158)
"""What a graph of any size is compared at: not a multiple of any stride."""
GOLDEN_PX = (192, 128)
"""Of golden pictures for a graph that takes any size."""
ALLOWED_DIFFERENCE = 1.0
"""Grey levels, in full precision: a value that lies at a rounding's edge may fall to either side."""
LEAST_SSIM: dict[Precision, float] = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.99}
ALLOWED_GAIN_ERROR: dict[Precision, float] = {"fp32": 0.001, "fp16": 0.002, "int8": 0.02}
MODES = {"static": (18, (1.0, 0.05)), "dynamic": (16, (1.0, 1.0)), "band-pass": (16, (0.6, 0.1))}
"""How many of these frames, and how fast the two low-passes follow them."""


def export(
    weights_path: Path,
    out: Path,
    size_px: tuple[int, int] | None,
    precision: Precision = "fp32",
    ranges: Ranges | None = None,
    tell: Callable[[], None] = lambda: None,
) -> tuple[Path, Sidecar]:
    """Write ``<network>[-<W>x<H>][-<precision>].onnx`` with its sidecar and its golden pictures.

    ``size_px`` is (width, height); None leaves both open, as ONNX Runtime can run it. ``ranges`` are
    those of the weights, for eight bits; ``tell`` is called after each of ``PARITY_FRAMES`` frames that
    were compared. Raises Failure when the graph does not give the picture that torch gives.
    """
    if size_px is not None and min(size_px) < SMALLEST_PX:
        raise Failure(f"{size_px[0]}x{size_px[1]} is too small; at least {SMALLEST_PX} px a side")
    network = weights.load_network(weights_path)
    digest = sha256(weights_path)
    streaming = StreamingMagnifier(network).eval()
    if weights.is_quantised(weights.read(weights_path)[1]):
        if precision != "int8":
            raise Failure(
                f"{weights_path}: was fine-tuned for eight bits; write it with --precision int8, or "
                "export the weights that it was fine-tuned from"
            )
        model, ranges = learned_eight_bits(streaming, size_px), None
    else:
        if precision == "int8":
            check_ranges(ranges, digest)
        model = simplified(traced(streaming), streaming, size_px)
        model = in_precision(model, precision, ranges)
    parity = compare(streaming, model, size_px or ANY_SIZE_PX, tell)
    _check(parity, precision, weights_path)
    parts = [network.name]
    if size_px is not None:
        parts.append(f"{size_px[0]}x{size_px[1]}")
    if precision != "fp32":
        parts.append(precision)
    path = out / f"{'-'.join(parts)}.onnx"
    with replaced(path) as scratch:
        onnx.save(model, scratch)
    sidecar = Sidecar(
        sha256=sha256(path),
        network=network.name,
        precision=precision,
        size_px=size_px,
        state_channels=_state_shape(streaming, 16, 16)[1],
        state_stride=network.encoder_stride,
        weights_sha256=digest,
        frames_sha256=ranges.frames_sha256 if ranges and precision == "int8" else None,
        tool_version=version("tremorscope"),
        parity=parity,
    )
    write_sidecar(path, sidecar)
    pictures = golden_pictures(streaming, size_px or GOLDEN_PX)
    golden.store(golden.golden_path(out, sidecar), *pictures)
    return path, sidecar


def in_precision(
    model: onnx.ModelProto, precision: Precision, ranges: Ranges | None
) -> onnx.ModelProto:
    """The float32 graph ``model`` in another precision, checked; in eight bits by its own ranges."""
    if precision == "fp32":
        return model
    model = halved(model)
    if precision == "int8":
        assert ranges is not None
        model = in_eight_bits(model, ranges.reaches)
        _lint(faults(model, ranges.reaches))
    onnx.checker.check_model(model, full_check=True)
    return model


def check_ranges(ranges: Ranges | None, weights_sha256: str) -> None:
    """Raises Failure where there are none, or those of other weights."""
    if ranges is None:
        raise Failure("eight bits need measured ranges; make them with: tremorscope quantize")
    if ranges.weights_sha256 != weights_sha256:
        raise Failure(
            f"the ranges were measured with the weights {ranges.weights_sha256[:12]}..., these are "
            f"{weights_sha256[:12]}...; measure them again with: tremorscope quantize"
        )


def learned_eight_bits(
    streaming: StreamingMagnifier, size_px: tuple[int, int] | None
) -> onnx.ModelProto:
    """The graph of a network that was fine-tuned in eight bits, residual stream included."""
    network = streaming.network
    plain = StreamingMagnifier(in_float(network)).eval()
    model = halved(simplified(traced(plain), plain, size_px))
    learned = reaches(network)
    model = in_eight_bits(model, learned, rounded_stream=True)
    _lint(faults(model, learned, rounded_stream=True))
    onnx.checker.check_model(model, full_check=True)
    return model


def _lint(found: list[str]) -> None:
    if found:
        raise Failure(f"TensorRT would not fuse the eight-bit graph: {'; '.join(found)}")


def _check(parity: Parity, precision: Precision, source: Path) -> None:
    """Raises Failure when a graph is not what its network is."""
    wrong = ""
    if precision == "fp32" and parity.largest_difference > ALLOWED_DIFFERENCE:
        wrong = f"{parity.largest_difference:.0f} grey levels, {ALLOWED_DIFFERENCE:g} is allowed"
    elif parity.ssim < LEAST_SSIM[precision]:
        wrong = f"SSIM {parity.ssim:.4f}, at least {LEAST_SSIM[precision]} is asked for"
    elif abs(parity.gain_error) > ALLOWED_GAIN_ERROR[precision]:
        wrong = (
            f"{parity.gain_error:+.2%} of the gain, {ALLOWED_GAIN_ERROR[precision]:.1%} is allowed"
        )
    if wrong:
        raise Failure(
            f"{source}: the {precision} graph differs from torch by {wrong}; "
            "report this with the versions of torch, onnx and onnxruntime"
        )


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
        state = _state_shape(streaming, height, width)
        shapes = {"frame": [height, width, 3], "fast": list(state), "slow": list(state)}
    simple: onnx.ModelProto
    simple, _ = onnxsim.simplify(model, overwrite_input_shapes=shapes)  # compare() is its check
    onnx.checker.check_model(simple, full_check=True)
    return simple


def compare(
    streaming: StreamingMagnifier,
    model: onnx.ModelProto,
    size_px: tuple[int, int],
    tell: Callable[[], None] = lambda: None,
) -> Parity:
    """Run graph and torch side by side for 50 frames in all three modes on a moving texture."""
    session = GraphSession(model, streaming.network.encoder_stride)
    pictures = moving_texture(size_px, max(frames for frames, _ in MODES.values()))
    agreement = Agreement(similarity)
    off_px: list[float] = []
    for frames, follow in MODES.values():
        states = [np.zeros(_state_shape(streaming, *pictures[0].shape[:2]), np.float32)] * 2
        for number, picture in enumerate(pictures[:frames]):
            gain, rates = (PARITY_GAIN, follow) if number else FIRST
            with torch.inference_mode():
                knobs = np.array([gain], np.float32), np.array(rates, np.float32)
                inputs = (picture, *knobs, *states)
                outputs = [part.numpy() for part in streaming(*map(torch.from_numpy, inputs))]
            expected = dict(zip(output_names(streaming.network), outputs, strict=True))
            states = [expected["fast_next"], expected["slow_next"]]
            found = session.step(picture, gain, rates) if number else session.begin(picture)
            moved = None
            if DISPLACEMENT in found:
                moved = expected[DISPLACEMENT], found[DISPLACEMENT]
                off_px.append(float(np.abs(moved[0] - moved[1]).max()))
            agreement.add(picture, expected["magnified"], found["magnified"], moved)
            tell()
    return Parity(
        frames=agreement.frames,
        largest_difference=agreement.largest_difference,
        mean_difference=agreement.mean_difference,
        ssim=agreement.ssim,
        gain_error=agreement.gain_error,
        largest_displacement_difference_px=max(off_px, default=None),
    )


def golden_pictures(
    streaming: StreamingMagnifier, size_px: tuple[int, int]
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Frames whose motion is half a pixel at any size, and what torch shows of them."""
    frames = moving_texture(size_px, golden.FRAMES)
    states = [torch.zeros(_state_shape(streaming, *frames[0].shape[:2]))] * 2
    shown = []
    for number, frame in enumerate(frames):
        gain, follow = (golden.GAIN, golden.FOLLOW) if number else FIRST
        with torch.inference_mode():
            magnified, *states = streaming(
                torch.from_numpy(frame), torch.tensor([gain]), torch.tensor(follow), *states[:2]
            )
        shown.append(magnified.numpy())
    return frames, shown


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


def _state_shape(
    streaming: StreamingMagnifier, height: int, width: int
) -> tuple[int, int, int, int]:
    with torch.inference_mode():
        features = streaming.network.encode(torch.zeros(1, 3, height, width)).features
    batch, channels, rows, columns = features.shape
    return batch, channels, rows, columns
