"""The workstation's export command."""

import re
from pathlib import Path
from typing import Annotated

import typer

from failure import Failure

app = typer.Typer()


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


def size_in_px(text: str | None) -> tuple[int, int] | None:
    """ "640x360" -> (640, 360). Raises Failure for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise Failure(f'--size {text}: write it as WIDTHxHEIGHT, such as "640x360"')
    return int(match[1]), int(match[2])
