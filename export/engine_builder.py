"""Graphs of one network and size -> a TensorRT engine for this device, with its sidecar."""

import hashlib
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from export.artifact import EngineSidecar, Precision, Sidecar, read_graph
from export.build_progress import BuildProgress
from export.device import Device
from export.engine_layers import precision_of
from export.engine_store import one_build_at_a_time, publish
from export.tensorrt_compiler import Compiler, Plan, RefusedGraph
from export.timing_cache import keep, timing_cache_path
from failure import Failure

CHAIN: tuple[Precision, ...] = ("int8", "fp16", "fp32")
"""Where TensorRT refuses a graph, the next one is tried."""
BUILDER_MEMORY_BYTES = 1 << 30
"""CUDA's context and TensorRT's kernels, before a tensor is made: an estimate, on the safe side."""
MEMORY_PER_PX_BYTES = 500
"""A few copies of all tensors that live at once, as TensorRT reports them in FP32 (112 B/px)."""
DISK_PER_GRAPH = 4
"""A plan holds its graph's weights, packed for the GPU, beside the plan that it replaces."""

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to build: ``size_px`` is (width, height)."""

    network: str
    size_px: tuple[int, int]
    precision: Precision

    def stem(self, precision: Precision) -> str:
        return f"{self.network}-{self.size_px[0]}x{self.size_px[1]}-{precision}"

    def graph(self, folder: Path, precision: Precision) -> Path:
        """``twofold-640x360-int8.onnx``; a graph in FP32 is named by its size alone."""
        return folder / f"{self.stem(precision).removesuffix('-fp32')}.onnx"


@dataclass(frozen=True, slots=True)
class Built:
    """An engine that is on the disk, and what TensorRT said of it."""

    path: Path
    sidecar: EngineSidecar
    plan: Plan


def build(
    tensorrt: Any,
    device: Device,
    wanted: Wanted,
    graphs: Path,
    out: Path,
    progress: BuildProgress,
) -> Built:
    """Build the wanted precision, or the next one that TensorRT takes, and write it into ``out``.

    Raises Failure when TensorRT refuses all, when the wanted graph is missing, when a graph is not
    what its sidecar says, when memory or disk are short, and when another build runs in ``out``.
    """
    _check_memory(device, wanted)
    with one_build_at_a_time(out):
        cache = timing_cache_path(out, tensorrt.__version__, device)
        compiler = Compiler(tensorrt, device.free_memory_bytes // 2, cache, progress)
        refusals: list[str] = []
        for precision in CHAIN[CHAIN.index(wanted.precision) :]:
            graph = wanted.graph(graphs, precision)
            if precision != wanted.precision and not graph.is_file():
                refusals.append(f"{precision}: there is no {graph.name}")
                continue
            content, described = _described(graph, wanted, precision)
            _check_disk(graph, out)
            progress.say(f"building {graph.name} with TensorRT {tensorrt.__version__}")
            begun_s = time.monotonic()
            try:
                plan = compiler.plan(graph, content)
            except RefusedGraph as refused:
                refusals.append(f"{precision}: {refused}")
                progress.say(f"TensorRT refuses {graph.name}: {refused}")
                continue
            sidecar = EngineSidecar(
                sha256=hashlib.sha256(plan.content).hexdigest(),
                network=described.network,
                precision=precision,
                state_channels=described.state_channels,
                state_stride=described.state_stride,
                tool_version=version("tremorscope"),
                size_px=wanted.size_px,
                graph_sha256=described.sha256,
                weights_sha256=described.weights_sha256,
                frames_sha256=described.frames_sha256,
                wanted_precision=wanted.precision,
                fallbacks=tuple(refusals),
                tensorrt_version=tensorrt.__version__,
                cuda_version=device.cuda_version,
                gpu=device.gpu,
                compute_capability=device.compute_capability,
                board=device.board,
                builder_flags=plan.builder_flags,
                convolutions=_counted(plan),
                build_s=round(time.monotonic() - begun_s, 1),
            )
            path = wanted.graph(out, precision).with_suffix(".engine")
            publish(path, plan.content, sidecar)
            keep(plan.timing_cache, cache)
            return Built(path, sidecar, plan)
    raise Failure(
        f"TensorRT {tensorrt.__version__} builds none of the graphs of {wanted.stem(wanted.precision)} "
        f"in {graphs} ({refusals[-1]}); report this with the graph and the board"
    )


def summary(built: Built) -> str:
    """What was built, in a sentence or two for the user."""
    sidecar = built.sidecar
    text = (
        f"{built.path}: {sidecar.precision} for {sidecar.gpu}, "
        f"{len(built.plan.content) / 1e6:.1f} MB, built in {sidecar.build_s:.0f} s"
    )
    if sidecar.precision != sidecar.wanted_precision:
        text += f", not {sidecar.wanted_precision}: {'; '.join(sidecar.fallbacks)}"
    counts = ", ".join(
        f"{number} in {'a precision that TensorRT does not tell' if name == UNKNOWN else name}"
        for name, number in sidecar.convolutions.items()
    )
    return f"{text}. Convolutions: {counts}."


def _counted(plan: Plan) -> dict[str, int]:
    found = Counter(precision_of(plan.layers, node) or UNKNOWN for node in plan.convolutions)
    return dict(found.most_common())


def _described(graph: Path, wanted: Wanted, precision: Precision) -> tuple[bytes, Sidecar]:
    content, sidecar = read_graph(graph)
    says = (sidecar.network, sidecar.size_px, sidecar.precision)
    if says != (wanted.network, wanted.size_px, precision):
        raise Failure(
            f"{graph}: its sidecar says {sidecar.network}, {sidecar.size_px} px, {sidecar.precision}, "
            "which is not what its name says; write it again with: tremorscope export"
        )
    return content, sidecar


def _check_memory(device: Device, wanted: Wanted) -> None:
    width_px, height_px = wanted.size_px
    needed = BUILDER_MEMORY_BYTES + MEMORY_PER_PX_BYTES * width_px * height_px
    if device.free_memory_bytes < needed:
        raise Failure(
            f"{device.free_memory_bytes / 1e9:.1f} GB of memory are free, a build for "
            f"{width_px}x{height_px} px may take {needed / 1e9:.1f} GB; stop other programs (the desktop: "
            "sudo systemctl isolate multi-user.target) or build a smaller size"
        )


def _check_disk(graph: Path, out: Path) -> None:
    needed = DISK_PER_GRAPH * graph.stat().st_size
    free = shutil.disk_usage(out).free
    if free < needed:
        raise Failure(
            f"{out}: {free / 1e6:.0f} MB are free, an engine may take {needed / 1e6:.0f} MB; free some "
            "space or choose another folder with --out"
        )
