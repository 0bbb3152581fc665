"""From weights and frames to the file of ranges and its report; nothing is measured twice."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration import frames as calibration_frames
from calibration import ranges as stored
from calibration.ranges import Ranges
from export import quantisation_report
from export.artifact import sha256
from export.graph_session import Run
from export.onnx_graph import simplified, traced
from export.quantisation import quantised
from export.streaming import StreamingMagnifier
from failure import Failure
from magnifier import scene_folder
from magnifier import weights as stored_weights

LEAST_RUNS = 4
USUAL_GAIN = 20.0
WINDOW_PX = (640, 360)
"""A network is the same everywhere, so of larger pictures the part is enough where most moves."""


def quantize(
    weights: Path,
    out: Path,
    *,
    frames: Path | None,
    gain: float | None,
    scenes: Path | None,
    command: str,
    tell: Callable[[str], None],
) -> str:
    """Write ``<network>.ranges.json`` and ``<network>-int8.md`` with its plot; say in a sentence what.

    ``command`` is what the page says that it was written by. Files that were measured with these weights
    on these frames are left as they are. Raises Failure for fine-tuned weights, and when there are not
    enough frames to measure with.
    """
    if (frames is None) == (scenes is None):
        raise Failure(
            "name either --frames, of your camera, or --scenes; random data is never used"
        )
    if stored_weights.is_quantised(stored_weights.read(weights)[1]):
        raise Failure(
            f"{weights}: was fine-tuned for eight bits and holds its scales; name the weights that it was "
            "fine-tuned from, or export it as it is"
        )
    if frames is not None:
        gain = USUAL_GAIN if gain is None else gain
        seen = calibration_frames.read(frames)
        runs = [Run(where_most_moves(list(pictures)), gain) for pictures in seen.runs()]
        source = f"{len(runs)} runs of {seen.table.source}, gain {gain:g}"
        maker = "tremorscope capture"
    else:
        assert scenes is not None
        if gain is not None:
            raise Failure("--gain is for --frames of a camera; every one of --scenes has its own")
        runs = [Run(scene.pictures()[:2], scene.gain) for scene in scene_folder.read(scenes)]
        source = f"{len(runs)} rendered scenes"
        maker = "tremorscope scenes"
    count = sum(len(run.frames) for run in runs)
    if len(runs) < LEAST_RUNS or count < calibration_frames.FEWEST_FRAMES:
        raise Failure(
            f"{frames or scenes}: holds {len(runs)} runs with {count} frames; needed are {LEAST_RUNS} runs "
            f"and {calibration_frames.FEWEST_FRAMES} frames, of which half give the scales and half judge "
            f"them; collect more with: {maker}"
        )
    network = stored_weights.load_network(weights)
    path = out / f"{network.name}.ranges.json"
    weights_sha256, frames_sha256 = sha256(weights), digest(runs)
    page = out / f"{network.name}-int8.md"
    with suppress(Failure):  # none, or a damaged one: it is written anew
        before = stored.read(path)
        key = before.ranges_version, before.weights_sha256, before.frames_sha256
        if key == (stored.RECIPE, weights_sha256, frames_sha256) and page.is_file():
            return f"{path}: measured with these weights on these frames before, left as it is"
    streaming = StreamingMagnifier(network).eval()
    tell("exporting")
    model = simplified(traced(streaming), streaming, None)
    found = quantised(model, network.encoder_stride, runs, tell)
    ranges = Ranges(
        network=network.name,
        weights_sha256=weights_sha256,
        frames_sha256=frames_sha256,
        source=source,
        method=found.method,
        reaches=found.reaches,
        half_precision={layer.name: layer.snr_db for layer in found.returned},
    )
    quantisation_report.write(page, found, ranges, command)
    stored.write(path, ranges)
    return (
        f"{path}: {len(found.reaches)} of {len(found.layers)} deep layers in eight bits; "
        f"SSIM {found.chosen.ssim:.4f} and {found.chosen.gain_error:.2%} of the gain against full "
        f"precision; see {page}"
    )


def where_most_moves(pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """The same part of every picture, at most WINDOW_PX large, where they differ most."""
    height, width = pictures[0].shape[:2]
    wide, high = min(width, WINDOW_PX[0]), min(height, WINDOW_PX[1])
    changes = sum(cv2.absdiff(picture, pictures[0]).mean(axis=2) for picture in pictures[1:])
    sums = cv2.boxFilter(np.asarray(changes), -1, (wide, high), anchor=(0, 0))
    inside = sums[: height - high + 1, : width - wide + 1]
    top, left = np.unravel_index(np.argmax(inside), inside.shape)
    return [picture[top : top + high, left : left + wide].copy() for picture in pictures]


def digest(runs: list[Run]) -> str:
    """SHA-256 of all frames, their sizes and gains, in order."""
    summed = hashlib.sha256()
    for run in runs:
        summed.update(repr((run.gain, [frame.shape for frame in run.frames])).encode())
        for frame in run.frames:
            summed.update(frame.tobytes())
    return summed.hexdigest()
