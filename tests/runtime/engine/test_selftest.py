"""``tremorscope selftest``: what holds, what differs, and which engine it advises."""

import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fake_cuda import FakeGpu
from fake_tensorrt import NEW, installed, plan_of, write_plan
from pictures import picture
from rich.console import Console
from typer.testing import CliRunner

from export import golden
from export.artifact import EngineSidecar, checked, checked_engine
from failure import Failure
from runtime.commands import app
from runtime.config import Magnification
from runtime.engine import Coming, Follow
from runtime.engine.onnx_runtime import SHIPPED, OnnxRuntimeEngine
from runtime.engine.selftest import advice, selftest, shipped
from runtime.engine.trial import Effort, Picture, Speed, Verdict, timed, tried

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

QUICK = Effort(warm_up_s=0, frames=4)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return installed(monkeypatch, NEW)


def shown_by(engine: OnnxRuntimeEngine, frames: list[Picture]) -> list[Picture]:
    first = engine.step(frames[0], 1.0, (1.0, 1.0))
    return [first, *(engine.step(frame, golden.GAIN, golden.FOLLOW) for frame in frames[1:])]


def write_golden(plan: Path, change: int = 0) -> None:
    """Beside ``plan``, what the stand-in for TensorRT shows too, apart from ``change`` grey levels."""
    frames = [picture(moved_px=0.1 * number) for number in range(golden.FRAMES)]
    expected = shown_by(OnnxRuntimeEngine(SHIPPED, threads=1), frames)
    expected = [each - change * (each > 128).astype(each.dtype) for each in expected]
    golden.store(golden.golden_path(plan.parent, checked_engine(plan)), frames, expected)


def engine_in(folder: Path, name: str = "twofold-48x32", **changed: Any) -> Path:
    """As a build leaves it: a link to a plan."""
    plan = folder / f"{name}-0123456789ab.engine"
    write_plan(plan, plan_of(48, 32, NEW), NEW, **changed)
    engine = folder / f"{name}.engine"
    engine.symlink_to(plan.name)
    return engine


def printed(folder: Path) -> tuple[bool, str]:
    """Whether all hold, and what selftest says of a folder."""
    text = StringIO()
    holds = selftest(folder, Console(file=text, width=80), QUICK)
    return holds, text.getvalue()


