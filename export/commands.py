"""The commands that make graphs (on a workstation) and engines (on the device)."""

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from failure import Failure

if TYPE_CHECKING:
    from export.artifact import Precision

app = typer.Typer()


def released_ranges(network: str) -> Path:
    """Where the kit's own file of ranges for a released network lies."""
    return Path(__file__).parent / "released" / f"{network}.ranges.json"


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Folder for the graph and its sidecar.")],
    model: Annotated[str, typer.Option(help="A released network.")] = "twofold",
    weights: Annotated[
        Path | None, typer.Option(help="A file of weights instead of released ones.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT in px; without it the graph takes any size.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    ranges: Annotated[
        Path | None,
        typer.Option(help="What tremorscope quantize wrote; the released network's if not given."),
    ] = None,
) -> None:
    """Write a network as the streaming ONNX graph that devices run."""
    from rich.progress import Progress

    from calibration import ranges as stored
    from export.onnx_graph import PARITY_FRAMES
    from export.onnx_graph import export as write
    from magnifier.weights import released

    chosen = precision_named(precision)
    measured = None
    if chosen == "int8":
        measured = stored.read(ranges or released_ranges(model))
    with Progress(transient=True) as bar:
        task = bar.add_task("comparing with torch", total=PARITY_FRAMES)
        path, sidecar = write(
            weights or released(model),
            out,
            size_in_px(size),
            chosen,
            measured,
            lambda: bar.advance(task),
        )
    parity = sidecar.parity
    assert parity is not None
    typer.echo(
        f"{path}: within {parity.largest_difference:.0f} grey levels of torch "
        f"(mean {parity.mean_difference:.5f}), SSIM {parity.ssim:.5f}, "
        f"gain {parity.gain_error:+.2%}, over {parity.frames} frames"
    )


@app.command()
def quantize(
    out: Annotated[Path, typer.Option(help="Folder for the ranges and the report.")],
    frames: Annotated[
        Path | None, typer.Option(help="Folder written by: tremorscope capture.")
    ] = None,
    gain: Annotated[
        float | None,
        typer.Option(min=1, help="The gain that the camera's frames will be shown with; 20."),
    ] = None,
    scenes: Annotated[
        Path | None,
        typer.Option(help="Instead of frames, a folder written by: tremorscope scenes."),
    ] = None,
    model: Annotated[str, typer.Option(help="A released network.")] = "twofold",
    weights: Annotated[
        Path | None, typer.Option(help="A file of weights instead of released ones.")
    ] = None,
) -> None:
    """Choose the scales of the eight-bit graph from real frames, and report what eight bits cost."""
    from rich.progress import Progress

    from export.quantize import quantize as choose
    from magnifier.weights import released

    with Progress(transient=True) as bar:
        task = bar.add_task("quantize", total=None)
        written = choose(
            weights or released(model),
            out,
            frames=frames,
            gain=gain,
            scenes=scenes,
            command=shlex.join(["tremorscope", *sys.argv[1:]]),
            tell=lambda step: bar.update(task, description=step),
        )
    typer.echo(written)


@app.command()
def plan(
    board: Annotated[
        str | None, typer.Option(help='Such as "Orin Nano 8GB"; all boards if not given.')
    ] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in px.")] = "1280x720",
    model: Annotated[str, typer.Option(help="A network.")] = "twofold",
) -> None:
    """Estimate how fast a board could magnify at best, from its data sheet; nothing is measured."""
    from rich.console import Console

    from export.plan import boards_named, tables
    from magnifier import networks

    boards = boards_named(board)
    size_px = size_in_px(size)
    assert size_px is not None
    console = Console()
    console.print(f"{model} at {size}: an ESTIMATE from data sheets, no measurement.")
    for table in tables(networks.build(model), size_px, boards):
        console.print(table)
    console.print(
        "Convolutions and the filter's states, each value read and written once, at the data sheet's "
        "peaks; sampling and camera come on top. Measure yours with: tremorscope selftest"
    )


@app.command()
def build(
    graphs: Annotated[Path, typer.Option(help="Folder with the graphs that export wrote.")],
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in px.")],
    out: Annotated[Path, typer.Option(help="Folder for the engine and its sidecar.")],
    model: Annotated[str, typer.Option(help="The network of the graphs.")] = "twofold",
    precision: Annotated[
        str, typer.Option(help="int8, fp16 or fp32; what TensorRT refuses falls back to the next.")
    ] = "fp16",
) -> None:
    """Build a TensorRT engine for the GPU of this device."""
    from rich.console import Console

    from export import engine_builder, golden
    from export.build_progress import BuildProgress
    from export.device import this_device
    from export.engine_files import configuration
    from nvidia_gpu import installed_tensorrt

    size_px = size_in_px(size)
    assert size_px is not None
    built = engine_builder.build(
        installed_tensorrt(),
        this_device(),
        engine_builder.Wanted(model, size_px, precision_named(precision)),
        graphs,
        out,
        BuildProgress(Console()),
    )
    typer.echo(engine_builder.summary(built))
    pictures = golden.golden_path(graphs, built.sidecar)
    if not golden.carry(pictures, out / pictures.name):
        typer.echo(
            f"{pictures}: is missing, so tremorscope selftest cannot judge this engine; it is written by: "
            "tremorscope export"
        )
    typer.echo(
        f"To run it, write in the configuration:\n\n{configuration(built.path, built.sidecar)}"
    )


def precision_named(text: str) -> "Precision":
    """Raises Failure for a name that is no precision."""
    from export.artifact import Precision

    for precision in get_args(Precision):
        if text == precision:
            return cast("Precision", precision)
    raise Failure(f"--precision {text}: choose from: {', '.join(get_args(Precision))}")


def size_in_px(text: str | None) -> tuple[int, int] | None:
    """ "640x360" -> (640, 360). Raises Failure for anything else, or too small a size."""
    from export.artifact import SMALLEST_PX

    if text is None:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise Failure(f'--size {text}: write it as WIDTHxHEIGHT, such as "640x360"')
    size_px = int(match[1]), int(match[2])
    if min(size_px) < SMALLEST_PX:
        raise Failure(f"--size {text}: is too small; at least {SMALLEST_PX} px a side")
    return size_px
