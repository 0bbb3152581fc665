"""The commands that make graphs (on a workstation) and engines (on the device)."""

import re
from pathlib import Path
from typing import Annotated

import typer

from failure import Failure

app = typer.Typer()


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Folder for the graph and its sidecar.")],
    model: Annotated[str, typer.Option(help="A released network.")] = "displace",
    weights: Annotated[
        Path | None, typer.Option(help="A file of weights instead of released ones.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT in px; without it the graph takes any size.")
    ] = None,
) -> None:
    """Write a network as the streaming ONNX graph that devices run."""
    from export.onnx_graph import export as write
    from magnifier.weights import released

    path, sidecar = write(weights or released(model), out, size_in_px(size))
    parity = sidecar.parity
    assert parity is not None
    typer.echo(
        f"{path}: equals torch within {parity.largest_difference:.0f} grey level "
        f"(mean {parity.mean_difference:.5f}) over {parity.frames} frames"
    )


@app.command()
def build(
    graphs: Annotated[Path, typer.Option(help="Folder with the graphs that export wrote.")],
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in px.")],
    out: Annotated[Path, typer.Option(help="Folder for the engine and its sidecar.")],
    model: Annotated[str, typer.Option(help="The network of the graphs.")] = "displace",
    precision: Annotated[
        str, typer.Option(help="int8, fp16 or fp32; what TensorRT refuses falls back to the next.")
    ] = "fp16",
) -> None:
    """Build a TensorRT engine for the GPU of this device."""
    from rich.console import Console

    from export import engine_builder
    from export.build_progress import BuildProgress
    from export.device import this_device

    size_px = size_in_px(size)
    assert size_px is not None
    known = {name: name for name in engine_builder.CHAIN}
    if precision not in known:
        raise Failure(f"--precision {precision}: choose from: {', '.join(known)}")
    built = engine_builder.build(
        engine_builder.installed_tensorrt(),
        this_device(),
        engine_builder.Wanted(model, size_px, known[precision]),
        graphs,
        out,
        BuildProgress(Console()),
    )
    typer.echo(engine_builder.summary(built))


def size_in_px(text: str | None) -> tuple[int, int] | None:
    """ "640x360" -> (640, 360). Raises Failure for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise Failure(f'--size {text}: write it as WIDTHxHEIGHT, such as "640x360"')
    return int(match[1]), int(match[2])
