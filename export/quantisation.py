"""Scales for eight bits, chosen by what they do to the pictures of real frames."""

import contextlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean
from typing import get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from calibration.ranges import Method
from export.agreement import Agreement
from export.eight_bits import deep_layers, in_eight_bits, layer_name
from export.graph_session import STATIC, GraphSession, Outputs, Run
from export.half_precision import halved
from export.streaming import DISPLACEMENT
from failure import Failure
from magnifier.evaluation import similarity

LEAST_SSIM = 0.99
"""Against the pictures of full precision."""
LARGEST_GAIN_ERROR = 0.02
PERCENTILE = 99.99
MORE_GAIN = 4.0
"""Frames are collected from at their own gain, and at so many times that: the gain is turned up while a
camera runs, and motion then reaches the bound that the network sets."""
JUDGED_GAINS = (0.1, 1.0)
"""Times a run's own gain. Turned down, motion is small: scales that reach far round it to nothing."""
LEAST_GAIN = 2.0
DIVISORS = (1, 2, 4, 8)
"""Of what a calibrator finds: it looks at all values, among which those of small motion are few."""
PERCENTILE_BINS, ENTROPY_BINS, ENTROPY_LEVELS = 2048, 512, 128


@dataclass(frozen=True, slots=True)
class Layer:
    """``snr_db``: signal over noise of its output with it alone in eight bits; infinite where eight
    bits change nothing, as where nothing passes through it."""

    name: str
    reach: float
    snr_db: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far a graph is from full precision; see ``Agreement``, whose names these are.

    Means over all runs at all ``JUDGED_GAINS``; each run counts as much as another, however little moves in
    it. Of the gain's error, the mean at each gain counts without its sign.
    """

    ssim: float
    gain_error: float
    largest_difference: float
    mean_difference: float


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame, the states of the filter before it, and what full precision makes of both."""

    frame: NDArray[np.uint8]
    gain: float
    states: list[NDArray[np.float32]]
    outputs: Outputs


