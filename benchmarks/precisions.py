"""``python -m benchmarks.precisions --scenes heldout``: what half precision and eight bits cost.

Every released network's graphs in ONNX Runtime, eight bits as the float arithmetic that they stand for,
on scenes with exact truth. Weights that ``train --quantised`` fine-tuned, whose residual stream is in
eight bits too, stand beside those that they came from. Writes PRECISIONS.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Annotated, get_args

import numpy as np
import onnx
import typer
from rich.progress import track

from atomic_file import replaced
from calibration import ranges
from export.artifact import Precision, sha256
from export.commands import released_ranges
from export.graph_session import GraphSession, Run
from export.onnx_graph import check_ranges, in_precision, learned_eight_bits, simplified, traced
from export.streaming import StreamingMagnifier
from machine import processor
from magnifier import motion_tests, scene_folder, weights
from magnifier.evaluation import similarity
from magnifier.markdown import table
from magnifier.photographs import Picture, load

PAGE = Path(__file__).with_name("PRECISIONS.md")
TRIAL_PX = 256
TRIALS = 6
"""Pictures of each pair of gain and motion, as in RESULTS.md; of half as many, the registration's own noise was
of the size of the marks."""
FINE_TUNED = "int8, stream too"
MARKS = {"fp16": (0.001, 0.002), "int8": (0.01, 0.02), FINE_TUNED: (0.01, 0.02)}
"""What SSIM may lose, and what the achieved gain may be off on average, against full precision."""
LEAST_SHOWN = 0.5
"""The gain of a picture in which half of the motion is lost that the frames had. Where full precision has
less, there is no magnification that could be off: how far the rest is off stands apart from the mean."""
Method = Callable[[Picture, Picture, float], Picture]


@dataclass(slots=True)
class Found:
    """Of one network in one precision."""

    ssim: list[float] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)


def methods(network: str, fine_tuned: Path | None) -> dict[str, Method]:
    """The graphs of a released network, each as a method that shows the motion of two frames."""
    path = weights.released(network)
    streaming = StreamingMagnifier(weights.load_network(path)).eval()
    model = simplified(traced(streaming), streaming, None)
    measured = ranges.read(released_ranges(network))
    check_ranges(measured, sha256(path))
    graphs: dict[str, onnx.ModelProto] = {
        precision: in_precision(model, precision, measured) for precision in get_args(Precision)
    }
    if fine_tuned is not None:
        tuned = StreamingMagnifier(weights.load_network(fine_tuned)).eval()
        graphs[FINE_TUNED] = learned_eight_bits(tuned, None)

    def of(graph: onnx.ModelProto) -> Method:
        session = GraphSession(graph, streaming.network.encoder_stride)

        def magnify(reference: Picture, current: Picture, gain: float) -> Picture:
            (outputs,) = session.play(Run([reference, current], gain))
            shown: Picture = outputs["magnified"]
            return shown

        return magnify

    return {precision: of(graph) for precision, graph in graphs.items()}


def measure(
    network: str, scenes: Path, photographs: Path, fine_tuned: Path | None
) -> dict[str, Found]:
    """SSIM of every scene, and the achieved gain of every pair of gain and motion."""
    shown = methods(network, fine_tuned)
    found = {precision: Found() for precision in shown}
    for scene in track(scene_folder.read(scenes), f"{network}: scenes"):
        reference, current, truth = scene.pictures()
        for precision, method in shown.items():
            picture = method(reference, current, scene.gain)
            found[precision].ssim.append(similarity(picture, truth))
    pictures = load(photographs, held_out=True)
    for place, (gain, motion_px) in enumerate(
        track(motion_tests.gain_grid(), f"{network}: achieved gain")
    ):
        achieved: dict[str, list[float]] = {precision: [] for precision in shown}
        for number in range(TRIALS):
            trial = motion_tests.trial(
                pictures,
                TRIAL_PX,
                motion_px=motion_px,
                gain=gain,
                noise=motion_tests.USUAL_NOISE,
                random=np.random.default_rng((1, place, number)),
            )
            for precision, method in shown.items():
                picture = method(trial.reference, trial.current, gain)
                achieved[precision].append(motion_tests.achieved_gain(picture, trial))
        for precision, gains in achieved.items():
            # Not a number where the moving part of any picture is not to be recognised.
            found[precision].gains.append(float(np.median(gains)))
    return found


def row(network: str, precision: str, found: dict[str, Found]) -> tuple[list[str], bool]:
    """A line of the table, beside full precision, and whether it holds its marks."""
    full, coarse = found["fp32"], found[precision]
    pairs = [
        (exact, other)
        for exact, other in zip(full.gains, coarse.gains, strict=True)
        if np.isfinite(exact)
    ]
    told = [(exact, abs(other / exact - 1)) for exact, other in pairs if np.isfinite(other)]
    errors = [error for exact, error in told if exact >= LEAST_SHOWN]
    apart = [error for exact, error in told if exact < LEAST_SHOWN]
    lost = fmean(full.ssim) - fmean(coarse.ssim)
    off = fmean(errors) if errors else float("nan")
    most_lost, most_off = MARKS.get(precision, (0.0, 0.0))
    holds = lost <= most_lost and off <= most_off and len(told) == len(pairs)
    return [
        network,
        precision,
        f"{fmean(coarse.ssim):.4f}",
        f"{0.0 - lost:+.4f}",
        f"{off:.2%}",
        f"{max(errors, default=float('nan')):.2%}",
        ", ".join(f"{error:.2%}" for error in apart) or "-",
        f"{len(told)} of {len(pairs)}",
        "yes" if holds else "no",
    ], holds


def _fine_tuning(tuned: dict[str, Path]) -> str:
    """What the rows of fine-tuned weights are, where there are any."""
    if not tuned:
        return ""
    steps = ", ".join(
        f"{network} by {weights.read(path)[1]['steps']} steps" for network, path in tuned.items()
    )
    return f"""
