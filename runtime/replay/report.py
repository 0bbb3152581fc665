"""``tremorscope replay``: runs a replay with a progress bar and writes what was asked for."""

import json
import math
from dataclasses import replace
from pathlib import Path

import typer
from rich.progress import Progress

from atomic_file import replaced
from runtime.assembly import magnifier_for
from runtime.config import Config
from runtime.replay.modal_export import ModalRecord, modal_record, write_record
from runtime.replay.replay import Replay, config_for, replay
from runtime.report.embedded_clip import embedded
from runtime.report.findings import findings_of
from runtime.report.page import loudest_s, write_page


def replay_into(
    video: Path,
    config: Config | None,
    json_file: Path | None,
    out: Path | None,
    samples: Path | None = None,
    magnify_for_s: float = math.inf,
) -> Replay:
    """Replay a video; JSON to ``json_file``; page, clip and JSON into the folder ``out``.

    ``magnify_for_s`` bounds what magnifying may take; the clip then shows the video's begin only.
    ``samples`` gets displacements on an even clock; that may be refused, after all else is written.
    """
    settings = config_for(video, config)
    magnifier = None if out is None else magnifier_for(settings)
    clip = out / "side-by-side.mp4" if out is not None and magnifier is not None else None
    with Progress(transient=True) as bar:
        words = "measuring and magnifying" if clip else "measuring"
        task = bar.add_task(words, total=None)

        def tell(share: float | None) -> None:
            if share is not None:
                bar.update(task, total=1.0, completed=min(share, 1.0))

        result = replay(settings, magnifier, clip, tell, magnify_for_s)
    content = json.dumps(result.as_json(), allow_nan=False)
    targets = [json_file] if json_file is not None else []
    if out is not None:
        findings = findings_of(result, settings)
        film = None if clip is None else embedded(clip, out, loudest_s(findings))
        cut = _cut(result)
        if film is not None and cut is not None:
            film = replace(film, dropped=f"{cut} {film.dropped or ''}".strip())
        write_page(out / "report.html", result, settings, findings, film)
        targets.append(out / "replay.json")
    for target in targets:
        with replaced(target) as scratch:
            scratch.write_text(content)
    _tell_result(result, out)
    if samples is not None:
        record = modal_record(result.regions)
        write_record(samples, record)
        _tell_record(samples, record)
    return result


def _cut(result: Replay) -> str | None:
    """What the clip lacks because magnifying it would have taken too long."""
    if result.magnified in (0, result.frames):
        return None
    return (
        f"The clip shows the first {result.magnified} of {result.frames} frames: magnifying all of them would "
        "take this computer too long. Measured are all."
    )


def _tell_record(path: Path, record: ModalRecord) -> None:
    left_out = f"; not measured and left out: {', '.join(record.left_out)}"
    typer.echo(
        f"samples: {path}, {len(record.channels)} channels, {len(record.t_s)} samples at "
        f"{record.rate_hz:.6g} Hz, {int(record.interpolated.sum())} of them interpolated"
        f"{left_out if record.left_out else ''}"
    )


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
        if (cut := _cut(result)) is not None:
            typer.echo(cut)
        typer.echo(f"report: {out / 'report.html'}")