Expected = list[list[list[Seen]]]
"""Of every frame of every run at every gain."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """What was chosen and why."""

    method: Method
    divisor: int
    """By what the reaches of the method were divided."""
    reaches: dict[str, float]
    """Of the layers in eight bits."""
    layers: list[Layer]
    """All deep layers, in order."""
    tried: dict[tuple[Method, int], Judgement]
    """All deep layers in eight bits, by method and divisor, on the frames that chose."""
    half: Judgement
    """Everything in half precision, on frames that nothing was chosen by."""
    chosen: Judgement
    """What was chosen, on the same frames."""
    returned: list[Layer]
    """Layers that went back to half precision."""


def quantised(
    model: onnx.ModelProto,
    encoder_stride: int,
    runs: Sequence[Run],
    tell: Callable[[str], None],
) -> Quantised:
    """Choose the scales of ``model``, the float32 graph of any size; ``tell`` hears of every step.

    Half of the runs give the scales, a quarter chooses among them, a quarter tells what was reached; there
    must be four or more. Raises Failure where half precision alone costs too much, or all layers would.
    """
    calibrated, choosing, aside = list(runs[::2]), list(runs[1::4]), list(runs[3::4])
    exact = GraphSession(model, encoder_stride)
    to_choose, to_tell = expected(exact, choosing), expected(exact, aside)
    half = halved(model)

    def judge(coarse: onnx.ModelProto, by: Expected = to_choose) -> Judgement:
        return judgement(by, GraphSession(coarse, encoder_stride))

    tell("half precision")
    if excess(of_half := judge(half)) > 1:
        raise Failure(
            f"half precision alone changes the pictures too much (SSIM {of_half.ssim:.4f}, "
            f"{of_half.gain_error:.2%} of the gain), so eight bits cannot help; export in fp32"
        )
    tell("what the layers see")
    reaches = collected(model, encoder_stride, calibrated)
    tried: dict[tuple[Method, int], Judgement] = {}
    for method, divisor in product(reaches, DIVISORS):
        tell(f"scales by {method}, divided by {divisor}")
        narrower = _divided(reaches[method], divisor)
        tried[method, divisor] = judge(in_eight_bits(half, narrower))
    (method, divisor), chosen = min(tried.items(), key=lambda each: excess(each[1]))
    best = _divided(reaches[method], divisor)
    layers = []
    for name in best:
        tell(f"layer {name} alone")
        snr_db = _snr_db(half, encoder_stride, choosing[0], name, best)
        layers.append(Layer(name, best[name], snr_db))
    kept, returned = dict(best), list[Layer]()
    costly = [layer for layer in layers if math.isfinite(layer.snr_db)]
    for layer in sorted(costly, key=lambda each: each.snr_db):
        if excess(chosen) <= 1:
            break
        tell(f"without {layer.name}")
        returned.append(layer)
        del kept[layer.name]
        if kept:
            chosen = judge(in_eight_bits(half, kept))
    if not kept:
        raise Failure(
            f"every layer in eight bits costs too much, {returned[0].name} most "
            f"({returned[0].snr_db:.1f} dB); export in fp16"
        )
    tell("on frames kept aside")
    chosen = judge(in_eight_bits(half, kept), to_tell)
    return Quantised(method, divisor, kept, layers, tried, judge(half, to_tell), chosen, returned)


def _divided(reaches: Mapping[str, float], divisor: int) -> dict[str, float]:
    return {name: reach / divisor for name, reach in reaches.items()}


def excess(found: Judgement) -> float:
    """How far a graph is from full precision, 1 at the limit of what is accepted."""
    return max((1 - found.ssim) / (1 - LEAST_SSIM), found.gain_error / LARGEST_GAIN_ERROR)


def expected(exact: GraphSession, runs: Sequence[Run]) -> Expected:
    """What full precision shows of the runs, at each of ``JUDGED_GAINS``."""
    return [
        [_seen(exact, replace(run, gain=max(LEAST_GAIN, share * run.gain))) for run in runs]
        for share in JUDGED_GAINS
    ]


def _seen(exact: GraphSession, run: Run) -> list[Seen]:
    first, *others = run.frames
    exact.begin(first)
    seen = []
    for frame in others:
        states = exact.states
        outputs = exact.step(frame, run.gain, STATIC)
        kept = {name: outputs[name] for name in ("magnified", DISPLACEMENT) if name in outputs}
        seen.append(Seen(frame, run.gain, states, kept))
    return seen


def judgement(by: Expected, coarse: GraphSession) -> Judgement:
    """How near another graph of the same network, with the same encoder and filter, comes to that."""
    at_gains = [[_agreement(coarse, seen) for seen in runs] for runs in by]
    every = [one for found in at_gains for one in found]
    return Judgement(
        ssim=fmean(one.ssim for one in every),
        gain_error=fmean(abs(fmean(one.gain_error for one in found)) for found in at_gains),
        largest_difference=max(one.largest_difference for one in every),
        mean_difference=fmean(one.mean_difference for one in every),
    )


def _agreement(coarse: GraphSession, run: Sequence[Seen]) -> Agreement:
    found = Agreement(similarity)
    for seen in run:
        coarse.states = seen.states
        shown = coarse.step(seen.frame, seen.gain, STATIC)
        moved = None
        if DISPLACEMENT in seen.outputs:
            moved = seen.outputs[DISPLACEMENT], shown[DISPLACEMENT]
        found.add(seen.frame, seen.outputs["magnified"], shown["magnified"], moved)
    return found


def collected(
    model: onnx.ModelProto, encoder_stride: int, runs: Sequence[Run]
) -> dict[Method, dict[str, float]]:
    """By method, the reach of the input of every deep layer over all runs, each at two gains."""
    inputs = {
        layer_name(node): node.input[0] for node in model.graph.node if node.op_type == "Conv"
    }
    inputs = {name: inputs[name] for name in deep_layers(model)}
    watched = sorted(set(inputs.values()))
    session = GraphSession(model, encoder_stride, watched)
    percentile = HistogramCollector("percentile", True, PERCENTILE_BINS, 0, PERCENTILE, "same")
    entropy = HistogramCollector("entropy", True, ENTROPY_BINS, ENTROPY_LEVELS, 0, "same")
    largest = dict.fromkeys(watched, 0.0)
    # More gain first: where later values reach further, the calibrators add bins and slow down.
    at_gains = [*(replace(each, gain=MORE_GAIN * each.gain) for each in runs), *runs]
    # The collectors print what they do.
    with contextlib.redirect_stdout(io.StringIO()):
        for run in at_gains:
            for outputs in session.play(run):
                # A quarter of the places has the same histogram.
                seen = {name: outputs[name][..., ::2, ::2] for name in watched}
                percentile.collect(seen)
                entropy.collect(seen)
                for name in watched:
                    largest[name] = max(largest[name], float(np.abs(outputs[name]).max()))
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
    return 10 * math.log10(signal / noise) if signal and noise else math.inf
