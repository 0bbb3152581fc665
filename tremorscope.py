"""The command line: one command, which mounts what each package offers."""

import sys
from importlib import metadata
from typing import Annotated

import typer

# Only names and help texts are imported here: each command imports what it needs when it is used,
# so that a device needs no torch.
from calibration.commands import app as scale_app
from export.commands import app as export_app
from failure import Failure
from magnifier.commands import app as magnifier_app
from magnifier.exploration.commands import app as explore_app
from runtime.commands import app as runtime_app

# Which optional group brings a module that a command turned out to need.
GROUPS = {
    "torch": "train",
    "safetensors": "train",
    "skimage": "train",
    "vidmag": "compare",
    "onnx": "export",
    "onnxsim": "export",
    "onnxscript": "export",
}

app = typer.Typer(
    name="tremorscope",
    help="Sees and measures vibrations of structures with a camera.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for part in (runtime_app, magnifier_app, export_app):
    app.add_typer(part)
app.add_typer(explore_app, name="explore")
app.add_typer(scale_app, name="scale")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tremorscope {metadata.version('tremorscope')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(help="Show tracebacks of failures.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = (
        False
    ),
) -> None:
    """Sees and measures vibrations of structures with a camera."""


def main() -> None:
    """Run the command line; a Failure becomes one sentence and exit code 1."""
    debug = "--debug" in sys.argv
    try:
        app()
    except Failure as failure:
        if debug:
            raise
        sys.exit(f"tremorscope: {failure}")
    except ModuleNotFoundError as missing:
        group = GROUPS.get((missing.name or "").partition(".")[0])
        if debug or group is None:
            raise
        sys.exit(
            f"tremorscope: this command needs the Python package {missing.name}; "
            f"install it with: pip install 'tremorscope[{group}]'"
        )


if __name__ == "__main__":
    main()
