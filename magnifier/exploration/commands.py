"""``tremorscope explore``: the poster's two stages, each with one command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from failure import Failure

if TYPE_CHECKING:
    from rich.progress import Progress

    from magnifier.exploration.brief import Laboratory
    from magnifier.training import Recipe

app = typer.Typer(help="The poster's search for an architecture, in two stages.")

WORK = Path("work")
Scenes = Annotated[Path, typer.Option(help="Folder written by: tremorscope scenes.")]
Out = Annotated[Path, typer.Option(help="Folder for the page and its plots.")]
Photographs = Annotated[Path, typer.Option(help="Folder of photographs, searched with subfolders.")]
Threads = Annotated[int, typer.Option(min=0, help="Processor threads; 0: all.")]
Bfloat16 = Annotated[
    bool, typer.Option(help="Multiply in bfloat16; faster where the processor has AMX.")
]


def _laboratory(
    scenes: Path, photographs: Path, recipe: "Recipe", threads: int, bar: "Progress"
) -> "Laboratory":
    import cv2
    import torch

    from magnifier import scene_folder
    from magnifier.exploration.brief import POOL_SCENES, Laboratory
    from magnifier.lpips import Lpips
    from magnifier.photographs import load

    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    laboratory = Laboratory(
        folder=WORK / "exploration-scenes",
        scenes=scene_folder.read(scenes),
        lpips=Lpips(WORK / "lpips.safetensors", typer.echo),
        recipe=recipe,
    )
    task = bar.add_task("rendering scenes", total=POOL_SCENES)
    laboratory.fill(load(photographs, held_out=False), lambda: bar.advance(task))
    bar.remove_task(task)
    return laboratory


def _recipe(steps: int, peak_rate: float, bfloat16: bool) -> "Recipe":
    from magnifier.training import Recipe

    return Recipe(
        batch=4,
        crop_px=64,
        steps=steps,
        peak_rate=peak_rate,
        warmup_steps=steps // 10,
        bfloat16=bfloat16,
    )


@app.command()
def remove(
    scenes: Scenes,
    out: Out = WORK / "exploration",
    photographs: Photographs = WORK / "photographs",
    start_from: Annotated[
        str, typer.Option(help='Weights of a baseline; "released" for those of the kit.')
    ] = "released",
    steps: Annotated[int, typer.Option(min=10, help="Of every run.")] = 300,
    threads: Threads = 0,
    bfloat16: Bfloat16 = False,
) -> None:
    """Stage 1, learning to remove: which ReLUs and blocks of the baseline are worth having."""
    from rich.progress import Progress

    from magnifier import methods, weights
    from magnifier.exploration import remove as stage
    from magnifier.exploration import report

    path = weights.released("baseline") if start_from == "released" else Path(start_from)
    trained = weights.load_network(path)
    if trained.name != "baseline":
        raise Failure(f"{path}: of the network {trained.name}; parts are removed from a baseline")
    cases = [None, *stage.table_cases(), *stage.strength_cases()]
    with Progress() as bar:
        laboratory = _laboratory(scenes, photographs, _recipe(steps, 3e-4, bfloat16), threads, bar)
        task = bar.add_task("learning to remove", total=len(cases) * steps)
        found = [
            stage.run(laboratory, trained, case, 0, lambda: bar.advance(task)) for case in cases
        ]
    rows = 1 + len(stage.table_cases())
    facts = weights.read(path)[1]
    page = report.write_removal(
        out,
        laboratory,
        laboratory.score(methods.unmagnified),
        found[:rows],
        found[rows:],
        start=f"a baseline after {weights.trained_steps(facts)} steps",
    )
    typer.echo(f"written: {page}")


@app.command()
def shape(
    scenes: Scenes,
    out: Out = WORK / "exploration",
    photographs: Photographs = WORK / "photographs",
    steps: Annotated[int, typer.Option(min=10, help="Of every run.")] = 400,
    seeds: Annotated[int, typer.Option(min=2, help="Runs of each shape.")] = 2,
    threads: Threads = 0,
    bfloat16: Bfloat16 = False,
) -> None:
    """Stage 2: depth, channels and latent resolution of the decoder, at the same budget."""
    from rich.progress import Progress

    from magnifier import methods, speed
    from magnifier.arithmetic import POSTER_PX
    from magnifier.exploration import report
    from magnifier.exploration import shape as stage

    with Progress() as bar:
        laboratory = _laboratory(scenes, photographs, _recipe(steps, 1e-3, bfloat16), threads, bar)
        networks = {each.name: each.network() for each in stage.SHAPES}
        frame_s = speed.frame_s(networks, POSTER_PX)
        task = bar.add_task("training shapes", total=len(stage.SHAPES) * seeds * steps)
        rows = [
            stage.run(laboratory, each, range(seeds), frame_s[each.name], lambda: bar.advance(task))
            for each in stage.SHAPES
        ]
    page = report.write_shapes(out, laboratory, laboratory.score(methods.unmagnified), rows)
    typer.echo(f"written: {page}")
