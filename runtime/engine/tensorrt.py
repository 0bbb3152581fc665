"""TensorRT on this device's GPU: a frame's bytes go in and come out, the states stay there.

``step`` gives back the picture of the very frame that it was given. While the GPU computes it, the next
frame, where there is one by then, is copied to a second place (decision 008). The measurement never
waits for it: while the GPU works, this thread sleeps without Python's lock.
"""

import logging
import math
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.artifact import EngineSidecar, read_engine, sha256
from failure import Failure
from nvidia_gpu import START_AGAIN, installed_pycuda, installed_tensorrt
from runtime.engine import Coming, Follow
from runtime.engine.cuda import Gpu

log = logging.getLogger(__name__)

STATES = ("fast", "slow")
SPARE_SHARE = 0.8
"""Of the time that a frame computes, for which the next one is waited for: it delays no picture."""


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """What the GPU spent on a frame, by its own clock."""

    computing_s: float
    copying_s: float
    """Of the frame to the GPU, and of the picture back."""


class TensorRtEngine:
    """A plan ``<name>.engine`` with its sidecar, that ``tremorscope build`` made on this device.

    Any thread may call it, one at a time. Raises Failure when tensorrt or pycuda is missing, when the
    plan differs from its sidecar, when it was built for another TensorRT, GPU or graph (the
    ``<name>.onnx`` beside it, where there is one), and for each call of CUDA or TensorRT that fails.
    """

    def __init__(self, plan: Path) -> None:
        trt, driver = installed_tensorrt(), installed_pycuda()
        self._plan = plan
        # A build may put another plan in this one's place at any time: what was checked is loaded.
        content, self._sidecar = read_engine(plan)
        _check_graph(plan, self._sidecar)
        gpu = Gpu(driver, str(plan))
        # Gives everything back when the engine is closed, deleted, or Python ends.
        self._giving_back = weakref.finalize(self, gpu.close)
        try:
            _check_device(plan, self._sidecar, trt.__version__, gpu)
            with gpu.current():
                self._run = _Run(trt, gpu, plan, content, self._sidecar)
        except BaseException:
            self.close()
            raise
        for fallback in self._sidecar.fallbacks:
            log.warning("%s: %s", plan, fallback)
        self._description = (
            f"{self._sidecar.network} {self._sidecar.precision} in TensorRT {trt.__version__} "
            f"on {gpu.name}"
        )

    @property
    def description(self) -> str:
        return self._description

    @property
    def sidecar(self) -> EngineSidecar:
        return self._sidecar

    @property
    def size_px(self) -> tuple[int, int]:
        return self._sidecar.size_px

    def reset(self) -> None:
        self._opened().reset()

    def step(
        self,
        image: NDArray[np.uint8],
        gain: float,
        follow: Follow,
        coming: Coming | None = None,
    ) -> NDArray[np.uint8]:
        height_px, width_px = image.shape[:2]
        size = self._sidecar.size_px
        if size != (width_px, height_px):
            raise Failure(
                f"{self._plan}: was built for {size[0]}x{size[1]} px, the magnified area is "
                f"{width_px}x{height_px} px; change magnification.area, or make one of that size "
                "with: tremorscope export, tremorscope build"
            )
        return self._opened().step(image, gain, follow, coming)

    def frame_times(self) -> FrameTimes:
        """Of the latest ``step``."""
        return self._opened().frame_times()

    def close(self) -> None:
        self._giving_back()

    def _opened(self) -> "_Run":
        if not self._giving_back.alive:
            raise RuntimeError(f"{self._plan}: the engine was closed")
        return self._run


