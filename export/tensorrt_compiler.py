"""TensorRT's builder, from 10.3 to 11.x: a graph in, a plan out, or TensorRT's reason why not.

The module comes as an argument: ``tensorrt`` on a Jetson, ``tensorrt_rtx`` where tests have no GPU. What
a version offers is asked of it, never looked up by its number.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.build_progress import BuildProgress, monitor_of
from export.engine_layers import Layer, layers_in
from export.timing_cache import attach, measured
from failure import Failure

_OUT_OF_MEMORY = re.compile(r"out ?of ?memory", re.IGNORECASE)


class RefusedGraph(Exception):
    """TensorRT does not build this graph; its own words say why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What TensorRT built. ``convolutions`` are the graph's nodes of that kind, by name."""

    content: bytes
    builder_flags: tuple[str, ...]
    convolutions: tuple[str, ...]
    layers: tuple[Layer, ...]
    timing_cache: bytes


class Compiler:
    """One builder and its log, for the graphs that are tried in turn.

    ``workspace_bytes`` is what a kernel may use beside its tensors. Raises Failure when this TensorRT
    is too old.
    """

    def __init__(
        self, tensorrt: Any, workspace_bytes: int, timing_cache: Path, progress: BuildProgress
    ) -> None:
        self._tensorrt = tensorrt
        self._network_flags = _strongly_typed(tensorrt)
        self._workspace_bytes = workspace_bytes
        self._timing_cache = timing_cache
        self._progress = progress
        self._complaints: list[str] = []
        self._errors: list[str] = []
        self._layer_lines: list[str] = []
        self._logger = _logger_of(tensorrt, self._complaints, self._errors, self._layer_lines)
        self._builder = tensorrt.Builder(self._logger)

    def plan(self, graph: Path, content: bytes) -> Plan:
        """Build ``content``, which was read from ``graph``.

        Raises RefusedGraph with the parser's or the builder's last word, and Failure when the memory
        was not enough: another precision would not need less.
        """
        self._complaints.clear()
        self._errors.clear()
        self._layer_lines.clear()
        network = self._builder.create_network(self._network_flags)
        # The parser's results are its own: it lives as long as the network is used.
        parser = self._tensorrt.OnnxParser(network, self._logger)
        parsed = parser.parse(content)
        if not parsed or network.num_outputs == 0:  # what holds no graph at all is "parsed"
            raise RefusedGraph(self._reason(parser) or "holds no network")
        config = self._config()
        with self._progress.shown():
            content = self._builder.build_serialized_network(network, config)
        if content is None:
            memory = [error for error in self._errors if _OUT_OF_MEMORY.search(error)]
            if memory:
                raise Failure(
                    f"{graph}: TensorRT ran out of memory ({_one_line(memory[-1])}); stop other programs "
                    "(the desktop: sudo systemctl isolate multi-user.target) or build a smaller size"
                )
            raise RefusedGraph(self._reason(parser) or "TensorRT gave no plan and no reason")
        return Plan(
            content=bytes(content),
            builder_flags=("STRONGLY_TYPED", *self._flags(config)),
            convolutions=_convolutions(self._tensorrt, network),
            layers=layers_in("\n".join(self._layer_lines)),
            timing_cache=measured(config),
        )

    def _config(self) -> Any:
        tensorrt = self._tensorrt
        config = self._builder.create_builder_config()
        # TF32 rounds to ten bits: the differences that are magnified are smaller.
        config.clear_flag(tensorrt.BuilderFlag.TF32)
        # A Jetson's processor and GPU share their memory: all of it for a kernel would end the daemon.
        config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, self._workspace_bytes)
        config.profiling_verbosity = tensorrt.ProfilingVerbosity.DETAILED  # names what it fused
        config.progress_monitor = monitor_of(tensorrt, self._progress)
        attach(config, self._timing_cache, self._complaints)
        return config

    def _flags(self, config: Any) -> list[str]:
        members = self._tensorrt.BuilderFlag.__members__
        return [name for name, flag in members.items() if config.get_flag(flag)]

    def _reason(self, parser: Any) -> str | None:
        """The parser's errors with their nodes; else the last error that was logged."""
        reasons = []
        for number in range(parser.num_errors):
            error = parser.get_error(number)
            reasons.append(_sentence(error.desc(), error.node_name(), error.node_operator()))
        if reasons:
            return "; ".join(reasons)
        return _one_line(self._errors[-1]) if self._errors else None


def _strongly_typed(tensorrt: Any) -> int:
    """The flags of a network whose graph says each precision, which 11.x always does."""
    flags = tensorrt.NetworkDefinitionCreationFlag
    if hasattr(flags, "STRONGLY_TYPED"):
        return 1 << int(flags.STRONGLY_TYPED)
    if hasattr(flags, "EXPLICIT_BATCH"):  # from before strong typing, not from after it
        raise Failure(
            f"TensorRT {tensorrt.__version__} is too old: 10.3 is the oldest that this kit builds with; "
            "install JetPack 6.1 or newer"
        )
    return 0


def _logger_of(
    tensorrt: Any, complaints: list[str], errors: list[str], layer_lines: list[str]
) -> Any:
    """A logger that keeps warnings and errors, errors by themselves, and what tells of layers."""
    levels = tensorrt.ILogger.Severity

    class Log(tensorrt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            tensorrt.ILogger.__init__(self)  # not super(): the binding refuses it

        def log(self, severity: Any, msg: str) -> None:
            if severity in (levels.INTERNAL_ERROR, levels.ERROR):
                errors.append(msg)
                complaints.append(msg)
            elif severity == levels.WARNING:
                complaints.append(msg)
            elif "LayerType:" in msg:
                layer_lines.append(msg)

    return Log()


def _convolutions(tensorrt: Any, network: Any) -> tuple[str, ...]:
    layers = (network.get_layer(number) for number in range(network.num_layers))
    return tuple(layer.name for layer in layers if layer.type == tensorrt.LayerType.CONVOLUTION)


def _sentence(description: str, node: str, operator: str) -> str:
    where = f"node {node or '(unnamed)'} [{operator}]: " if operator else ""
    # TensorRT calls a node that it does not know "false".
    return where + ("is not supported" if description == "false" else _one_line(description))


def _one_line(text: str) -> str:
    return " ".join(text.split())