def rows(text: str) -> list[list[str]]:
    """The table's cells, a row for each engine."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_shipped_graph_shows_what_torch_showed() -> None:
    found = shipped(QUICK)
    assert found.holds
    assert found.largest_difference <= 1
    assert found.mean_difference < 0.01
    frames, expected = golden.load(golden.golden_path(SHIPPED.parent, checked(SHIPPED)))
    # The golden pictures are of motion, and show it magnified.
    assert abs(expected[1].astype(float) - frames[1]).mean() > 2


@pytest.mark.usefixtures("gpu")
def test_an_engine_is_held_against_the_pictures_of_its_own_weights_and_size(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    write_golden(engine)
    holds, text = printed(tmp_path)
    assert holds
    onnx_runtime, built = rows(text)
    assert onnx_runtime[:3] == ["ONNX Runtime", "192x128", "fp32"]
    assert built[:3] == ["twofold-48x32.engine", "48x32", "fp32"]
    assert built[3:6] == ["0", "0.000", "+0.00%"]
    # By the clock of the stand-in, which counts its copies and what it computes.
    assert built[7:] == ["5.00", "2.00", "holds"]


@pytest.mark.usefixtures("gpu")
def test_an_engine_of_other_weights_than_the_pictures_is_refused(tmp_path: Path) -> None:
    write_golden(engine_in(tmp_path))
    other = engine_in(tmp_path, "other", network="proposed", weights_sha256="1" * 64)
    holds, text = printed(tmp_path)
    assert not holds
    assert [row[-1] for row in rows(text)] == ["holds", "REFUSED", "holds"] or [
        (row[0], row[-1]) for row in rows(text)
    ] == [("ONNX Runtime", "holds"), ("twofold-48x32.engine", "holds"), (other.name, "REFUSED")]
    assert (
        f"{other.name}: refused: {tmp_path}/proposed-48x32-111111111111.golden.png: there are no golden "
        "pictures of these weights and this size" in text
    )


@pytest.mark.usefixtures("gpu")
def test_a_refused_engine_is_a_row_and_not_the_end(tmp_path: Path) -> None:
    good = engine_in(tmp_path)
    write_golden(good)
    engine_in(tmp_path, "a", gpu="Thor")
    engine_in(tmp_path, "b").resolve().write_bytes(b"another plan")
    (tmp_path / "c.engine").symlink_to("nowhere.engine")
    holds, text = printed(tmp_path)
    assert not holds
    last = {row[0]: row[-1] for row in rows(text)}
    assert last == {
        "ONNX Runtime": "holds",
        good.name: "holds",
        "a.engine": "REFUSED",
        "b.engine": "REFUSED",
        "c.engine": "REFUSED",
    }
    assert "a.engine: refused: " in text
    assert "on sm_87 (Thor), this is TensorRT" in text
    assert "the file was changed or cut short" in text
    assert "c.engine: no such engine" in text
    assert f"48x32: {good.name} is the fastest" in text


@pytest.mark.usefixtures("gpu")
def test_every_engine_of_a_folder_is_in_the_table_once(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    write_golden(engine_in(folder))
    write_plan(folder / "copied.engine", plan_of(48, 32, NEW), NEW)
    (folder / "again.engine").symlink_to(folder / "copied.engine")
    (folder / ".twofold.77.engine").write_bytes(b"a build that was killed")
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    for place in (folder, linked):
        _, text = printed(place)
        assert [row[0] for row in rows(text)] == [
            "ONNX Runtime",
            "again.engine",
            "twofold-48x32.engine",
        ]


@pytest.mark.usefixtures("gpu")
def test_an_engine_that_fell_back_says_what_was_wanted_and_why(tmp_path: Path) -> None:
    why = "int8: node node_det [Det]: is not supported"
    engine = engine_in(tmp_path, precision="fp16", wanted_precision="int8", fallbacks=(why,))
    write_golden(engine)
    _, text = printed(tmp_path)
    assert rows(text)[1][2] == "fp16 (int8 wanted)"
    assert f"{engine.name}: fell back, because of {why}" in text


@pytest.mark.usefixtures("gpu")
def test_the_advice_is_lines_of_a_configuration(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    write_golden(engine)
    _, text = printed(tmp_path)
    _, _, lines = text.partition("write in the configuration:\n")
    settings = Magnification(**tomllib.loads(lines)["magnification"])
    assert settings.graph == engine.with_suffix(".onnx")
    assert settings.engine == "tensorrt"
    assert settings.area is not None
    assert (settings.area.width, settings.area.height) == (48, 32)


@pytest.mark.usefixtures("gpu")
def test_the_report_says_what_it_was_measured_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("runtime.engine.selftest.power_mode", lambda: "15W")
    monkeypatch.setattr(
        "runtime.engine.selftest.board", lambda _: "NVIDIA Jetson Orin Nano, Jetson Linux 36.4.3"
    )
    write_golden(engine_in(tmp_path))
    _, text = printed(tmp_path)
    assert "NVIDIA Jetson Orin Nano, Jetson Linux 36.4.3" in text
    assert "power mode 15W" in text
    assert f"Orin (sm_87), CUDA driver 12.6, TensorRT {NEW}" in text
    assert "the median of 4 frames (fewer after 15 s) behind 0 s of warm-up" in text


def test_without_a_gpu_onnx_runtime_is_judged_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    text = StringIO()
    assert selftest(None, Console(file=text, width=80), QUICK)
    assert (
        "without TensorRT: pycuda, which TensorRT needs here, is not installed" in text.getvalue()
    )
    assert [row[0] for row in rows(text.getvalue())] == ["ONNX Runtime"]


def test_a_folder_without_engines_is_refused(tmp_path: Path) -> None:
    for folder, told in (
        (tmp_path / "missing", "there is no such folder"),
        (tmp_path, "holds no engine; make one with: tremorscope build"),
    ):
        done = CliRunner().invoke(app, ["selftest", "--engines", str(folder)])
        assert isinstance(done.exception, Failure)
        assert told in str(done.exception)


@pytest.mark.usefixtures("gpu")
def test_pictures_that_differ_fail_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("runtime.engine.selftest.Effort", lambda: QUICK)
    write_golden(engine_in(tmp_path), change=3)
    done = CliRunner().invoke(app, ["selftest", "--engines", str(tmp_path)])
    assert "DIFFERS" in done.stdout
    assert "48x32: no engine shows what it should; report this table" in done.stdout
    assert "does not show what it should" in str(done.exception)


def test_an_engine_that_shows_half_of_the_motion_differs() -> None:
    class Lazy(OnnxRuntimeEngine):
        def step(
            self, image: Picture, gain: float, follow: Follow, coming: Coming | None = None
        ) -> Picture:
            return super().step(image, 1 + (gain - 1) / 2, follow, coming)

    pictures = golden.load(golden.golden_path(SHIPPED.parent, checked(SHIPPED)))
    found = tried(Lazy(SHIPPED), "lazy", "fp32", pictures, QUICK)
    assert not found.holds
    assert found.gain_error < -0.02


def test_an_engine_is_warmed_up_and_a_slow_one_is_timed_for_fewer_frames() -> None:
    class Counting(OnnxRuntimeEngine):
        count = 0

        def step(
            self, image: Picture, gain: float, follow: Follow, coming: Coming | None = None
        ) -> Picture:
            self.count += 1
            return super().step(image, gain, follow, coming)

    frames = [picture(moved_px=0.1 * number) for number in range(3)]
    engine = Counting(SHIPPED, threads=1)
    assert timed(engine, frames, Effort(warm_up_s=0, frames=7)).frames == 7
    assert engine.count == 8
    assert timed(engine, frames, Effort(warm_up_s=0, frames=1000, longest_s=0)).frames == 3
    before = engine.count
    speed = timed(engine, frames, Effort(warm_up_s=0.5, frames=1))
    assert engine.count - before > 3
    assert 0 < speed.frame_s < 0.5
    assert speed.computing_s is None


def test_the_fastest_that_holds_is_advised(tmp_path: Path) -> None:
    sidecar = checked_engine(engine_in(tmp_path))

    def of(name: str, gain_error: float, frame_s: float) -> Verdict:
        plan = (tmp_path / f"{name}.engine", sidecar)
        speed = Speed(frames=300, frame_s=frame_s)
        return Verdict(name, "fp16", "", (640, 360), 3, 0.1, gain_error, speed, plan)

    slow, fast, wrong = of("fp32", 0, 0.1), of("fp16", 0.001, 0.03), of("int8", 0.3, 0.01)
    told = advice((640, 360), [slow, fast, wrong])
    assert told.startswith("640x360: fp16 is the fastest that shows what it should")
    assert f'graph = "{tmp_path}/fp16.onnx"' in told
    assert "no engine shows what it should" in advice((640, 360), [wrong])


def test_without_golden_pictures_it_says_what_to_do(tmp_path: Path) -> None:
    sidecar: EngineSidecar = checked_engine(engine_in(tmp_path))
    path = golden.golden_path(tmp_path, sidecar)
    for content in (None, b"no picture"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(Failure, match=r"golden\.png: there are no golden pictures .* export"):
            golden.load(path)
