"""How many frames a second are magnified: this kit's network, those that it is held against, and a classical
method, by turns in one process.

Networks are the released weights as ``tremorscope export`` writes them, all in the daemon's own ONNX Runtime
engine. The classical method is phase-based magnification (Wadhwa et al., SIGGRAPH 2013) as the package vidmag
has it, which takes a whole clip: a short one, and its time is divided by its frames.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import Scene, render, sine
from benchmarks.film import Size
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine

SIZES_PX: tuple[Size, ...] = ((384, 384), (640, 360))
OURS, CLASSICAL = "twofold (this kit's)", "phase-based, classical (vidmag)"
OTHERS = {"baseline": "baseline (Oh et al. 2018)", "proposed": "proposed (the poster's)"}
GAIN, FOLLOW = 20.0, (1.0, 0.05)
CLIP = 6
"""Frames of the classical method's clip."""

Clip = list[NDArray[np.uint8]]
Step = Callable[[Clip], int]
"""Magnifies some of the clip's frames, and says how many."""


@dataclass(frozen=True, slots=True)
class Rates:
    """At one size."""

    size_px: Size
    frame_s: dict[str, tuple[float, ...]]
    """Of each method, the seconds a frame of every turn."""

    def hz(self, method: str) -> float:
        return 1 / median(self.frame_s[method])


def measure(*, turns: int = 5, sizes_px: tuple[Size, ...] = SIZES_PX) -> list[Rates]:
    """Every method at every size. Graphs take half a minute to write, each turn some ten seconds.

    Raises Failure where a released network cannot be had.
    """
    with TemporaryDirectory() as folder:
        methods = _methods(Path(folder))
    return [_rates(methods, size_px, turns) for size_px in sizes_px]


def _rates(methods: dict[str, Step], size_px: Size, turns: int) -> Rates:
    width_px, height_px = size_px
    moved_px = sine(CLIP, 30.0, 5.0, 0.3)
    scene = Scene(width_px, height_px)
    clip = [frame.image for frame in render(scene, moved_px, np.zeros(CLIP))]
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(turns + 1):
        for name, step in methods.items():
            begun_s = time.perf_counter()
            frames = step(clip)
            taken[name].append((time.perf_counter() - begun_s) / frames)
    # The first turn of each plans its memory.
    return Rates(size_px, {name: tuple(each[1:]) for name, each in taken.items()})


def _methods(folder: Path) -> dict[str, Step]:
    graphs = {OURS: SHIPPED} | {label: _written(name, folder) for name, label in OTHERS.items()}
    methods = {name: _of_engine(OnnxRuntimeEngine(graph)) for name, graph in graphs.items()}
    classical = _classical()
    return methods if classical is None else methods | {CLASSICAL: classical}


def _written(network: str, folder: Path) -> Path:
    """The graph of a released network; without the comparison with torch, which takes minutes."""
    import onnx

    from export.artifact import Sidecar, sha256, write_sidecar
    from export.onnx_graph import simplified, traced
    from export.streaming import StreamingMagnifier
    from magnifier import weights

    file = weights.released(network)
    streaming = StreamingMagnifier(weights.load_network(file)).eval()
    path = folder / f"{network}.onnx"
    graph = simplified(traced(streaming), streaming, None)
    onnx.save(graph, path)
    [fast] = [each for each in graph.graph.input if each.name == "fast"]
    sidecar = Sidecar(
        sha256=sha256(path),
        network=network,
        precision="fp32",
        size_px=None,
        state_channels=fast.type.tensor_type.shape.dim[1].dim_value,
        state_stride=streaming.network.encoder_stride,
        weights_sha256=sha256(file),
        tool_version="benchmark",
    )
    write_sidecar(path, sidecar)
    return path


def _of_engine(engine: OnnxRuntimeEngine) -> Step:
    def step(clip: Clip) -> int:
        for image in clip[:2]:
            engine.step(image, GAIN, FOLLOW)
        return 2

    return step


def _classical() -> Step | None:
    """None where vidmag is not installed."""
    try:
        from vidmag.cpu.phase_magnify import phase_magnify
    except ImportError:
        return None

    def step(clip: Clip) -> int:
        phase_magnify(np.stack(clip), 30.0, alpha=GAIN - 1, r1=1.0, r2=0.05, sigma=3.0)
        return len(clip)

    return step
