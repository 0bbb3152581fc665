"""``tremorscope selftest``: the engines on this device against what torch made, and their speed.

Each is held against golden pictures that torch made of its own weights at its own size, when its graph
was exported; the shipped graph in ONNX Runtime, against those that are shipped with it.
"""

import platform
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from importlib.metadata import version
from pathlib import Path

import onnxruntime
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from export import golden
from export.artifact import checked
from export.engine_files import configuration, engines_in
from failure import Failure
from machine import board, power_mode, processor
from nvidia_gpu import GpuContext, installed_pycuda, installed_tensorrt
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.engine.tensorrt import TensorRtEngine
from runtime.engine.trial import Effort, Refusal, Verdict, tried

TABLE_COLUMNS = 160
"""Wider than a terminal rather than folded: it is pasted into reports."""


def selftest(folder: Path | None, console: Console, effort: Effort | None = None) -> bool:
    """Print a table to paste into a report; False when an engine is refused, or shows what it should
    not. Raises Failure for a folder without engines.
    """
    effort = effort or Effort()
    trials: dict[str, Callable[[], Verdict]] = {"ONNX Runtime": partial(shipped, effort)}
    trials |= {plan.name: partial(built, plan, effort) for plan in _engines(folder)}
    verdicts: list[Verdict] = []
    refusals: list[Refusal] = []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("", total=len(trials))
        for name, trial in trials.items():
            bar.update(task, description=name)
            try:
                verdicts.append(trial())
            except Failure as failure:
                refusals.append(Refusal(name, str(failure)))
            bar.advance(task)
    _print(console, verdicts, refusals, effort)
    return not refusals and all(verdict.holds for verdict in verdicts)


def _engines(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise Failure(
            f"--engines {folder}: there is no such folder; name the --out of: tremorscope build"
        )
    plans = engines_in(folder)
    if not plans:
        raise Failure(f"--engines {folder}: holds no engine; make one with: tremorscope build")
    return plans


def shipped(effort: Effort) -> Verdict:
    """Of the shipped graph in ONNX Runtime."""
    sidecar = checked(SHIPPED)
    pictures = golden.load(golden.golden_path(SHIPPED.parent, sidecar))
    with closing(OnnxRuntimeEngine(SHIPPED)) as engine:
        return tried(engine, "ONNX Runtime", sidecar.precision, pictures, effort)


def built(plan: Path, effort: Effort) -> Verdict:
    """Of an engine. Raises Failure where it is refused, or nothing is there to judge it by."""
    with closing(TensorRtEngine(plan)) as engine:
        sidecar = engine.sidecar
        pictures = golden.load(golden.golden_path(plan.parent, sidecar))
        precision: str = sidecar.precision
        if precision != sidecar.wanted_precision:
            precision += f" ({sidecar.wanted_precision} wanted)"
        return tried(engine, plan.name, precision, pictures, effort, (plan, sidecar))


def _print(
    console: Console, verdicts: Sequence[Verdict], refusals: Sequence[Refusal], effort: Effort
) -> None:
    def say(line: str) -> None:
        # Sentences hold paths and [sections] of a configuration: no markup, no folding.
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    for line in machine():
        say(line)
    wide = Console(file=console.file, width=max(console.width, TABLE_COLUMNS))
    wide.print(_table(verdicts, refusals))
    say(
        "largest, mean: grey levels from torch's pictures; gain: motion too much or too little; frames/s: "
        f"from bytes to bytes, the median of {effort.frames} frames (fewer after {effort.longest_s:g} s) "
        f"behind {effort.warm_up_s:g} s of warm-up; computing, copying: by the GPU's clock"
    )
    for verdict in verdicts:
        say(f"{verdict.name}: {verdict.description}, {verdict.speed.frames} frames timed")
        if verdict.plan is not None:
            for fallback in verdict.plan[1].fallbacks:
                say(f"{verdict.name}: fell back, because of {fallback}")
    for refusal in refusals:
        say(f"{refusal.name}: refused: {refusal.sentence}")
    engines = [verdict for verdict in verdicts if verdict.plan is not None]
    for size_px in sorted({verdict.size_px for verdict in engines}):
        say(advice(size_px, engines))


def machine() -> list[str]:
    """What the figures were measured on."""
    parts = [board(Path("/")), platform.machine(), processor()]
    mode = power_mode()
    parts.append(None if mode is None else f"power mode {mode}")
    lines = [", ".join(part for part in parts if part)]
    try:
        with closing(GpuContext(installed_pycuda(), "tremorscope selftest")) as gpu:
            capability = "".join(map(str, gpu.compute_capability))
            lines.append(f"{gpu.name} (sm_{capability}), CUDA driver {gpu.cuda_version}")
        lines[-1] += f", TensorRT {installed_tensorrt().__version__}"
    except Failure as failure:
        lines.append(f"without TensorRT: {failure}")
    lines.append(
        f"tremorscope {version('tremorscope')}, ONNX Runtime {onnxruntime.__version__}, "
        f"Python {platform.python_version()}"
    )
    return lines


def _table(verdicts: Sequence[Verdict], refusals: Sequence[Refusal]) -> Table:
    table = Table("engine", "size", "precision", box=box.MARKDOWN)
    for name in ("largest", "mean", "gain", "frames/s", "computing ms", "copying ms"):
        table.add_column(name, justify="right")
    table.add_column("")
    for verdict in verdicts:
        table.add_row(
            verdict.name,
            "x".join(map(str, verdict.size_px)),
            verdict.precision,
            f"{verdict.largest_difference:.0f}",
            f"{verdict.mean_difference:.3f}",
            f"{verdict.gain_error:+.2%}",
            f"{1 / verdict.speed.frame_s:.1f}",
            _milliseconds(verdict.speed.computing_s),
            _milliseconds(verdict.speed.copying_s),
            "holds" if verdict.holds else "DIFFERS",
        )
    for refusal in refusals:
        table.add_row(refusal.name, *[""] * 8, "REFUSED")
    return table


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.2f}"


def advice(size_px: tuple[int, int], verdicts: Sequence[Verdict]) -> str:
    """Which engine to use for pictures of this size: the fastest that shows what it should."""
    size = "x".join(map(str, size_px))
    holding = [each for each in verdicts if each.size_px == size_px and each.holds]
    if not holding:
        return (
            f'{size}: no engine shows what it should; report this table, and set engine = "onnxruntime" '
            "under [magnification]"
        )
    best = min(holding, key=lambda verdict: verdict.speed.frame_s)
    assert best.plan is not None
    return (
        f"{size}: {best.name} is the fastest that shows what it should; write in the configuration:\n\n"
        f"{configuration(*best.plan)}"
    )
