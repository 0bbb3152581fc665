from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import runtime.doctor.board
from failure import Failure
from runtime.config import Config
from runtime.doctor.board import board_findings
from runtime.doctor.finding import Finding

RELEASE = "# R36 (release), REVISION: {}, GCID: 1, BOARD: generic"


@pytest.fixture
def jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an Orin with JetPack 6.1 tells of itself, TensorRT and pycuda installed."""
    model = tmp_path / "proc/device-tree/model"
    model.parent.mkdir(parents=True)
    model.write_text("NVIDIA Jetson Orin Nano Developer Kit\0")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(RELEASE.format("4.0"))
    module = SimpleNamespace(__version__="10.3.0")
    for name in ("installed_tensorrt", "installed_pycuda"):
        monkeypatch.setattr(runtime.doctor.board, name, lambda: module)
    monkeypatch.setattr(runtime.doctor.board, "power_mode", lambda: "MAXN")
    return tmp_path


def examined(root: Path, **magnification: Any) -> dict[str, Finding]:
    config = Config.model_validate(
        {
            "camera": {"source": "csi:0"},
            "regions": [{"name": "girder", "x": 8, "y": 8, "width": 32, "height": 32}],
            "magnification": magnification,
        }
    )
    return {one.what: one for one in board_findings(config, root)}


def test_a_board_with_everything_is_good(jetson: Path) -> None:
    found = examined(jetson)
    assert {one.verdict for one in found.values()} == {"good"}
    assert set(found) == {"board", "tensorrt", "pycuda", "power"}
    assert "Orin Nano" in found["board"].text


def test_a_machine_that_is_no_jetson_needs_none_of_it(tmp_path: Path) -> None:
    [found] = examined(tmp_path).values()
    assert (found.what, found.verdict) == ("board", "good")


def test_a_jetpack_that_is_too_old_has_failed(jetson: Path) -> None:
    (jetson / "etc/nv_tegra_release").write_text(RELEASE.format("3.0"))
    assert examined(jetson)["board"].verdict == "failed"


@pytest.mark.parametrize(("engine", "verdict"), [("auto", "warning"), ("tensorrt", "failed")])
def test_tensorrt_that_is_missing_is_as_bad_as_the_configuration_needs_it(
    jetson: Path, engine: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise Failure("the Python package tensorrt cannot be imported; install it")

    monkeypatch.setattr(runtime.doctor.board, "installed_tensorrt", missing)
    assert examined(jetson, engine=engine)["tensorrt"].verdict == verdict
    assert "tensorrt" not in examined(jetson, engine="onnxruntime")


@pytest.mark.parametrize(
    ("mode", "verdict"), [("15W", "warning"), (None, "warning"), ("MAXN", "good")]
)
def test_a_power_mode_that_slows_the_board_is_told(
    jetson: Path, mode: str | None, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.doctor.board, "power_mode", lambda: mode)
    assert examined(jetson)["power"].verdict == verdict
