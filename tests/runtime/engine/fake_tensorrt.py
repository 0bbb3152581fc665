"""TensorRT without TensorRT, on the GPU of ``fake_cuda``: shaped like 10.3, or like 11.4.

Each has the names that it documents and the engine could want, and lacks what it lacks. A plan is a line
of JSON (see ``plan_of``). What it computes is computed by ONNX Runtime from the shipped graph.
"""

import enum
import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from fake_cuda import ALIGNMENT, FakeGpu, Misuse, install_pycuda
from numpy.typing import NDArray

from export.artifact import EngineSidecar, checked, sha256, write_sidecar
from runtime.engine.onnx_runtime import SHIPPED

OLD, NEW = "10.3.0.30", "11.4.1.12"


class Severity(enum.IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class DataType(enum.Enum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8, FP8, BF16, INT64, INT4 = range(10)


BYTES = {DataType.FLOAT: 4, DataType.HALF: 2, DataType.INT8: 1, DataType.UINT8: 1}


@cache
def session() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(SHIPPED, options, providers=["CPUExecutionProvider"])


def plan_of(width_px: int, height_px: int, version: str, **changed: Any) -> bytes:
    """The plan of the shipped graph for one size; ``changed`` are other tensors: (mode, shape, type)."""
    state = checked(SHIPPED).state_shape(width_px, height_px)
    cells = 1, 2, -(-height_px // 4), -(-width_px // 4)
    picture = height_px, width_px, 3
    tensors: dict[str, Any] = {
        "frame": ("INPUT", picture, "UINT8"),
        "gain": ("INPUT", (1,), "FLOAT"),
        "follow": ("INPUT", (2,), "FLOAT"),
        "fast": ("INPUT", state, "FLOAT"),
        "slow": ("INPUT", state, "FLOAT"),
        "magnified": ("OUTPUT", picture, "UINT8"),
        "fast_next": ("OUTPUT", state, "FLOAT"),
        "slow_next": ("OUTPUT", state, "FLOAT"),
        "displacement_px": ("OUTPUT", cells, "FLOAT"),
    }
    tensors = {name: each for name, each in (tensors | changed).items() if each is not None}
    return json.dumps({"version": version, "tensors": tensors}).encode()


def write_plan(path: Path, content: bytes, version: str, **changed: Any) -> Path:
    """A plan with its sidecar, for 48x32 px on an Orin unless ``changed`` says otherwise."""
    path.write_bytes(content)
    shipped = checked(SHIPPED)
    facts: dict[str, Any] = {
        "sha256": sha256(path),
        "network": shipped.network,
        "precision": "fp32",
        "state_channels": shipped.state_channels,
        "state_stride": shipped.state_stride,
        "tool_version": "0.1.0",
        "size_px": (48, 32),
        "graph_sha256": sha256(SHIPPED),
        "weights_sha256": shipped.weights_sha256,
        "frames_sha256": None,
        "wanted_precision": "fp32",
        "fallbacks": (),
        "tensorrt_version": version,
        "cuda_version": "12.6",
        "gpu": "Orin",
        "compute_capability": (8, 7),
        "board": None,
        "builder_flags": (),
        "convolutions": {"fp32": 1},
        "build_s": 60.0,
    }
    write_sidecar(path, EngineSidecar(**facts | changed))
    return path


def fake_tensorrt(gpu: FakeGpu, version: str) -> Any:
    """The module ``tensorrt`` of a version."""
    engine_type = OldEngine if version.startswith("10.") else Engine

    class ILogger:
        Severity = Severity

        def __init__(self) -> None:
            self.begun = True

        def log(self, severity: Any, msg: str) -> None:
            raise NotImplementedError

    class Runtime:
        def __init__(self, logger: Any) -> None:
            if not (isinstance(logger, ILogger) and getattr(logger, "begun", False)):
                raise gpu.misuse("the logger's base class was not initialised")
            self.logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
            gpu.need_context("deserialize_cuda_engine")
            try:
                plan = json.loads(serialized_engine)
            except ValueError:
                plan = {"version": "nothing"}
            if plan["version"] != version:
                self.logger.log(Severity.INFO, "Loaded engine size: 0 MiB")
                self.logger.log(
                    Severity.ERROR,
                    "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization "
                    "assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.)",
                )
                return None
            return engine_type(self, gpu, plan["tensors"])

    module: Any = ModuleType("tensorrt")
    module.__version__ = version
    module.ILogger, module.Runtime = ILogger, Runtime
    module.TensorIOMode, module.DataType = TensorIOMode, DataType
    return module


def installed(monkeypatch: pytest.MonkeyPatch, version: str, **device: Any) -> FakeGpu:
    """A GPU with pycuda and TensorRT of that version, for as long as the test lasts."""
    gpu = FakeGpu(**device)
    install_pycuda(monkeypatch, gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(gpu, version))
    return gpu


class Engine:
    """ICudaEngine."""

    def __init__(self, runtime: Any, gpu: FakeGpu, tensors: Any) -> None:
        self._runtime = runtime  # as pybind11's keep_alive does
        self._gpu, self._tensors = gpu, tensors
        self._memory = gpu.allocate(1000)  # weights
        gpu.hold("engines", 1)

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        names: list[str] = list(self._tensors)
        return names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode[self._tensors[name][0]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._tensors[name][1])

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self._tensors[name][2]]

    def create_execution_context(self) -> "Context":
        self._gpu.need_context("create_execution_context")
        return Context(self, self._gpu)

    @property
    def device_memory_size_v2(self) -> int:
        return 1000

    def __del__(self) -> None:
        with suppress(Misuse):
            self._gpu.need_context("an engine's destructor")
            self._gpu.free(self._memory)
            self._gpu.hold("engines", -1)


class OldEngine(Engine):
    """With names that are gone in 11.x."""

    device_memory_size = 1000
    has_implicit_batch_dimension = False

    def create_execution_context_without_device_memory(self) -> Any:
        raise NotImplementedError


class Context:
    """IExecutionContext."""

    def __init__(self, engine: Engine, gpu: FakeGpu) -> None:
        self._engine, self._gpu = engine, gpu
        self._addresses: dict[str, int] = {}
        self._memory = gpu.allocate(1000)  # activations
        gpu.hold("execution contexts", 1)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self._engine._tensors:
            return False
        if memory % ALIGNMENT:
            raise self._gpu.misuse(f"the address of {name} is not aligned")
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        gpu = self._gpu
        try:
            gpu.call("enqueueV3")
        except gpu.driver.Error as error:
            self._engine._runtime.logger.log(Severity.ERROR, f"IExecutionContext: {error}")
            return False
        if stream_handle not in gpu.streams:
            raise gpu.misuse(f"execute_async_v3: {stream_handle} is no stream")
        addresses = dict(self._addresses)
        used: dict[int, str] = {}
        for name in self._engine._tensors:
            if name not in addresses:
                raise gpu.misuse(f"execute_async_v3: {name} has no address")
            other = used.setdefault(addresses[name], name)
            if other != name:
                raise gpu.misuse(f"execute_async_v3: {name} and {other} share their memory")
            self._memory_of(name, addresses, "execute_async_v3")
        gpu.streams[stream_handle].ask("enqueueV3", lambda: self._compute(addresses))
        return True

    def _memory_of(self, name: str, addresses: dict[str, int], who: str) -> NDArray[Any]:
        _, shape, kind = self._engine._tensors[name]
        size = int(np.prod(shape)) * BYTES[DataType[kind]]
        content = self._gpu.bytes_at(addresses[name], size, f"{who}: {name}")
        return content.view(np.uint8 if kind == "UINT8" else np.float32).reshape(shape)

    def _compute(self, addresses: dict[str, int]) -> None:
        modes = {name: each[0] for name, each in self._engine._tensors.items()}
        memory = {name: self._memory_of(name, addresses, "computing") for name in modes}
        written = [name for name, mode in modes.items() if mode == "OUTPUT"]
        feeds = {name: memory[name].copy() for name, mode in modes.items() if mode == "INPUT"}
        for name, value in zip(written, session().run(written, feeds), strict=True):
            memory[name][...] = value
        self._gpu.clock_ms += 5

    def __del__(self) -> None:
        with suppress(Misuse):
            self._gpu.need_context("an execution context's destructor")
            self._gpu.free(self._memory)
            self._gpu.hold("execution contexts", -1)
