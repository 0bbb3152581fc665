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


def test_auto_without_tensorrt_takes_the_shipped_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    chosen = engine_for(settings())
    assert isinstance(chosen, OnnxRuntimeEngine)
    assert "not TensorRT, because tensorrt cannot be imported" in chosen.description


def test_an_engine_that_is_named_is_had_or_refused(
    monkeypatch: pytest.MonkeyPatch, graph: Path
) -> None:
    installed(monkeypatch, OLD)
    graph.with_suffix(".engine").unlink()
    with pytest.raises(Failure) as failure:
        engine_for(settings(engine="tensorrt", graph=graph))
    assert str(failure.value) == (
        f"{graph.with_suffix('.engine')}: no such engine; make one with: tremorscope build"
    )


def test_onnx_runtime_when_named_never_tries_tensorrt(
    monkeypatch: pytest.MonkeyPatch, graph: Path
) -> None:
    gpu = installed(monkeypatch, OLD)
    chosen = engine_for(settings(engine="onnxruntime", graph=graph))
    assert chosen.description.endswith(" on the processor")
    assert gpu.calls == []
