"""The workstation's commands: photographs, scenes, train, evaluate.

Everything heavy is imported inside the commands, so that a device without torch can list them.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from failure import Failure

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
    training: Annotated[
        bool,
        typer.Option("--training", help="From photographs to train on; for calibration."),
    ] = False,
    photographs: Photographs = WORK / "photographs",
) -> None:
    """Write scenes with exact truth, to evaluate with: from photographs that are never trained on."""
    from rich.progress import Progress

    from magnifier import scene_folder
    from magnifier.photographs import load

    pictures = load(photographs, held_out=not training)
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
        str, typer.Option(help="twofold (the default), proposed or baseline.")
    ] = "twofold",
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
    batch: Annotated[int, typer.Option(min=1, help="Crops a step, of all processes together.")] = 8,
    crop: Annotated[
        int,
        typer.Option(
            min=32,
            max=320,
            help="Side of a crop in px, a multiple of 4. What moves in from beyond a crop's border "
            "cannot be known; large crops have less border.",
        ),
    ] = 128,
    rate: Annotated[
        float | None,
        typer.Option(
            min=1e-7,
            max=0.1,
            help="Highest learning rate; by default 1e-3, and 1e-4 with --quantised.",
        ),
    ] = None,
    quantised: Annotated[
        bool, typer.Option(help="Fine-tune finished weights for a decoder in eight bits.")
    ] = False,
    bfloat16: Annotated[
        bool, typer.Option(help="Multiply in bfloat16; faster where the processor has AMX.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="For the same scenes and crops again.")
    ] = None,
) -> None:
    """Train a network; stop it at any time, the same command goes on from its checkpoint.

    Several processes share each batch, on one machine or on many with one --work folder:
    torchrun --nproc-per-node 4 -m tremorscope train ...
    """
    import cv2
    import numpy as np
    import torch

    from magnifier import networks, weights
    from magnifier.photographs import load
    from magnifier.pool import MARGIN_PX, STRIDE, ScenePool
    from magnifier.processes import joined
    from magnifier.training import Recipe, Trainer
    from magnifier.training_display import display

    if crop % STRIDE:
        raise Failure(
            f"--crop {crop}: crops are cut in steps of {STRIDE} px; take a multiple of it"
        )
    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    folder = work / (f"{model}-quantised" if quantised else model)
    first = None
    if start_from is not None:
        first = weights.released(model) if start_from == "released" else Path(start_from)
    recipe = Recipe(
        steps=steps,
        batch=batch,
        crop_px=crop,
        # Finished weights are nudged, not thrown about.
        peak_rate=rate or (1e-4 if quantised else 1e-3),
        quantised=quantised,
        bfloat16=bfloat16,
    )
    with joined() as processes:
        if seed is not None:
            torch.manual_seed(seed)
        # Every process draws the same crops, from a pool of its own that is filled alike, and takes
        # its share of them.
        drawn = processes.agreed(np.random.SeedSequence(seed).generate_state(1).item())
        trainer = Trainer(networks.build(model, blocks), folder, recipe, first, processes)
        pool = ScenePool(
            work / ("scenes" if processes.first else f"scenes-{processes.rank}"),
            load(photographs, held_out=False),
            random=np.random.default_rng((drawn, trainer.step)),
            size_px=crop + MARGIN_PX,
        )
        with display(trainer, pool, visible=processes.first) as tell:
            trainer.run(pool, minutes, tell)
        if processes.first:
            averaged = folder / f"{model}.safetensors"
            trainer.save_average(averaged)
            typer.echo(f"{trainer.step} steps; averaged weights in {averaged}")


@app.command()
def evaluate(
    scenes: Annotated[Path, typer.Option(help="Folder written by: tremorscope scenes.")],
    model: Annotated[str, typer.Option(help="A released network.")] = "twofold",
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
    from magnifier.weights import load_network, released

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
        model_card.write(card, path, loaded, scores)
    if json_file is not None:
        report = {
            "network": loaded.name,
            "network_ssim": network_ssim,
            "input_ssim": input_ssim,
            "scenes": [asdict(score) for score in scores],
        }
        with replaced(json_file) as scratch:
            scratch.write_text(json.dumps(report, indent=1))


@app.command()
def compare(
    scenes: Annotated[Path, typer.Option(help="Folder written by: tremorscope scenes.")],
    out: Annotated[Path, typer.Option(help="Folder for RESULTS.md and its plots.")] = WORK,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Released network or file of weights; all released ones if not given."),
    ] = None,
    classical: Annotated[
        bool, typer.Option(help="With the phase-based method of the package vidmag.")
    ] = True,
    photographs: Photographs = WORK / "photographs",
    seed: Annotated[int, typer.Option(min=0, help="Of the tests of one motion.")] = 1,
) -> None:
    """Networks, a classical method and the unmagnified input side by side, with plots."""
    from rich.progress import Progress

    from magnifier import comparison, comparison_report, methods, scene_folder
    from magnifier.lpips import Lpips
    from magnifier.photographs import load
    from magnifier.weights import RELEASED, load_network, released

    stored = scene_folder.read(scenes)
    named = model or [path.stem for path in sorted(RELEASED.glob("*.safetensors"))]
    compared: dict[str, methods.Method] = {comparison_report.UNMAGNIFIED: methods.unmagnified}
    if classical:
        compared["phase-based"] = methods.phase_based()
    # A file of weights goes by its path, a released network by its name.
    files = {each: Path(each) if Path(each).is_file() else released(each) for each in named}
    networks = {name: load_network(path) for name, path in files.items()}
    about = comparison_report.described(files, networks)
    compared |= {name: methods.of_network(each) for name, each in networks.items()}
    lpips = Lpips(WORK / "lpips.safetensors", typer.echo)
    comparison_report.write_contact_sheet(out / "results/contact-sheet.jpg", compared, stored)
    with Progress() as bar:
        task = bar.add_task("comparing", total=comparison.steps(stored))
        results = comparison.compare(
            compared,
            stored,
            load(photographs, held_out=True),
            lpips,
            seed=seed,
            tell=lambda station: bar.update(task, advance=1, description=station),
        )
    page = out / "RESULTS.md"
    command = shlex.join(["tremorscope", *sys.argv[1:]])
    comparison_report.write(page, results, about, command=command)
    typer.echo(f"written: {page}")
