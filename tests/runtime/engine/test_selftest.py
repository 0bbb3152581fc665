"""``tremorscope selftest``: what holds, what differs, and which engine it advises."""

from io import StringIO
from pathlib import Path

import pytest
from fake_cuda import FakeGpu
from fake_tensorrt import NEW, installed, plan_of, write_plan
from rich.console import Console

from export import golden
from failure import Failure
from runtime.engine import Follow
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.engine.selftest import (
    Line,
    Picture,
    advice,
    engine_lines,
    golden_lines,
    line,
    selftest,
)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return installed(monkeypatch, NEW)


def test_the_shipped_graph_shows_what_torch_showed() -> None:
    (found,) = golden_lines()
    assert found.holds
    assert found.largest_difference <= 1
    assert found.mean_difference < 0.01
    frames, expected = golden.load(golden.golden_path(SHIPPED))
    # The golden pictures are of motion, and show it magnified.
    assert abs(expected[1].astype(float) - frames[1]).mean() > 2


@pytest.mark.usefixtures("gpu")
def test_an_engine_is_held_against_the_shipped_graph_at_its_size(tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "twofold.engine", plan_of(48, 32, NEW), NEW)
    shipped, found = engine_lines(plan)
    assert (shipped.size_px, found.size_px) == ((48, 32), (48, 32))
    assert found.holds
    assert found.largest_difference == 0
    assert "TensorRT" in found.engine


@pytest.mark.usefixtures("gpu")
def test_every_engine_of_a_folder_is_in_the_table_once(tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "twofold-0123.engine", plan_of(48, 32, NEW), NEW)
    (tmp_path / "twofold.engine").symlink_to(plan.name)
    write_plan(tmp_path / "copied.engine", plan_of(48, 32, NEW), NEW)
    text = StringIO()
    assert selftest(tmp_path, Console(file=text, width=200))
    rows = [row for row in text.getvalue().splitlines() if row.startswith("│")]
    assert sum("TensorRT 11.4.1.12 on Orin" in row for row in rows) == 2
    assert "48x32: use " in text.getvalue()
    assert "DIFFERS" not in text.getvalue()


def test_an_engine_that_shows_half_of_the_motion_differs() -> None:
    class Lazy(OnnxRuntimeEngine):
        def step(self, image: Picture, gain: float, follow: Follow) -> Picture:
            return super().step(image, 1 + (gain - 1) / 2, follow)

    frames, expected = golden.load(golden.golden_path(SHIPPED))
    found = line(Lazy(SHIPPED), frames, expected)
    assert not found.holds
    assert found.gain_error < -0.02


def test_the_fastest_that_holds_is_advised() -> None:
    def of(engine: str, gain_error: float, frame_s: float) -> Line:
        return Line(engine, (640, 360), 3, 0.1, gain_error, frame_s)

    slow, fast, wrong = of("FP32", 0, 0.1), of("FP16", 0.001, 0.03), of("INT8", 0.3, 0.01)
    assert advice((640, 360), [slow, fast, wrong]) == "640x360: use FP16"
    assert "no engine shows what it should" in advice((640, 360), [wrong])


def test_without_golden_pictures_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"golden\.png: missing or no golden picture"):
        golden.load(golden.golden_path(tmp_path / "twofold.onnx"))
