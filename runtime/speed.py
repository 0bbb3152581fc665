"""``tremorscope bench``: frames a second of this machine, with and without magnification."""

import platform
import re
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import typer
from rich.progress import track

from atomic_file import replaced
from failure import Failure
from machine import processor
from runtime.config import Camera, Config, Region
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.frame import Frame
from runtime.magnification import Magnifier
from runtime.measurement import Measurement

RUNS = 3
REGION_PX = 48


def report_speed(size: str, frames: int, markdown: Path | None) -> None:
    """Print the medians of three runs, each of ``frames`` frames, interleaved; keep them too."""
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if match is None:
        raise Failure(f'--size {size}: write it as WIDTHxHEIGHT, such as "640x360"')
    width, height = int(match[1]), int(match[2])
    if min(width, height) < 2 * REGION_PX:
        raise Failure(f"--size {size}: at least {2 * REGION_PX}x{2 * REGION_PX} px")
    clip = _frames(width, height, frames)
    plain_s, magnified_s = [], []
    for _ in track(range(RUNS), "measuring", transient=True):
        plain_s.append(_run(clip, magnify=False))
        magnified_s.append(_run(clip, magnify=True))
    plain_hz, magnified_hz = frames / median(plain_s), frames / median(magnified_s)
    machine = f"{platform.machine()}, {processor()}, ONNX Runtime {onnxruntime.__version__}"
    typer.echo(f"{machine}; {width}x{height}, 4 regions, {frames} frames")
    typer.echo(f"measurement alone          {plain_hz:8.1f} frames/s")
    typer.echo(f"measurement, magnification {magnified_hz:8.1f} frames/s")
    if markdown is not None:
        with replaced(markdown) as scratch:
            scratch.write_text(
                f"""# Throughput, measured

`tremorscope bench --size {size} --frames {frames}` on {machine}: {width}x{height} px, four regions of
{REGION_PX}x{REGION_PX} px, one thread for the stations, medians of {RUNS} interleaved runs.

| | frames a second |
| --- | --- |
| measurement alone | {plain_hz:.1f} |
| measurement and magnification of every frame | {magnified_hz:.1f} |

In the daemon the two run side by side: the measurement sees every frame at the camera's rate, and
magnification takes the newest frame whenever it is free.
"""
            )


def _run(clip: list[Frame], *, magnify: bool) -> float:
    """Seconds for the clip, one station after the other on one thread, as replay does it."""
    height, width = clip[0].image.shape[:2]
    corners = [(16, 16), (width - 64, 16), (16, height - 64), (width - 64, height - 64)]
    regions = tuple(
        Region(name=f"r{number}", x=x, y=y, width=REGION_PX, height=REGION_PX)
        for number, (x, y) in enumerate(corners)
    )
    config = Config(camera=Camera(source="bench"), regions=regions)
    measurement = Measurement(config)
    magnifier = Magnifier(config.magnification, OnnxRuntimeEngine(SHIPPED)) if magnify else None
    if magnifier is not None:
        magnifier.process(clip[0])  # the first call plans its memory
    begun = time.perf_counter()
    for frame in clip:
        measurement.process(frame)
        if magnifier is not None:
            magnifier.process(frame)
    return time.perf_counter() - begun


def _frames(width: int, height: int, count: int) -> list[Frame]:
    """A noisy texture that sways by half a pixel at 2 Hz, 30 frames a second."""
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[:height, :width]
    frames = []
    for index in range(count):
        x = columns - 0.5 * np.sin(2 * np.pi * 2 * index / 30)
        grey = 128 + 40 * np.sin(0.4 * x + 0.1 * rows) + 40 * np.sin(0.3 * rows - 0.2 * x)
        noisy = grey[..., None] + random.normal(0, 1.5, (height, width, 3))
        image = np.clip(noisy, 0, 255).astype(np.uint8)
        frames.append(Frame(index, index * 1_000_000_000 // 30, image))
    return frames
