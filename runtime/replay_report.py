"""``tremorscope replay``: runs a replay with a progress bar and writes what was asked for."""

import json
from pathlib import Path

import typer
from rich.progress import Progress

from atomic_file import replaced
from runtime.assembly import magnifier_for
from runtime.config import Config
from runtime.replay import Replay, config_for, replay
from runtime.report import write_page, write_plots


def replay_into(
    video: Path, config: Config | None, json_file: Path | None, out: Path | None
) -> Replay:
    """Replay a video; JSON to ``json_file``, clip, plots, page and JSON into the folder ``out``."""
    settings = config_for(video, config)
    magnifier = None if out is None else magnifier_for(settings)
    clip = out / "side-by-side.mp4" if out is not None and magnifier is not None else None
    with Progress(transient=True) as bar:
        words = "measuring and magnifying" if clip else "measuring"
        task = bar.add_task(words, total=None)

        def tell(share: float | None) -> None:
            if share is not None:
                bar.update(task, total=1.0, completed=min(share, 1.0))

        result = replay(settings, magnifier, clip, tell)
    content = json.dumps(result.as_json(), allow_nan=False)
    targets = [json_file] if json_file is not None else []
    if out is not None:
        plots = out / "waveform-and-spectrum.png"
        write_plots(plots, result)
        write_page(out / "report.html", result, settings, clip, plots)
        targets.append(out / "replay.json")
    for target in targets:
        with replaced(target) as scratch:
            scratch.write_text(content)
    _tell_result(result, out)
    return result


def _tell_result(result: Replay, out: Path | None) -> None:
    for history in result.regions:
        tone = history.tone()
        found = (
            "no dominant frequency"
            if tone is None
            else f"{tone.frequency_hz:.3f} Hz, {tone.amplitude_px:.4f} px in {tone.axis}"
        )
        amplitude = None if tone is None else history.amplitude_mm(tone)
        if amplitude is not None:
            found += f", {amplitude[0]:.4g} ± {amplitude[1]:.2g} mm"
        typer.echo(f"{history.name}: {found}")
    raised = sum(alert.type == "new" for alert in result.alerts)
    typer.echo(f"{result.frames} frames, {raised} alerts raised")
    if out is not None:
        typer.echo(f"report: {out / 'report.html'}")