@dataclass(frozen=True, slots=True)
class _Tensor:
    """``dtype`` is None for a type that no streaming graph has."""

    written: bool
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None

    @property
    def size(self) -> int:
        """In bytes."""
        assert self.dtype is not None
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a frame is copied from, and to. There are two: one is filled while the other is read."""

    what: str
    page_locked: NDArray[np.uint8]
    address: int


class _Run:
    """A loaded plan with its buffers, none of which is allocated again for a frame."""

    def __init__(
        self, trt: Any, gpu: Gpu, plan: Path, content: bytes, sidecar: EngineSidecar
    ) -> None:
        self._gpu = gpu
        self._plan = plan
        self._messages = _messages(trt)
        self._context: Any = None
        gpu.hold("unload the plan", self._forget)
        self._engine = trt.Runtime(self._messages).deserialize_cuda_engine(content)
        if self._engine is not None:
            self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._refused("load the plan", _build_again(plan, sidecar))
        tensors = self._tensors(trt)
        _check_tensors(plan, tensors, sidecar)
        # A network that displaces gives its displacements, too: nobody fetches them, but they need
        # room, as all do. Written states are read at the next call, so each has two places.
        self._addresses: dict[str, int] = {}
        for name, tensor in tensors.items():
            self._bind(name, gpu.memory(tensor.size, name))
        width_px, height_px = sidecar.size_px
        picture = height_px, width_px, 3
        self._state_bytes = 4 * math.prod(sidecar.state_shape(width_px, height_px))
        self._free, self._read = (
            _Place(what, gpu.page_locked(picture, np.uint8, what), address)
            for what, address in (
                ("a frame", self._addresses["frame"]),
                ("the other frame", gpu.memory(tensors["frame"].size, "the other frame")),
            )
        )
        self._sent: NDArray[np.uint8] | None = None
        self._computing_s = 0.0
        self._magnified = gpu.page_locked(picture, np.uint8, "the picture")
        self._gain = gpu.page_locked((1,), np.float32, "the gain")
        self._follow = gpu.page_locked((2,), np.float32, "the filter")
        self._zero_states()

    def reset(self) -> None:
        with self._gpu.current():
            self._zero_states()

    def step(
        self, image: NDArray[np.uint8], gain: float, follow: Follow, coming: Coming | None
    ) -> NDArray[np.uint8]:
        gpu = self._gpu
        with gpu.current():
            if self._sent is None or not _are_one(image, self._sent):
                self._send(image)
            self._sent = None
            self._free, self._read = self._read, self._free
            self._gain[0] = gain
            self._follow[:] = follow
            gpu.upload(self._addresses["gain"], self._gain, "the gain")
            gpu.upload(self._addresses["follow"], self._follow, "the filter")
            gpu.after(f"{self._read.what} is there")
            self._bind("frame", self._read.address)
            gpu.mark("computing")
            if not self._context.execute_async_v3(gpu.stream_handle):
                raise self._refused("run the plan", START_AGAIN)
            gpu.mark("computed")
            gpu.download(self._magnified, self._addresses["magnified"], "the picture")
            gpu.mark("the end")
            following = None if coming is None else coming(SPARE_SHARE * self._computing_s)
            if following is not None and following.shape == image.shape:
                self._send(following)
                self._sent = following
            gpu.wait("the end", "magnifying a frame")
            self._computing_s = gpu.seconds_between("computing", "computed")
            self._swap_states()
            # A copy: whoever gets it may keep it, and the next call writes here again.
            return self._magnified.copy()

    def frame_times(self) -> FrameTimes:
        with self._gpu.current():
            what = self._read.what
            sending_s = self._gpu.seconds_between(f"{what} leaves", f"{what} is there")
            fetching_s = self._gpu.seconds_between("computed", "the end")
        return FrameTimes(computing_s=self._computing_s, copying_s=sending_s + fetching_s)

    def _send(self, image: NDArray[np.uint8]) -> None:
        """Into the free place, beside what is computed."""
        place = self._free
        # Where a frame was sent there that was overtaken, it may still be on its way.
        self._gpu.wait(f"{place.what} is there", f"copying {place.what}")
        place.page_locked[...] = image
        self._gpu.send(place.address, place.page_locked, place.what)

    def _swap_states(self) -> None:
        """What was written is read next, where it is."""
        for name in STATES:
            read, written = self._addresses[name], self._addresses[f"{name}_next"]
            self._bind(name, written)
            self._bind(f"{name}_next", read)

    def _bind(self, name: str, address: int) -> None:
        self._addresses[name] = address
        if not self._context.set_tensor_address(name, address):
            raise self._refused(f"take the memory of {name}", START_AGAIN)

    def _zero_states(self) -> None:
        for name in STATES:
            self._gpu.fill_with_zeros(self._addresses[name], self._state_bytes, name)

    def _forget(self) -> None:
        self._context = self._engine = None  # frees their memory, while there is a CUDA context

    def _tensors(self, trt: Any) -> "dict[str, _Tensor]":
        """What goes in and out, by name."""
        dtypes: dict[Any, np.dtype[Any]] = {
            trt.DataType.UINT8: np.dtype(np.uint8),
            trt.DataType.HALF: np.dtype(np.float16),
            trt.DataType.FLOAT: np.dtype(np.float32),
        }
        engine = self._engine
        tensors = {}
        for number in range(engine.num_io_tensors):
            name = engine.get_tensor_name(number)
            tensors[name] = _Tensor(
                written=engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT,
                shape=tuple(engine.get_tensor_shape(name)),
                dtype=dtypes.get(engine.get_tensor_dtype(name)),
            )
        return tensors

    def _refused(self, what: str, mend: str) -> Failure:
        return Failure(
            f"{self._plan}: TensorRT cannot {what} ({self._messages.last_error}); {mend}"
        )


def _are_one(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two views show the same memory in the same way."""
    mine, theirs = image.__array_interface__, other.__array_interface__
    return all(mine[key] == theirs[key] for key in ("data", "shape", "strides"))


