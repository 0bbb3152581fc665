"""From weights and frames to the file of ranges and its report; nothing is measured twice."""

import hashlib
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

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


def quantize(
    weights: Path,
    out: Path,
    *,
    frames: Path | None,
    gain: float,
    scenes: Path | None,
    tell: Callable[[str], None],
) -> str:
    """Write ``<network>.ranges.json`` and ``<network>-int8.md`` with its plot; say in a sentence what.

    Files that were measured with these weights on these frames are left as they are. Raises Failure
    when there are not enough frames to measure with.
    """
    if (frames is None) == (scenes is None):
        raise Failure(
            "name either --frames, of your camera, or --scenes; random data is never used"
        )
    if frames is not None:
        seen = calibration_frames.read(frames)
        runs = [Run(list(pictures), gain) for pictures in seen.runs()]
        source = f"{len(runs)} runs of {seen.table.source}, gain {gain:g}"
        maker = "tremorscope capture"
    else:
        assert scenes is not None
        runs = [Run(scene.pictures()[:2], scene.gain) for scene in scene_folder.read(scenes)]
        source = f"{len(runs)} rendered scenes"
        maker = "tremorscope scenes"
    if len(runs) < LEAST_RUNS:
        raise Failure(
            f"{frames or scenes}: holds {len(runs)} runs of frames, {LEAST_RUNS} are needed, of which half "
            f"choose the scales and half judge them; collect more with: {maker}"
        )
    network = stored_weights.load_network(weights)
    path = out / f"{network.name}.ranges.json"
    weights_sha256, frames_sha256 = sha256(weights), digest(runs)
    with suppress(Failure):  # none, or a damaged one: it is written anew
        before = stored.read(path)
        if (before.weights_sha256, before.frames_sha256) == (weights_sha256, frames_sha256):
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
    page = out / f"{network.name}-int8.md"
    command = shlex.join(["tremorscope", *sys.argv[1:]])
    quantisation_report.write(page, found, ranges, command)
    stored.write(path, ranges)
    return (
        f"{path}: {len(found.reaches)} of {len(found.layers)} deep layers in eight bits; "
        f"SSIM {found.chosen.ssim:.4f} and {found.chosen.gain_error:+.2%} of the gain against full "
        f"precision; see {page}"
    )


def digest(runs: list[Run]) -> str:
    """SHA-256 of all frames, their sizes and gains, in order."""
    summed = hashlib.sha256()
    for run in runs:
        summed.update(repr((run.gain, [frame.shape for frame in run.frames])).encode())
        for frame in run.frames:
            summed.update(frame.tobytes())
    return summed.hexdigest()
