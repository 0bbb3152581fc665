"""Scales for eight bits, chosen by what they do to the pictures of real frames."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from calibration.ranges import Method
from export.agreement import Agreement
from export.eight_bits import deep_layers, in_eight_bits, layer_name
from export.graph_session import GraphSession, Run
from export.half_precision import halved
from magnifier.evaluation import similarity

LEAST_SSIM = 0.99
"""Against the pictures of full precision."""
LARGEST_GAIN_ERROR = 0.02
PERCENTILE = 99.99
PERCENTILE_BINS, ENTROPY_BINS, ENTROPY_LEVELS = 2048, 512, 128


@dataclass(frozen=True, slots=True)
class Layer:
    """``snr_db``: signal over noise of its output with it alone in eight bits."""

    name: str
    reach: float
    snr_db: float


@dataclass(frozen=True, slots=True)
class Quantised:
    """What was chosen and why. Agreements are with full precision, on frames kept aside."""

    method: Method
    reaches: dict[str, float]
    """Of the layers in eight bits."""
    layers: list[Layer]
    """All deep layers, in order."""
    half: Agreement
    """Everything in half precision."""
    by_method: dict[Method, Agreement]
    """All deep layers in eight bits, with the scales of each method."""
    chosen: Agreement
    returned: list[Layer]
    """Layers that went back to half precision."""


def quantised(
    model: onnx.ModelProto,
    encoder_stride: int,
    runs: Sequence[Run],
    tell: Callable[[str], None],
) -> Quantised:
    """Choose the scales of ``model``, the float32 graph of any size; ``tell`` hears of every step.

    Every other run is calibrated on, the rest judges. ``runs`` must be two or more.
    """
    judged, calibrated = list(runs[1::2]), list(runs[::2])
    exact = GraphSession(model, encoder_stride)
    half = halved(model)

    def judge(coarse: onnx.ModelProto) -> Agreement:
        return agreement(exact, GraphSession(coarse, encoder_stride), judged)

    tell("what the layers see")
    reaches = collected(model, encoder_stride, calibrated)
    by_method: dict[Method, Agreement] = {}
    for method in reaches:
        tell(f"scales by {method}")
        by_method[method] = judge(in_eight_bits(half, reaches[method]))
    method = min(by_method, key=lambda each: excess(by_method[each]))
    best = reaches[method]
    layers = []
    for name in best:
        tell(f"layer {name} alone")
        layers.append(Layer(name, best[name], _snr_db(half, encoder_stride, judged[0], name, best)))
    chosen, kept, returned = by_method[method], dict(best), []
    for layer in sorted(layers, key=lambda each: each.snr_db):
        if excess(chosen) <= 1:
            break
        tell(f"without {layer.name}")
        returned.append(layer)
        del kept[layer.name]
        chosen = judge(in_eight_bits(half, kept))
    return Quantised(method, kept, layers, judge(half), by_method, chosen, returned)


def excess(found: Agreement) -> float:
    """How far a graph is from full precision, 1 at the limit of what is accepted."""
    return max((1 - found.ssim) / (1 - LEAST_SSIM), abs(found.gain_error) / LARGEST_GAIN_ERROR)


def agreement(exact: GraphSession, coarse: GraphSession, runs: Sequence[Run]) -> Agreement:
    """Both graphs on every run, each with states of its own."""
    found = Agreement(similarity)
    for run in runs:
        pairs = zip(run.frames[1:], exact.play(run), coarse.play(run), strict=True)
        for frame, expected, shown in pairs:
            found.add(frame, expected["magnified"], shown["magnified"])
    return found


def collected(
    model: onnx.ModelProto, encoder_stride: int, runs: Sequence[Run]
) -> dict[Method, dict[str, float]]:
    """By method, the reach of the input of every deep layer over all runs."""
    inputs = {
        layer_name(node): node.input[0] for node in model.graph.node if node.op_type == "Conv"
    }
    inputs = {name: inputs[name] for name in deep_layers(model)}
    watched = sorted(set(inputs.values()))
    session = GraphSession(model, encoder_stride, watched)
    percentile = HistogramCollector("percentile", True, PERCENTILE_BINS, 0, PERCENTILE, "same")
    entropy = HistogramCollector("entropy", True, ENTROPY_BINS, ENTROPY_LEVELS, 0, "same")
    largest = dict.fromkeys(watched, 0.0)
    # The collectors print what they do.
    with contextlib.redirect_stdout(io.StringIO()):
        for run in runs:
            for outputs in session.play(run):
                seen = {name: outputs[name] for name in watched}
                percentile.collect(seen)
                entropy.collect(seen)
                for name, values in seen.items():
                    largest[name] = max(largest[name], float(np.abs(values).max()))
        ranges = {
            "entropy": _reaches(entropy.compute_collection_result()),
            "percentile": _reaches(percentile.compute_collection_result()),
            "min-max": largest,
        }
    return {
        method: {layer: ranges[method][name] for layer, name in inputs.items()}
        for method in get_args(Method)
    }


def _reaches(ranges: Mapping[str, tuple[NDArray[np.float32], ...]]) -> dict[str, float]:
    return {name: float(max(-low, high)) for name, (low, high, *_) in ranges.items()}


def _snr_db(
    half: onnx.ModelProto, encoder_stride: int, run: Run, layer: str, reaches: Mapping[str, float]
) -> float:
    output = next(
        node.output[0]
        for node in half.graph.node
        if node.op_type == "Conv" and layer_name(node) == layer
    )
    alone = in_eight_bits(half, {layer: reaches[layer]})
    sessions = [GraphSession(each, encoder_stride, [output]) for each in (half, alone)]
    signal = noise = 0.0
    for exact, coarse in zip(*(session.play(run) for session in sessions), strict=True):
        values = exact[output].astype(np.float64)
        signal += float(np.square(values).sum())
        noise += float(np.square(values - coarse[output]).sum())
    return float(10 * np.log10(signal / max(noise, 1e-30)))
