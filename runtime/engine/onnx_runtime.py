"""The embedded default: ONNX Runtime, which needs no GPU, and takes one where it was built for it."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail, Fail, RuntimeException

from export.artifact import read_graph
from failure import Failure
from nvidia_gpu import START_AGAIN
from runtime.engine import Coming, Follow

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).resolve().parents[2] / "export" / "released" / "twofold.onnx"
INPUTS = {"frame", "gain", "follow", "fast", "slow"}
PROCESSOR = "CPUExecutionProvider"
PROVIDERS = {"TensorrtExecutionProvider": "TensorRT", "CUDAExecutionProvider": "CUDA"}
"""On a GPU, the fastest first; an onnxruntime from PyPI has none of them."""


class OnnxRuntimeEngine:
    """A streaming graph with its sidecar, for any picture size or for the one it was written for.

    ``instead_of`` says, for the description, which better engine could not be had, and why. Raises
    Failure when the file is no such graph, or differs from its sidecar, and when a frame cannot be
    magnified: what runs is settled here, and never changes later.
    """

    def __init__(self, graph: Path, *, threads: int = 0, instead_of: str | None = None) -> None:
        content, self._sidecar = read_graph(graph)
        self._graph = graph
        self._session, where = _session(graph, content, threads)
        names = {each.name for each in self._session.get_inputs()}
        if names != INPUTS:
            raise Failure(
                f"{graph}: is not a streaming graph (its inputs are {', '.join(sorted(names))}); "
                "write one with: tremorscope export"
            )
        self._description = (
            f"{self._sidecar.network} {self._sidecar.precision} in "
            f"ONNX Runtime {onnxruntime.__version__} {where}"
        )
        if instead_of is not None:
            self._description += f"; not {instead_of}"
        self._state: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    @property
    def description(self) -> str:
        return self._description

    @property
    def size_px(self) -> tuple[int, int] | None:
        return self._sidecar.size_px

    def reset(self) -> None:
        self._state = None

    def step(
        self,
        image: NDArray[np.uint8],
        gain: float,
        follow: Follow,
        coming: Coming | None = None,
    ) -> NDArray[np.uint8]:
        del coming  # a frame is read where it lies
        if self._session is None:
            raise RuntimeError(f"{self._graph}: the engine was closed")
        shape = self._state_shape(*image.shape[:2])
        if self._state is None or self._state[0].shape != shape:
            self._state = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        feeds = {
            "frame": np.ascontiguousarray(image),
            "gain": np.array([gain], np.float32),
            "follow": np.array(follow, np.float32),
            "fast": self._state[0],
            "slow": self._state[1],
        }
        magnified: NDArray[np.uint8]
        try:
            magnified, fast, slow = self._session.run(
                ("magnified", "fast_next", "slow_next"), feeds
            )
        except (EPFail, Fail, RuntimeException) as error:
            raise Failure(
                f"{self._graph}: ONNX Runtime cannot magnify a frame ({_first_line(error)}); {START_AGAIN}"
            ) from error
        self._state = fast, slow
        return magnified

    def close(self) -> None:
        self._session = self._state = None

    def _state_shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        size = self._sidecar.size_px
        if size is not None and size != (width, height):
            raise Failure(
                f"{self._graph}: was written for {size[0]}x{size[1]} px, the magnified area is "
                f"{width}x{height} px; change magnification.area or run: "
                f"tremorscope export --size {width}x{height}"
            )
        return self._sidecar.state_shape(width, height)


def _session(graph: Path, content: bytes, threads: int) -> tuple[Any, str]:
    """The graph on the first provider that takes it, and where that is.

    ONNX Runtime would change to the next one by itself, now or at any later frame, and print a line;
    here it may not. Raises Failure when not even the processor can load the graph.
    """
    available = onnxruntime.get_available_providers()
    providers = [name for name in PROVIDERS if name in available]
    failed: list[str] = []
    while True:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin while they wait take the processor from the measurement.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                content,
                options,
                providers=[*((name, _provider_options(name)) for name in providers), PROCESSOR],
                enable_fallback=0,
            )
        except Exception as error:  # ONNX Runtime's own errors share no useful base class
            if not providers:
                raise Failure(
                    f"{graph}: ONNX Runtime {onnxruntime.__version__} cannot load it "
                    f"({_first_line(error)}); write it again with: tremorscope export"
                ) from error
            failed.append(f"{PROVIDERS[providers.pop(0)]} failed: {_first_line(error)}")
            log.warning("%s: in ONNX Runtime, %s", graph, failed[-1])
            continue
        session.disable_fallback()  # ONNX Runtime 1.20 knows only this way, for its frames
        return session, _where(providers, session.get_providers(), failed)


def _where(asked: list[str], loaded: list[str], failed: list[str]) -> str:
    """ONNX Runtime leaves out a provider whose libraries are missing, and that is no error to it."""
    text = "on " + ", else ".join(PROVIDERS.get(name, "the processor") for name in loaded)
    missing = [PROVIDERS[name] for name in asked if name not in loaded]
    if missing:
        failed = [*failed, f"{' and '.join(missing)} did not load"]
    return f"{text} ({'; '.join(failed)})" if failed else text


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _provider_options(name: str) -> dict[str, Any]:
    if name != "TensorrtExecutionProvider":
        return {}
    # It compiles the graph for minutes; without a cache, at every start.
    cache = os.environ.get("CACHE_DIRECTORY") or Path.home() / ".cache" / "tremorscope"
    return {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
        # With TensorRT 10 and newer, the provider builds strongly typed only where both are off: each
        # part then has the precision that the graph gives it. Either would let TensorRT choose, and
        # halve what must stay whole (decisions 002 and 007).
        "trt_fp16_enable": False,
        "trt_int8_enable": False,
    }
