"""Which engine runs: chosen once, at the start, and told."""

import logging

from failure import Failure
from runtime.config import Magnification
from runtime.engine import Engine
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.engine.tensorrt import TensorRtEngine

log = logging.getLogger(__name__)


def engine_for(settings: Magnification) -> Engine:
    """The engine that ``settings.engine`` names; with "auto", TensorRT where it works.

    Raises Failure when the named engine, or with "auto" any, cannot be had.
    """
    graph = settings.graph or SHIPPED
    instead_of = None
    if settings.engine != "onnxruntime":
        try:
            return _told(TensorRtEngine(graph.with_suffix(".engine")))
        except Failure as failure:
            if settings.engine == "tensorrt":
                raise
            instead_of = f"TensorRT, because {failure}"
    return _told(OnnxRuntimeEngine(graph, threads=settings.threads, instead_of=instead_of))


def _told(engine: Engine) -> Engine:
    log.info("magnifies with %s", engine.description)
    return engine
