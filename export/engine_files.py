"""Engines in a folder, and the lines of a configuration that name one."""

import json
from pathlib import Path

from export.artifact import EngineSidecar

SUFFIX = ".engine"


def engine_beside(graph: Path) -> Path:
    """Where the daemon looks for the engine of ``magnification.graph``."""
    return graph.with_suffix(SUFFIX)


def engines_in(folder: Path) -> list[Path]:
    """Each engine once, by the name that a build gave it.

    A build keeps the plan under a name of its own, and the engine's name is a link to it.
    """
    found = [path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    named: dict[Path, Path] = {}
    for path in sorted(found, key=lambda path: (not path.is_symlink(), path.name)):
        named.setdefault(path.resolve(), path)
    return sorted(named.values())


def graph_line(engine: Path) -> str:
    """The setting that makes the daemon run ``engine``; its graph need not be there for that."""
    graph = str(engine.absolute().with_suffix(".onnx"))
    return f"graph = {json.dumps(graph, ensure_ascii=False)}"  # TOML's strings are JSON's


def configuration(engine: Path, sidecar: EngineSidecar) -> str:
    """What a configuration says to run ``engine``."""
    width_px, height_px = sidecar.size_px
    return f"""[magnification]
{graph_line(engine)}
engine = "tensorrt"
area = {{ x = 0, y = 0, width = {width_px}, height = {height_px} }}"""
