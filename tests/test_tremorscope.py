"""The command line itself: what every command shares."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from videos import region


def tremorscope(*words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, "-m", "tremorscope", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_version_is_that_of_the_installed_package() -> None:
    done = tremorscope("--version")
    assert (done.returncode, done.stdout) == (0, f"tremorscope {version('tremorscope')}\n")


def test_help_names_the_commands_and_imports_nothing_heavy() -> None:
    done = tremorscope("--help", python=("-X", "importtime"))
    assert done.returncode == 0
    for command in ("demo", "run", "replay", "validate", "schema", "bench", "train", "export"):
        assert f" {command} " in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported, "the list of imports is there"
    heavy = {"torch", "onnx", "onnxruntime", "cv2", "av", "scipy", "matplotlib"}
    assert imported & heavy == set()


def test_validate_says_what_a_configuration_asks_for(tmp_path: Path) -> None:
    config = tmp_path / "bridge.toml"
    config.write_text(f'[camera]\nsource = "csi:0"\n{region("deck")}')
    done = tremorscope("validate", str(config))
    assert done.returncode == 0
    assert done.stdout == (f"{config}: valid; camera csi:0, regions deck, alerts vibration\n")


def test_validate_refuses_what_cannot_be(tmp_path: Path) -> None:
    config = tmp_path / "bridge.toml"
    config.write_text(f'[camera]\nsource = "csi:0"\n{region("deck")}wdth = 3\n')
    done = tremorscope("validate", str(config))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tremorscope: {config}:9: regions[0].wdth")


def test_debug_shows_where_a_failure_came_from(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    assert "Traceback" not in tremorscope("validate", missing).stderr
    done = tremorscope("--debug", "validate", missing)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "there is no such configuration file" in done.stderr


@pytest.mark.parametrize(
    ("message", "key"),
    [("config", "regions"), ("state", "state"), ("telemetry", "x_se_px"), ("alert", "event_id")],
)
def test_schema_prints_a_json_schema(message: str, key: str) -> None:
    done = tremorscope("schema", message)
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert schema["type"] == "object"
    assert key in schema["properties"]


def test_an_unknown_schema_is_told_with_the_choices() -> None:
    done = tremorscope("schema", "weather")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'tremorscope: "weather" has no schema; choose from: config, state, telemetry, alert\n'
    )