"{FINE_TUNED}": the sums between blocks are in eight bits as well, and the weights were fine-tuned to bear
that ({steps} of `tremorscope train --quantised --start-from released`). It moves fewer bytes, and no
released graph is made so: where it holds its marks, a board has to show first that it is faster.
"""


def main(
    scenes: Annotated[Path, typer.Option(help="Folder written by: tremorscope scenes.")],
    photographs: Annotated[Path, typer.Option()] = Path("work/photographs"),
    fine_tuned: Annotated[
        list[Path] | None, typer.Option(help="Weights written by: tremorscope train --quantised.")
    ] = None,
) -> None:
    """Measure all released networks and write the page."""
    tuned = {weights.read(path)[1]["network"]: path for path in fine_tuned or ()}
    rows: list[list[str]] = []
    broken: list[str] = []
    released = sorted(weights.RELEASED.glob("*.safetensors"))
    for path in released:
        found = measure(path.stem, scenes, photographs, tuned.get(path.stem))
        for precision in found:
            line, holds = row(path.stem, precision, found)
            rows.append(line)
            if not holds and precision != FINE_TUNED:  # which nothing ships
                broken.append(f"{path.stem} in {precision}")
    header = [
        "network",
        "precision",
        "SSIM",
        "change",
        "gain off, mean",
        "worst",
        "apart",
        "shown",
        "in marks",
    ]
    count = len(scene_folder.read(scenes))
    of_weights = ", ".join(f"{path.stem} {weights.digest(path)}" for path in released)
    with replaced(PAGE) as scratch:
        scratch.write_text(
            f"""# What half precision and eight bits cost

Written by `python -m benchmarks.precisions` on {processor()}: {count} held-out scenes of 384x384; achieved
gain of {len(motion_tests.gain_grid())} pairs of gain (2 to 50) and motion (.05 to 1 px), the median of
{TRIALS} pictures each, against what full precision achieves on the same pictures. Graphs in ONNX Runtime,
half precision imitated by rounding every value that a GPU stores, Q/DQ pairs as float arithmetic: measured
on no Jetson.

{table(header, rows)}

"apart": by how much a pair is off of which full precision shows less than {LEAST_SHOWN:.0%} of the motion that
the frames had before they were magnified: rounding noise is a large share of what is left, and mean and worst
are without it. "shown": of the pairs whose moving part can be recognised in every picture of full precision,
those where it can be here, too. Marks: half precision may lose .001 of SSIM and be off by .2 % of
the gain on average, eight bits .01 and 2 %, and neither may lose a pair. Weights, by their SHA-256:
{of_weights}.
{_fine_tuning(tuned)}""",
            encoding="utf-8",
        )
    if broken:
        raise SystemExit(f"outside the marks: {', '.join(broken)}; see {PAGE}")


if __name__ == "__main__":
    typer.run(main)
