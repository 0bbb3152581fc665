"""TensorRT modules to build with: NVIDIA's compiler for a machine without a GPU, and stand-ins.

The stand-ins have the shape of a version: they lack the names that it lacks, refuse attributes that it
does not know, and build any content that begins with "graph" into a plan.
"""

from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

from export.device import Device

DEVICE = Device(
    gpu="Orin",
    compute_capability=(8, 6),
    cuda_version="12.6",
    board="NVIDIA Jetson Orin Nano, Jetson Linux 36.4.3",
    free_memory_bytes=6 << 30,
)
LAYER_LINE = (
    "Layers:\nName: first, LayerType: CaskConvolution, Inputs: [ { Name: x, Location: Device, "
    "Dimensions: [1,32,9,16], Format/Datatype: Channel major FP16 format where channel % 8 == 0 }], "
    "Outputs: [ { Name: y, Location: Device, Dimensions: [1,32,9,16], Format/Datatype: Half }], "
    "ParameterType: Convolution, TacticName: some, StreamId: 0, "
    "Metadata: [ONNX Layer: first]\x1e[ONNX Layer: relu]"
)

BUILD_ERRORS = {
    b"costly": "Error Code 10:\n could not find any implementation for node first",
    b"huge": "Error Code 2:\n OutOfMemory (Requested size was 99 bytes.)",
}
"""What building fails with, by how the graph's content begins."""


def nvidias_compiler(tensorrt_rtx: Any) -> Any:
    """TensorRT-RTX, told for which GPU to build: without one here it has to be."""

    class Builder(tensorrt_rtx.Builder):  # type: ignore[misc]
        def create_builder_config(self) -> Any:
            config = super().create_builder_config()
            config.num_compute_capabilities = 1
            assert config.set_compute_capability(tensorrt_rtx.ComputeCapability.SM86, 0)
            return config

    return SimpleNamespace(**{**vars(tensorrt_rtx), "Builder": Builder})


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class Logger:
    Severity = Severity

    def __init__(self) -> None:
        pass


class ProgressMonitor:
    pass


class TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content + b" and more"


class Config:
    __slots__ = (
        "_cache",
        "_tensorrt",
        "flags",
        "profiling_verbosity",
        "progress_monitor",
        "workspace",
    )

    def __init__(self, tensorrt: Any) -> None:
        self._tensorrt = tensorrt
        self._cache: TimingCache | None = None
        self.profiling_verbosity: Any = None
        self.progress_monitor: Any = None
        self.flags = {tensorrt.BuilderFlag.TF32}
        self.workspace = 0

    def clear_flag(self, flag: IntEnum) -> None:
        self.flags.discard(flag)

    def get_flag(self, flag: IntEnum) -> bool:
        return flag in self.flags

    def set_memory_pool_limit(self, pool: IntEnum, limit: int) -> None:
        assert pool == self._tensorrt.MemoryPoolType.WORKSPACE
        self.workspace = limit

    def create_timing_cache(self, content: bytes) -> TimingCache | None:
        if content and not content.startswith(b"cache"):
            refuse: Callable[[], TimingCache | None] = self._tensorrt.refuse_timing_cache
            return refuse()
        return TimingCache(content or b"cache")

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self._cache = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self._cache if self._tensorrt.keeps_timing_cache else None


class Network:
    def __init__(self) -> None:
        self.content = b""
        self.num_outputs = 0
        self.num_layers = 1

    def get_layer(self, number: int) -> Any:
        assert number == 0
        return SimpleNamespace(name="first", type=0)


class ParserError:
    def desc(self) -> str:
        return "false"

    def node_name(self) -> str:
        return "node_det"

    def node_operator(self) -> str:
        return "Det"


class Parser:
    def __init__(self, network: Network, logger: Any) -> None:
        assert isinstance(logger, Logger)
        self._network = network
        self.num_errors = 0

    def parse(self, content: bytes) -> bool:
        if content.startswith(b"unsupported"):
            self.num_errors = 1
            return False
        self._network.content = content
        self._network.num_outputs = int(content.startswith((b"graph", *BUILD_ERRORS)))
        return True

    def get_error(self, number: int) -> ParserError:
        assert number < self.num_errors
        return ParserError()


