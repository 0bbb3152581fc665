"""The page that ``tremorscope quantize`` writes: what eight bits cost, layer by layer."""

from math import isfinite
from pathlib import Path

from matplotlib.figure import Figure

from atomic_file import replaced
from calibration.ranges import Ranges
from export.quantisation import (
    JUDGED_GAINS,
    LARGEST_GAIN_ERROR,
    LEAST_SSIM,
    MORE_GAIN,
    Judgement,
    Layer,
    Quantised,
)
from magnifier.markdown import table

HIGHEST_DB = 80.0
"""Of the plot."""


def write(page: Path, found: Quantised, ranges: Ranges, command: str) -> None:
    """Write ``page`` and, beside it, a plot of the layers."""
    plot = page.with_suffix(".svg")
    _plot(plot, found)
    choice = [
        [f"eight bits, scales by {method}{_by(divisor)}", *_scores(judged)]
        for (method, divisor), judged in found.tried.items()
    ]
    reached = [
        ["half precision", *_scores(found.half)],
        ["**chosen**", *_scores(found.chosen)],
    ]
    header = ["SSIM", "gain", "largest difference", "mean difference"]
    layers = [
        [layer.name, f"{layer.reach:.3g}", _decibels(layer), _precision(layer.name, found)]
        for layer in found.layers
    ]
    gains = ", ".join(f"{each:g}" for each in JUDGED_GAINS)
    text = f"""# {ranges.network} in eight bits

Written by `{command}`.
Frames: {ranges.source}; half of them gave the scales, at their own gain and at {MORE_GAIN:g} times that, a
quarter chose among them, and a quarter, by which nothing was chosen, tells what was reached.
Weights {ranges.weights_sha256[:12]}, frames {ranges.frames_sha256[:12]}.

Against the pictures of full precision in ONNX Runtime; eight bits are computed as the float arithmetic
that they stand for, each frame at {gains} times its gain. "Gain" is by how much more or less motion is
shown: the mean of the errors at each gain, without its sign; of a network that gives no displacement, by
how much more or less the picture changes, which is a coarse figure. Accepted are an SSIM of at least
{LEAST_SSIM:g} and {LARGEST_GAIN_ERROR:.0%} of the gain. Scales that reach less far than a calibrator's clip
large motion and round less of small motion away.

{table(["on the frames kept aside", *header], reached)}

{table(["on the frames that chose", *header], choice)}

Scales by **{found.method}{_by(found.divisor)}**. {_returned(found)}

![Signal to noise of every layer](./{plot.name})

Signal to noise: of the layer's output, with this layer alone in eight bits; a dash where nothing passes.

{table(["layer", "reach of its input", "signal to noise dB", "precision"], layers)}
"""
    with replaced(page) as scratch:
        scratch.write_text(text, encoding="utf-8")


def _scores(judged: Judgement) -> list[str]:
    return [
        f"{judged.ssim:.4f}",
        f"{judged.gain_error:.2%}",
        f"{judged.largest_difference:.0f}",
        f"{judged.mean_difference:.3f}",
    ]


def _decibels(layer: Layer) -> str:
    return f"{layer.snr_db:.1f}" if isfinite(layer.snr_db) else "-"


def _precision(layer: str, found: Quantised) -> str:
    return "int8" if layer in found.reaches else "fp16"


def _by(divisor: int) -> str:
    return "" if divisor == 1 else f" / {divisor}"


def _returned(found: Quantised) -> str:
    if not found.returned:
        return "Every deep layer is in eight bits."
    names = ", ".join(f"{layer.name} ({layer.snr_db:.1f} dB)" for layer in found.returned)
    return f"Back to half precision went, because eight bits cost too much: {names}."


def _plot(path: Path, found: Quantised) -> None:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.add_subplot()
    colours = {"int8": "tab:blue", "fp16": "tab:orange"}
    for precision, colour in colours.items():
        places = [
            place
            for place, layer in enumerate(found.layers)
            if _precision(layer.name, found) == precision
        ]
        if places:
            heights = [min(found.layers[place].snr_db, HIGHEST_DB) for place in places]
            axes.bar(places, heights, color=colour, label=f"runs in {precision}")
    axes.set_xlabel("convolution of the deep decoder, in order")
    axes.set_ylabel("signal to noise in eight bits (dB)")
    axes.set_ylim(0, HIGHEST_DB)
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    with replaced(path) as scratch:
        figure.savefig(scratch, format="svg")
