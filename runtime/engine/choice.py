"""Which engine runs: chosen once, at the start, and told."""

import logging
from pathlib import Path

from export.engine_files import engine_beside, engines_in, graph_line
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
    if settings.engine == "onnxruntime":
        return _told(OnnxRuntimeEngine(graph, threads=settings.threads))
    plan = engine_beside(graph)
    if plan.exists() or plan.is_symlink():
        try:
            return _told(TensorRtEngine(plan))
        except Failure as failure:
            if settings.engine == "tensorrt":
                raise
            log.warning("an engine is there, but TensorRT cannot run it: %s", failure)
            instead_of = f"TensorRT, because {failure}"
    else:
        lack, mend = _lack(settings.graph, plan)
        if settings.engine == "tensorrt":
            raise Failure(f"{settings.graph or 'magnification.graph'}: {lack}; {mend}")
        log.info("TensorRT is not used: %s; %s", lack, mend)
        instead_of = f"TensorRT, because {lack}"
    return _told(OnnxRuntimeEngine(graph, threads=settings.threads, instead_of=instead_of))


def _lack(graph: Path | None, plan: Path) -> tuple[str, str]:
    """That there is no engine to run, and what to do about it."""
    if graph is None:
        return (
            "no engine is configured",
            "name its graph under [magnification], with the line that tremorscope build prints",
        )
    lack = f"there is no {plan.name} beside the graph"
    others = engines_in(plan.parent)
    if not others:
        return lack, "make one with: tremorscope build, and write what it prints"
    lines = ", or ".join(f"{graph_line(each)} for {each.name}" for each in others)
    return (
        f"{lack}, but {' and '.join(each.name for each in others)}",
        f"write under [magnification]: {lines}",
    )


def _told(engine: Engine) -> Engine:
    log.info("magnifies with %s", engine.description)
    return engine
