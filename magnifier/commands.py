"""The workstation's commands: photographs, scenes, train, evaluate.

Everything heavy is imported inside the commands, so that a device without torch can list them.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

Photographs = Annotated[Path, typer.Option(help="Folder of photographs, searched with subfolders.")]
WORK = Path("work")


@app.command()
def photographs(
    folder: Annotated[Path, typer.Argument(help="Where they are put.")] = WORK / "photographs",
    package: Annotated[
        list[str] | None,
        typer.Option(help="Debian package to unpack; all known ones if not given."),
    ] = None,
) -> None:
    """Collect photographs to cut scenes from out of Debian packages, without installing them."""
    from magnifier.photographs import DEBIAN_PACKAGES, collect_from_debian

    collect_from_debian(folder, tuple(package or DEBIAN_PACKAGES), typer.echo)


@app.command()
def scenes(
    write: Annotated[Path, typer.Option(help="Folder for the scenes.")],
    count: Annotated[int, typer.Option(min=1)] = 40,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    size: Annotated[int, typer.Option(min=64, help="Width and height in px.")] = 384,
    photographs: Photographs = WORK / "photographs",
) -> None:
    """Write evaluation scenes with exact truth, cut from photographs that are never trained on."""
    from rich.progress import Progress

    from magnifier import scene_folder
    from magnifier.photographs import load

    pictures = load(photographs, held_out=True)
    with Progress() as bar:
        task = bar.add_task("rendering", total=count)
        scene_folder.write(
            write,
            pictures,
            count=count,
            size_px=size,
            seed=seed,
            tell=lambda done: bar.update(task, completed=done),
        )


@app.command()
def train(
    model: Annotated[
        str, typer.Option(help="displace (the default network), proposed or baseline.")
    ] = ("displace"),
    photographs: Photographs = WORK / "photographs",
    work: Annotated[
        Path, typer.Option(help="Folder for the checkpoint and the pool of scenes.")
    ] = WORK,
    steps: Annotated[
        int, typer.Option(min=1, help="Steps in all, resumed ones included.")
    ] = 40_000,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after this time.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Processor threads; 0: all.")] = 0,
    blocks: Annotated[
        int | None,
        typer.Option(min=1, help="Decoder blocks; train few first, then go on with the rest."),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(help='"released" or a file of weights, used when there is no checkpoint.'),
    ] = None,
) -> None:
    """Train a network; stop it at any time, the same command goes on from its checkpoint."""
    import cv2
    import numpy as np
    import torch

    from magnifier import networks, weights
    from magnifier.photographs import load
    from magnifier.pool import ScenePool
    from magnifier.training import Recipe, Trainer
    from magnifier.training_display import display

    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    folder = work / model
    first = None
    if start_from is not None:
        first = weights.released(model) if start_from == "released" else Path(start_from)
    recipe = Recipe(steps=steps, blocks=blocks or networks.build(model).blocks)
    trainer = Trainer(model, folder, recipe, first)
    pool = ScenePool(
        work / "scenes", load(photographs, held_out=False), random=np.random.default_rng()
    )
    with display(trainer, pool) as tell:
        trainer.run(pool, minutes, tell)
    averaged = folder / f"{model}.safetensors"
    trainer.save_average(averaged)
    typer.echo(f"{trainer.step} steps; averaged weights in {averaged}")


@app.command()
def evaluate(
    scenes: Annotated[Path, typer.Option(help="Folder written by: tremorscope scenes.")],
    model: Annotated[str, typer.Option(help="A released network.")] = "displace",
    weights: Annotated[
        Path | None, typer.Option(help="A file of weights instead of released ones.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the scores.")] = None,
    card: Annotated[Path | None, typer.Option(help="Also write the weights' model card.")] = None,
) -> None:
    """Mean SSIM on a folder of scenes, of the network and of the unmagnified input."""
    from dataclasses import asdict
    from statistics import fmean

    from rich.progress import Progress

    from atomic_file import replaced
    from magnifier import evaluation, model_card, scene_folder
    from magnifier.weights import load_network, read, released

    stored = scene_folder.read(scenes)
    path = weights or released(model)
    loaded = load_network(path)
    with Progress(transient=True) as bar:
        task = bar.add_task("evaluating", total=len(stored))
        scores = evaluation.evaluate(loaded, stored, lambda _: bar.advance(task))
    network_ssim = fmean(score.network_ssim for score in scores)
    input_ssim = fmean(score.input_ssim for score in scores)
    typer.echo(f"{loaded.name} SSIM {network_ssim:.4f}")
    typer.echo(f"unmagnified SSIM {input_ssim:.4f}")
    if card is not None:
        parameters = sum(each.numel() for each in loaded.parameters())
        model_card.write(card, read(path)[1], scores, parameters)
    if json_file is not None:
        report = {
            "network": loaded.name,
            "network_ssim": network_ssim,
            "input_ssim": input_ssim,
            "scenes": [asdict(score) for score in scores],
        }
        with replaced(json_file) as scratch:
            scratch.write_text(json.dumps(report, indent=1))
