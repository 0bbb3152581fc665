"""Which engine a configuration gets, and that it is told."""

import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_tensorrt import OLD, installed, plan_of, write_plan
from pictures import AT_ONCE, picture

from export.artifact import sidecar_path
from failure import Failure
from runtime.config import Magnification
from runtime.engine.choice import engine_for
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.engine.tensorrt import TensorRtEngine


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """The shipped graph in a folder of its own, with an engine beside it."""
    graph = tmp_path / "twofold-48x32.onnx"
    shutil.copy(SHIPPED, graph)
    shutil.copy(sidecar_path(SHIPPED), sidecar_path(graph))
    write_plan(graph.with_suffix(".engine"), plan_of(48, 32, OLD), OLD)
    return graph


def settings(**changed: Any) -> Magnification:
    return Magnification(**{"threads": 1} | changed)


def told(caplog: pytest.LogCaptureFixture, level: int) -> str:
    """What was logged at that level by the choice."""
    return "\n".join(
        each.getMessage()
        for each in caplog.records
        if each.levelno == level and each.name == "runtime.engine.choice"
    )


@pytest.mark.parametrize("engine", ["auto", "tensorrt"])
def test_tensorrt_is_taken_where_it_works(
    monkeypatch: pytest.MonkeyPatch, graph: Path, caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    gpu = installed(monkeypatch, OLD)
    caplog.set_level(logging.INFO)
    chosen = engine_for(settings(engine=engine, graph=graph))
    assert isinstance(chosen, TensorRtEngine)
    assert chosen.description in caplog.text
    chosen.close()
    gpu.check()


def test_auto_says_why_it_is_not_tensorrt(
    monkeypatch: pytest.MonkeyPatch, graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gpu = installed(monkeypatch, OLD, name="Thor", capability=(11, 0))
    caplog.set_level(logging.INFO)
    chosen = engine_for(settings(graph=graph))
    assert isinstance(chosen, OnnxRuntimeEngine)
    assert " on the processor; not TensorRT, because " in chosen.description
    assert "on sm_87 (Orin), this is TensorRT 10.3.0.30 on sm_110 (Thor)" in chosen.description
    assert chosen.description in caplog.text
    assert chosen.step(picture(), 1.0, AT_ONCE).shape == (32, 48, 3)
    chosen.close()
    gpu.check()


def other_gpu(monkeypatch: pytest.MonkeyPatch, plan: Path) -> None:
    installed(monkeypatch, OLD, name="Thor", capability=(11, 0))
    assert plan.exists()


def other_version(monkeypatch: pytest.MonkeyPatch, plan: Path) -> None:
    installed(monkeypatch, "10.16.2.10")
    assert plan.exists()


def changed_plan(monkeypatch: pytest.MonkeyPatch, plan: Path) -> None:
    installed(monkeypatch, OLD)
    plan.write_bytes(b"something else")


def no_sidecar(monkeypatch: pytest.MonkeyPatch, plan: Path) -> None:
    installed(monkeypatch, OLD)
    sidecar_path(plan).unlink()


def a_link_to_nothing(monkeypatch: pytest.MonkeyPatch, plan: Path) -> None:
    installed(monkeypatch, OLD)
    plan.unlink()
    plan.symlink_to("twofold-48x32-0123456789ab.engine")


def no_tensorrt(monkeypatch: pytest.MonkeyPatch, plan: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert plan.exists()


@pytest.mark.parametrize(
    "spoil", [other_gpu, other_version, changed_plan, no_sidecar, a_link_to_nothing, no_tensorrt]
)
def test_auto_warns_of_an_engine_that_is_there_and_refused(
    monkeypatch: pytest.MonkeyPatch, graph: Path, caplog: pytest.LogCaptureFixture, spoil: Any
) -> None:
    spoil(monkeypatch, graph.with_suffix(".engine"))
    chosen = engine_for(settings(graph=graph))
    assert isinstance(chosen, OnnxRuntimeEngine)
    _, _, why = chosen.description.partition("not TensorRT, because ")
    assert why
    assert why in told(caplog, logging.WARNING)


def test_auto_without_an_engine_only_mentions_it(
    graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph.with_suffix(".engine").unlink()
    caplog.set_level(logging.INFO)
    chosen = engine_for(settings(graph=graph))
    assert isinstance(chosen, OnnxRuntimeEngine)
    assert told(caplog, logging.WARNING) == ""
    lack = "there is no twofold-48x32.engine beside the graph"
    assert chosen.description.endswith(f"; not TensorRT, because {lack}")
    assert f"TensorRT is not used: {lack}; make one with: tremorscope build" in told(
        caplog, logging.INFO
    )


@pytest.mark.parametrize("there", [True, False])
def test_the_shipped_graph_needs_no_tensorrt(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, there: bool
) -> None:
    if there:
        installed(monkeypatch, OLD)
    else:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
    chosen = engine_for(settings())
    assert isinstance(chosen, OnnxRuntimeEngine)
    assert chosen.description.endswith("; not TensorRT, because no engine is configured")
    assert told(caplog, logging.WARNING) == ""


def fell_back(graph: Path) -> tuple[Path, Path]:
    """What builds leave that fell back from int8 to fp16, and one of another size, as files."""
    folder = graph.parent
    graph.with_suffix(".engine").unlink()
    for name in ("twofold-48x32-fp16", "twofold-96x64"):
        plan = folder / f"{name}-0123456789ab.engine"
        write_plan(plan, plan_of(48, 32, OLD), OLD, precision="fp16", wanted_precision="int8")
        (folder / f"{name}.engine").symlink_to(plan.name)
    (folder / ".twofold-48x32-fp16.99.engine").write_bytes(b"a build that was killed")
    return folder / "twofold-48x32-fp16.engine", folder / "twofold-96x64.engine"


def test_an_engine_that_fell_back_is_found_by_the_line_that_the_failure_gives(
    monkeypatch: pytest.MonkeyPatch, graph: Path
) -> None:
    gpu = installed(monkeypatch, OLD)
    half, other = fell_back(graph)
    with pytest.raises(Failure) as failure:
        engine_for(settings(engine="tensorrt", graph=graph))
    lines = [f'graph = "{each.with_suffix(".onnx")}"' for each in (half, other)]
    assert str(failure.value) == (
        f"{graph}: there is no twofold-48x32.engine beside the graph, but {half.name} and {other.name}; "
        f"write under [magnification]: {lines[0]} for {half.name}, or {lines[1]} for {other.name}"
    )
    chosen = engine_for(settings(engine="tensorrt", graph=half.with_suffix(".onnx")))
    assert isinstance(chosen, TensorRtEngine)
    chosen.close()
    gpu.check()


def test_auto_tells_of_other_engines_beside_the_graph(
    graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    half, other = fell_back(graph)
    caplog.set_level(logging.INFO)
    chosen = engine_for(settings(graph=graph))
    assert chosen.description.endswith(
        "not TensorRT, because there is no twofold-48x32.engine beside the graph, but "
        f"{half.name} and {other.name}"
    )
    assert f'graph = "{half.with_suffix(".onnx")}"' in told(caplog, logging.INFO)


def test_without_a_graph_it_is_said_which_setting_names_an_engine() -> None:
    with pytest.raises(Failure) as failure:
        engine_for(settings(engine="tensorrt"))
    assert str(failure.value) == (
        "magnification.graph: no engine is configured; name its graph under [magnification], with the "
        "line that tremorscope build prints"
    )


def test_an_engine_that_is_named_is_had_or_refused(
    monkeypatch: pytest.MonkeyPatch, graph: Path
) -> None:
    installed(monkeypatch, OLD)
    graph.with_suffix(".engine").unlink()
    with pytest.raises(Failure) as failure:
        engine_for(settings(engine="tensorrt", graph=graph))
    assert str(failure.value) == (
        f"{graph}: there is no twofold-48x32.engine beside the graph; make one with: tremorscope build, "
        "and write what it prints"
    )


def test_onnx_runtime_when_named_never_tries_tensorrt(
    monkeypatch: pytest.MonkeyPatch, graph: Path
) -> None:
    gpu = installed(monkeypatch, OLD)
    chosen = engine_for(settings(engine="onnxruntime", graph=graph))
    assert chosen.description.endswith(" on the processor")
    assert gpu.calls == []
