"""The device's commands: demo, run, doctor, replay, regions, capture, validate, schema, bench.

Everything heavy is imported inside the commands, so that ``--help`` is quick.
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from failure import Failure

app = typer.Typer()

ConfigFile = Annotated[Path, typer.Option(help="Configuration, a TOML file.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for what the demo leaves.")] = Path(
        "tremorscope-demo"
    ),
) -> None:
    """Watch the kit work on a sample clip: measure, magnify, and alert over MQTT."""
    from runtime.demo.demo import run_demo

    run_demo(out)


@app.command()
def run(context: typer.Context, config: ConfigFile) -> None:
    """Run the daemon: camera, magnification, measurement, alerts over MQTT."""
    import faulthandler

    from runtime.config.file import load

    faulthandler.enable()  # a daemon that a watchdog ends with SIGABRT tells where its threads were
    from runtime.service.manager import ServiceManager

    manager = ServiceManager()
    if not manager.is_there:
        load(config)  # a mistake in it is told before the stations take seconds to import
    from runtime.logs import set_up_logs
    from runtime.service.service import Service, end_without_what_hangs

    set_up_logs(debug=bool(context.find_root().params.get("debug")))
    service = Service(config, manager)
    try:
        service.run(service.first())
    finally:
        end_without_what_hangs()


@app.command()
def doctor(
    config: ConfigFile,
    seconds: Annotated[
        float, typer.Option(min=0.5, max=600, help="How long to watch the camera.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check what this configuration needs: board, disk, clock, engine, broker, camera, each with its mend.

    The daemon must not hold the camera meanwhile. Run it as the user that the daemon runs as. The exit code is
    1 when something has failed.
    """
    from runtime.config.file import load
    from runtime.doctor import examine

    found = []
    for finding in examine(load(config), seconds=seconds):
        found.append(finding)
        if not as_json:
            typer.echo(finding.line())
    if as_json:
        typer.echo(json.dumps({"findings": [one.as_dict() for one in found]}, indent=2))
    if any(one.verdict == "failed" for one in found):
        raise typer.Exit(1)


@app.command()
def replay(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    config: Annotated[
        Path | None, typer.Option(help="Configuration; without one, regions are proposed.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write displacements and alerts as JSON.")
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="Write displacements on an even clock as CSV, for modal analysis."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report [default: tremorscope-replay/VIDEO's name]."),
    ] = None,
) -> None:
    """Measure and magnify a whole video, and write a report.

    The report is one page, report.html, which needs no other file. With --json or --samples and without
    --out only those are written, without magnifying.
    """
    from runtime.config.file import load
    from runtime.replay.report import replay_into

    if out is None and json_file is None and samples is None:
        out = Path("tremorscope-replay") / video.stem
    replay_into(video, None if config is None else load(config), json_file, out, samples)


@app.command()
def regions(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Picture to draw them on [default: VIDEO's name, -regions.png]."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=64, help="How many at most.")] = 4,
    size: Annotated[int, typer.Option(min=8, max=512, help="Side of each square (px).")] = 48,
) -> None:
    """Propose regions to measure, on a picture and as TOML to paste into a configuration.

    They hold texture in both directions, are spread over the picture, and have been tried on the
    first seconds: what flickers or moves in itself, as foliage and traffic do, is left out.
    """
    from runtime.replay.region_report import report_regions

    report_regions(video, out or Path(f"{video.stem}-regions.png"), count, size)


@app.command()
def capture(
    out: Annotated[Path, typer.Option(help="New folder for the frames.")],
    source: Annotated[
        str | None,
        typer.Argument(help="As camera.source in a configuration, when there is none yet."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration, whose camera and masks are used.")
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(min=0.1, help="How long to look through a camera; a file is read whole."),
    ] = 10.0,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Runs of frames to keep.")] = 16,
    frames_per_run: Annotated[
        int, typer.Option(min=4, max=64, help="Consecutive frames of each run.")
    ] = 8,
) -> None:
    """Collect frames of what your camera sees, to calibrate a network in eight bits on.

    Kept are short runs of consecutive frames with light and motion that differ most from each other.
    """
    from runtime.camera import is_file
    from runtime.capture import capture_into
    from runtime.config import Camera
    from runtime.config.file import load

    if (source is None) == (config is None):
        raise Failure("tremorscope capture needs a source, or --config of one; give one of the two")
    if config is not None:
        camera = load(config).camera
    else:
        named = str(source)
        camera = Camera(source=str(Path(named).expanduser()) if is_file(named) else named)
    capture_into(out, camera, minutes=minutes, runs=runs, frames_per_run=frames_per_run)


@app.command()
def validate(config: Annotated[Path, typer.Argument(help="Configuration, a TOML file.")]) -> None:
    """Check a configuration and say what it asks for."""
    from runtime.camera.pipelines import shown
    from runtime.config.alerts import notices
    from runtime.config.file import load

    loaded = load(config)
    camera = shown(loaded.camera.source)
    names = ", ".join(region.name for region in loaded.regions)
    rules = ", ".join(rule.name for rule in loaded.alerts)
    typer.echo(f"{config}: valid; camera {camera}, regions {names}, alerts {rules}")
    for notice in [*notices(loaded.alerts, loaded.camera.rate_hz), *loaded.mqtt.notices()]:
        typer.echo(notice)


@app.command()
def schema(
    message: Annotated[
        str,
        typer.Argument(
            help="config, state, telemetry, shape, alert, controls, reply, command/magnification, "
            "command/acknowledge, command/snapshot, suppressed or snapshot; asyncapi: all topics."
        ),
    ] = "config",
) -> None:
    """Print the JSON Schema of the configuration or of an MQTT message, or an AsyncAPI document."""
    from pydantic import BaseModel

    from runtime import messages
    from runtime.config import Config
    from runtime.mqtt.asyncapi import asyncapi_document, message_schema
    from runtime.mqtt.topics import TOPICS
    from runtime.snapshot import Snapshot

    published: dict[str, type[BaseModel]] = {
        "state": messages.State,
        "telemetry": messages.Telemetry,
        "shape": messages.ModeShape,
        "alert": messages.AlertMessage,
        "suppressed": messages.SuppressedAlert,
        "controls": messages.Present,
        "reply": messages.Reply,
    }
    read = {one.address: one.model for one in TOPICS if one.is_command and one.model is not None}
    known = {"config": Config.model_json_schema, "asyncapi": asyncapi_document}
    known["snapshot"] = Snapshot.model_json_schema
    known |= {name: partial(message_schema, model) for name, model in published.items()}
    known |= {name: model.model_json_schema for name, model in read.items()}
    if message not in known:
        raise Failure(f'"{message}" has no schema; choose from: {", ".join(known)}')
    typer.echo(json.dumps(known[message](), indent=2))


@app.command()
def selftest(
    engines: Annotated[
        Path | None, typer.Option(help="Folder of engines that tremorscope build made here.")
    ] = None,
) -> None:
    """Hold the engines on this device against golden pictures, time them, and say which to use."""
    from rich.console import Console

    from runtime.engine.selftest import selftest as hold

    if not hold(engines, Console()):
        raise Failure(
            "an engine was refused, or does not show what it should; the table above says which, and "
            "what to do about a refusal; report a difference with it"
        )


@app.command()
def bench(
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in px.")] = "384x384",
    frames: Annotated[int, typer.Option(min=10, help="Frames of each of the runs.")] = 40,
    markdown: Annotated[Path | None, typer.Option(help="Also write the figures there.")] = None,
) -> None:
    """Frames a second on this machine, with and without magnification."""
    from runtime.speed import report_speed

    report_speed(size, frames, markdown)