def _messages(trt: Any) -> Any:
    """TensorRT's messages, in our log; the last error is what explains a call that refused."""

    class Messages(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # TensorRT asks for it by name
            self.last_error = "it did not say why"

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.last_error = " ".join(message.split())
                log.error("TensorRT: %s", message)
            elif severity == trt.ILogger.Severity.WARNING:
                log.warning("TensorRT: %s", message)

    return Messages()


def _check_graph(plan: Path, sidecar: EngineSidecar) -> None:
    graph = plan.with_suffix(".onnx")
    if not graph.exists():
        return
    actual = sha256(graph)
    if actual != sidecar.graph_sha256:
        raise Failure(
            f"{plan}: was built from a graph with SHA-256 {sidecar.graph_sha256[:12]}..., "
            f"{graph.name} beside it has {actual[:12]}...; {_build_again(plan, sidecar)}"
        )


def _check_device(plan: Path, sidecar: EngineSidecar, version: str, gpu: Gpu) -> None:
    built = (sidecar.tensorrt_version, tuple(sidecar.compute_capability), sidecar.gpu)
    here = (version, tuple(gpu.compute_capability), gpu.name)
    if built != here:
        raise Failure(
            f"{plan}: was built with {_device(*built)}, this is {_device(*here)}; "
            f"{_build_again(plan, sidecar)}"
        )


def _build_again(plan: Path, sidecar: EngineSidecar) -> str:
    """The command, whole, where the graphs lie beside the plan."""
    width_px, height_px = sidecar.size_px
    return (
        f"build it again: tremorscope build --model {sidecar.network} --size {width_px}x{height_px} "
        f"--precision {sidecar.wanted_precision} --graphs {plan.parent} --out {plan.parent}"
    )


def _device(version: str, capability: tuple[int, ...], gpu: str) -> str:
    return f"TensorRT {version} on sm_{''.join(map(str, capability))} ({gpu})"


def _check_tensors(plan: Path, tensors: dict[str, _Tensor], sidecar: EngineSidecar) -> None:
    """Buffers have the plan's own sizes; what is copied to and from them must fit, byte for byte."""
    width_px, height_px = sidecar.size_px
    picture, byte, real = (height_px, width_px, 3), np.dtype(np.uint8), np.dtype(np.float32)
    state = sidecar.state_shape(width_px, height_px)
    wanted = {
        "frame": _Tensor(False, picture, byte),
        "gain": _Tensor(False, (1,), real),
        "follow": _Tensor(False, (2,), real),
        "magnified": _Tensor(True, picture, byte),
    }
    for name in STATES:
        wanted[name] = _Tensor(False, state, real)
        wanted[f"{name}_next"] = _Tensor(True, state, real)
    for name, tensor in tensors.items():
        # Outputs that are not known may be of any kind, as long as their size is.
        further = tensor.written and tensor.dtype is not None and min(tensor.shape, default=1) > 0
        if tensor != wanted.pop(name, tensor if further else None):
            raise Failure(
                f"{plan}: its tensor {name} {tensor.shape} is none of a streaming graph for "
                f"{width_px}x{height_px} px; export and build again: tremorscope export, tremorscope build"
            )
    if wanted:
        raise Failure(
            f"{plan}: has no tensor {', '.join(wanted)}, as a streaming graph has; "
            "export and build again: tremorscope export, tremorscope build"
        )