def _enum(name: str, members: str) -> Any:
    return IntEnum(name, members.split(), start=0)


def fake(version: str, network_flags: str, builder_flags: str) -> Any:
    """A module; a test may replace ``plan_of``, ``refuse_timing_cache``, ``keeps_timing_cache``."""
    module = SimpleNamespace(
        __version__=version,
        ILogger=Logger,
        IProgressMonitor=ProgressMonitor,
        OnnxParser=Parser,
        NetworkDefinitionCreationFlag=_enum("NetworkDefinitionCreationFlag", network_flags),
        BuilderFlag=_enum("BuilderFlag", builder_flags),
        MemoryPoolType=_enum("MemoryPoolType", "WORKSPACE DLA_MANAGED_SRAM"),
        ProfilingVerbosity=_enum("ProfilingVerbosity", "LAYER_NAMES_ONLY NONE DETAILED"),
        LayerType=_enum("LayerType", "CONVOLUTION CAST"),
        plan_of=lambda content: b"plan of " + content,
        refuse_timing_cache=lambda: None,
        keeps_timing_cache=True,
        logger=None,
        config=None,
    )

    class Builder:
        def __init__(self, logger: Any) -> None:
            module.logger = logger

        def create_network(self, flags: int = 0) -> Network:
            known = module.NetworkDefinitionCreationFlag
            assert flags in (0, *(1 << each for each in known))
            if hasattr(known, "EXPLICIT_BATCH"):  # where strong typing has to be asked for
                assert flags == 1 << known.STRONGLY_TYPED
            return Network()

        def create_builder_config(self) -> Config:
            config = Config(module)
            module.config = config
            return config

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            monitor = config.progress_monitor
            monitor.phase_start("Building engine", None, 2)
            for step in range(2):
                if not monitor.step_complete("Building engine", step):
                    module.logger.log(Severity.ERROR, "Build canceled by user")
                    return None
            monitor.phase_finish("Building engine")
            for begins, error in BUILD_ERRORS.items():
                if network.content.startswith(begins):
                    module.logger.log(Severity.ERROR, error)
                    module.logger.log(Severity.WARNING, "see the log")
                    return None
            module.logger.log(Severity.VERBOSE, LAYER_LINE)
            plan: bytes = module.plan_of(network.content)
            return plan

    module.Builder = Builder
    return module


def jetpack_6() -> Any:
    """10.3: weak typing is the default, so strong typing has to be asked for."""
    return fake(
        "10.3.0",
        "EXPLICIT_BATCH STRONGLY_TYPED",
        "FP16 INT8 DEBUG GPU_FALLBACK REFIT DISABLE_TIMING_CACHE TF32 SPARSE_WEIGHTS FP8 BF16 INT4",
    )


def jetpack_7() -> Any:
    """11.4: no weak typing and no precisions to switch on; the old flag is accepted and ignored."""
    return fake(
        "11.4.1",
        "STRONGLY_TYPED PREFER_AOT_PYTHON_PLUGINS PREFER_JIT_PYTHON_PLUGINS",
        "DEBUG GPU_FALLBACK REFIT DISABLE_TIMING_CACHE TF32 SPARSE_WEIGHTS EDITABLE_TIMING_CACHE",
    )


def without_the_flag() -> Any:
    """What follows when the flag that 11.x calls deprecated is gone."""
    return fake("11.9.0", "PREFER_AOT_PYTHON_PLUGINS PREFER_JIT_PYTHON_PLUGINS", "DEBUG TF32")


def jetpack_6_0() -> Any:
    """8.6: has no strong typing."""
    return fake("8.6.2", "EXPLICIT_BATCH EXPLICIT_PRECISION", "FP16 INT8 TF32")
