"""``tremorscope capture``: frames for calibration from a camera or a video, with progress shown."""

from pathlib import Path

import typer
from rich.progress import Progress

from calibration.collection import Collector
from calibration.frames import FEWEST_FRAMES, begun
from failure import Failure
from runtime.camera import open_source
from runtime.camera.video_file import VideoFile
from runtime.config import Camera


def capture_into(
    out: Path, camera: Camera, *, minutes: float, runs: int, frames_per_run: int
) -> None:
    """Collect from a camera, for ``minutes`` from a camera, to its end from a file.

    Raises Failure when the source or the disk fails, ``out`` is not empty, or what was seen is not
    enough for a calibration; nothing is left behind then.
    """
    if runs * frames_per_run < FEWEST_FRAMES:
        raise Failure(
            f"--runs {runs} --frames-per-run {frames_per_run}: calibration needs at least "
            f"{FEWEST_FRAMES} frames; ask for more"
        )
    camera = camera.model_copy(update={"real_time": False})
    with begun(out) as folder, open_source(camera) as source:
        collector = Collector(folder, runs=runs, frames_per_run=frames_per_run)
        length_s = source.announced_s if isinstance(source, VideoFile) else None
        if source.live:
            length_s = 60 * minutes
        with Progress(transient=True) as bar:
            task = bar.add_task("waiting for a frame", total=length_s)
            first_ns = None
            for frame in source.frames():
                first_ns = frame.t_capture_ns if first_ns is None else first_ns
                since_s = (frame.t_capture_ns - first_ns) / 1e9
                if source.live and since_s >= 60 * minutes:
                    break
                collector.add(frame.t_capture_ns, frame.image)
                bar.update(task, completed=since_s, description=f"{collector.kept} runs kept")
        table = collector.finish(source.description)
    moving_px = [run.motion_px for run in table.runs]
    typer.echo(
        f"{out}: {len(table.runs)} runs of {frames_per_run} frames; parts of them move by "
        f"{min(moving_px):.2g} to {max(moving_px):.2g} px RMS"
    )
    for problem, count in collector.problems.items():
        typer.echo(f"left out: {count} runs {problem}")
    typer.echo(f"look at: {out / 'contact-sheet.jpg'}")
