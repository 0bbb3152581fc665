"""The pages and plots that ``tremorscope explore`` writes."""

from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from atomic_file import replaced
from machine import processor
from magnifier.boards import BOARDS
from magnifier.exploration import remove
from magnifier.exploration.brief import Laboratory, Score
from magnifier.exploration.remove import Removal
from magnifier.exploration.shape import Row
from magnifier.markdown import table

KIND_NAMES = {"relu": "ReLU", "block": "residual blocks"}


def write_removal(
    folder: Path,
    laboratory: Laboratory,
    nothing: Score,
    rows: list[Removal],
    strengths: list[Removal],
    *,
    start: str,
) -> Path:
    """Write ``REMOVE.md`` and its plots; ``start`` says which weights every run began with."""
    _plot_trajectories(folder / "remove-trajectories.svg", rows)
    _plot_trajectories(folder / "remove-strengths.svg", strengths)
    recipe = laboratory.recipe
    learning = round(remove.LEARNING_SHARE * recipe.steps)
    text = f"""# Learning to remove

Written by `tremorscope explore remove` on {processor()}. The poster's first table at the scale of one
small machine: F(x) = (1 - w) A(x) + w x for every part of one kind in one module of the baseline, and
L = L_task + lambda_rm x mean(1 - w^p). The poster leaves out how w begins and what lambda_rm and p are:
here {remove.START:g}, {remove.LAMBDA_RM:g} and {remove.POWER:g}.

Every row begins with {start}, learns with its switches for {learning} steps, has
each w taken to the nearer of 0 and 1, is rebuilt without what is removed, and goes on for
{recipe.steps - learning} steps; the first row goes on in the same way without switches.
{_recipe_words(laboratory)} The rate of w is such that it could go {remove.TRAVEL:g} times from 0 to 1 if
all its gradients had one sign; Adam makes of lambda_rm a weight against the task's gradient, not a speed.
One seed.

{_removal_table(rows, nothing)}

![w of every part over the steps](remove-trajectories.svg)

## What lambda_rm and p do

The decoder's residual blocks, removed with other strengths; everything else as above.

{_strength_table(rows, strengths)}

![w over the steps with other strengths](remove-strengths.svg)
"""
    return _write(folder / "REMOVE.md", text)


def write_shapes(folder: Path, laboratory: Laboratory, nothing: Score, rows: list[Row]) -> Path:
    """Write ``SHAPE.md`` and its Pareto plot."""
    _plot_pareto(folder / "shape-pareto.svg", nothing, rows)
    count = len(rows[0].scores)
    text = f"""# Depth, channels, resolution

Written by `tremorscope explore shape` on {processor()}. The baseline with other decoders: blocks x
channels at a half or a quarter of the resolution. Every row was trained from random weights for the same
{laboratory.recipe.steps} steps, a small part of what a finished network takes, so rows tell how fast a
shape learns as much as how good it is in the end. {_recipe_words(laboratory)}
{count} seeds; the figure behind ± is half the distance between the best and the worst seed.

GMAC and measured frames a second: 384x384, ONNX Runtime, one process, shapes in turns. Bytes: 1920x1080
in FP16, every convolution reading its input and weights and writing its output once.

{_shape_table(rows, nothing)}

![SSIM over GMAC and over measured speed](shape-pareto.svg)

## Frames a second on Jetson at 1920x1080: an estimate, not a measurement

The larger of arithmetic at the board's dense FP16 peak and of bytes at its memory's peak. Real networks
stay behind their roofline; fusing convolutions or INT8 would move it.

{_board_table(rows)}
"""
    return _write(folder / "SHAPE.md", text)


def _recipe_words(laboratory: Laboratory) -> str:
    recipe = laboratory.recipe
    precision = ", in bfloat16" if recipe.bfloat16 else ""
    return (
        f"A step has {recipe.batch} crops of {recipe.crop_px} px, learning rate up to "
        f"{recipe.peak_rate:g}{precision}. Scores are means over {len(laboratory.scenes)} held-out "
        "scenes."
    )


def _removal_table(rows: list[Removal], nothing: Score) -> str:
    lines = [("unmagnified input", "", "", "", *_score(nothing))]
    for row in rows:
        share = f"{row.removed} of {row.parts}"
        kind = row.case.kind if row.case else None
        lines.append(
            (
                row.case.module if row.case else "nothing removed",
                share if kind == "relu" else "",
                share if kind == "block" else "",
                f"{row.gmac:.1f}",
                *_score(row.score),
            )
        )
    header = ("module", "ReLU removed", "blocks removed", "GMAC", "SSIM", "LPIPS")
    return table(header, lines)


def _strength_table(rows: list[Removal], strengths: list[Removal]) -> str:
    standard = [row for row in rows if row.case and row.case == remove.Case("decoder", "block")]
    lines = []
    for row in [*standard, *strengths]:
        assert row.case is not None
        ends = [each[-1] for each in row.trajectory.values()]
        lines.append(
            (
                f"{row.case.lambda_rm:g}",
                f"{row.case.power:g}",
                f"{row.removed} of {row.parts}",
                f"{min(ends):.2f} to {max(ends):.2f}",
                f"{row.gmac:.1f}",
                *_score(row.score),
            )
        )
    header = ("lambda_rm", "p", "removed", "w before rounding", "GMAC", "SSIM", "LPIPS")
    return table(header, sorted(lines, key=lambda line: (float(line[1]), float(line[0]))))


def _shape_table(rows: list[Row], nothing: Score) -> str:
    lines = [("unmagnified input", "", "", "", "", *_score(nothing))]
    lines += [
        (
            row.shape.name,
            f"{row.cost.multiply_accumulates / 1e9:.1f}",
            f"{row.cost.parameters:,}",
            f"{row.full_hd_cost.moved_bytes / 1e9:.2f} GB",
            f"{1 / row.frame_s:.1f}",
            _spread([score.ssim for score in row.scores]),
            _spread([score.lpips for score in row.scores]),
        )
        for row in rows
    ]
    header = ("decoder", "GMAC", "parameters", "bytes moved", "frames/s here", "SSIM", "LPIPS")
    return table(header, lines)


def _board_table(rows: list[Row]) -> str:
    lines = [
        (board.name, *(f"{1 / board.frame_s(row.full_hd_cost):.0f}" for row in rows))
        for board in BOARDS
    ]
    return table(("board", *(row.shape.name for row in rows)), lines)


def _score(score: Score) -> tuple[str, str]:
    return f"{score.ssim:.3f}", f"{score.lpips:.3f}"


def _spread(values: list[float]) -> str:
    return f"{fmean(values):.3f} ± {(max(values) - min(values)) / 2:.3f}"


def _plot_trajectories(path: Path, rows: list[Removal]) -> None:
    cases = [(row.case, row.trajectory) for row in rows if row.case]
    figure = Figure((9, 2.6 * ((len(cases) + 2) // 3)), layout="constrained")
    panels = figure.subplots((len(cases) + 2) // 3, 3, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(cases) :]:
        axes.set_axis_off()
    for axes, (case, trajectory) in zip(panels.flat, cases, strict=False):
        for line in trajectory.values():
            axes.plot(line, linewidth=1)
        title = f"{case.module}, {KIND_NAMES[case.kind]}"
        axes.set_title(f"{title}: λ = {case.lambda_rm:g}, p = {case.power:g}", fontsize=8)
        axes.axhline(0.5, color="0.8", linewidth=0.8)
        axes.set_ylim(-0.05, 1.05)
    for axes in panels[-1]:
        axes.set_xlabel("step")
    for axes in panels[:, 0]:
        axes.set_ylabel("w (1: removed)")
    _save(figure, path)


def _plot_pareto(path: Path, nothing: Score, rows: list[Row]) -> None:
    figure = Figure((9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for row in rows:
        ssim = [score.ssim for score in row.scores]
        spread = [[fmean(ssim) - min(ssim)], [max(ssim) - fmean(ssim)]]
        gmac, rate_hz = row.cost.multiply_accumulates / 1e9, 1 / row.frame_s
        for axes, x in ((left, gmac), (right, rate_hz)):
            axes.errorbar(x, fmean(ssim), yerr=spread, marker="o", capsize=3, label=row.shape.name)
    for axes in (left, right):
        axes.axhline(nothing.ssim, color="0.5", linestyle="--", linewidth=1)
        axes.grid(alpha=0.3)
    left.set_xlabel("GMAC at 384x384")
    right.set_xlabel("frames/s at 384x384, ONNX Runtime, measured")
    left.set_ylabel("SSIM (dashed: unmagnified)")
    right.legend(fontsize=7)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replaced(path) as scratch:
        figure.savefig(scratch, format="svg")


def _write(path: Path, text: str) -> Path:
    with replaced(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return path
