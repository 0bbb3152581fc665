"""The command line itself: what every command shares."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from videos import region

import tremorscope
from failure import Failure


def run(*words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """``tremorscope`` in a process of its own."""
    return subprocess.run(
        [sys.executable, *(python or ("-m", "tremorscope")), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """``tremorscope`` in this process; what it exits with."""
    monkeypatch.setattr(sys, "argv", ["tremorscope", *words])
    with pytest.raises(SystemExit) as exit_:
        tremorscope.main()
    return str(exit_.value.code)


def test_version_is_that_of_the_installed_package() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"tremorscope {version('tremorscope')}\n")


def test_help_names_the_commands_and_imports_nothing_heavy() -> None:
    done = run("--help", python=("-X", "importtime", "-m", "tremorscope"))
    assert done.returncode == 0
    for command in (
        "demo",
        "run",
        "replay",
        "regions",
        "capture",
        "validate",
        "schema",
        "bench",
        "train",
        "compare",
        "explore",
        "scale",
        "export",
    ):
        assert f" {command} " in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported, "the list of imports is there"
    heavy = {"torch", "onnx", "onnxruntime", "cv2", "av", "numpy", "scipy", "matplotlib"}
    assert imported & heavy == set()


def test_validate_says_what_a_configuration_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bridge.toml"
    config.write_text(f'[camera]\nsource = "csi:0"\n{region("deck")}')
    assert called(monkeypatch, "validate", str(config)) == "0"
    told = f"{config}: valid; camera csi:0, regions deck, alerts vibration\n"
    assert capsys.readouterr().out == told


def test_a_failure_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    config = tmp_path / "bridge.toml"
    config.write_text(f'[camera]\nsource = "csi:0"\n{region("deck")}wdth = 3\n')
    done = run("validate", str(config))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f'tremorscope: {config}:9: regions[0].wdth = 3: unknown key; did you mean "width"?\n'
    )


def test_debug_shows_where_a_failure_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = str(tmp_path / "none.toml")
    assert "there is no such configuration file" in called(monkeypatch, "validate", missing)
    monkeypatch.setattr(sys, "argv", ["tremorscope", "--debug", "validate", missing])
    with pytest.raises(Failure, match="there is no such configuration file"):
        tremorscope.main()


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tremorscope, "app", broken)
    with pytest.raises(ZeroDivisionError):
        tremorscope.main()


@pytest.mark.parametrize(("package", "group"), [("torch", "train"), ("onnx", "export")])
def test_a_missing_optional_package_is_told_with_its_installation(
    package: str, group: str, tmp_path: Path
) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; import tremorscope; tremorscope.main()"
    done = run("export", "--out", str(tmp_path), python=("-c", script))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"tremorscope: this command needs the Python package {package}; "
        f"install it with: pip install 'tremorscope[{group}]'\n"
    )


def test_another_missing_package_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ModuleNotFoundError("no cv2", name="cv2")

    monkeypatch.setattr(tremorscope, "app", broken)
    with pytest.raises(ModuleNotFoundError):
        tremorscope.main()


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("config", "regions"),
        ("state", "state"),
        ("telemetry", "ppv_mm_s"),
        ("shape", "points"),
        ("alert", "event_id"),
        ("suppressed", "reason"),
        ("controls", "area"),
        ("reply", "accepted"),
        ("snapshot", "latencies"),
        ("command/magnification", "gain"),
        ("command/snapshot", "view"),
    ],
)
def test_schema_prints_a_json_schema(
    message: str,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert called(monkeypatch, "schema", message) == "0"
    schema = json.loads(capsys.readouterr().out)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert key in schema["properties"]
    assert set(schema.get("required", ())) <= set(schema["properties"])


def test_an_unknown_schema_is_told_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert called(monkeypatch, "schema", "weather") == (
        'tremorscope: "weather" has no schema; choose from: config, asyncapi, snapshot, state, '
        "telemetry, shape, alert, suppressed, controls, reply, command/magnification, command/acknowledge, "
        "command/snapshot"
    )


def test_bench_prints_two_speeds_and_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "speed.md"
    words = ("--size", "96x96", "--frames", "10", "--markdown", str(kept))
    assert called(monkeypatch, "bench", *words) == "0"
    out = capsys.readouterr().out
    assert "; 96x96, 4 regions, 10 frames" in out
    speeds = re.findall(r"(?m)^measurement.* +([\d.]+) frames/s$", out)
    assert len(speeds) == 2
    assert all(float(speed) > 0 for speed in speeds)
    for speed in speeds:
        assert f" {speed} |" in kept.read_text()


@pytest.mark.parametrize("size", ["96", "96x", "x96", "95x96", "-96x96", "96x96x3"])
def test_bench_refuses_a_size_that_cannot_be(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"--size {size}: " in called(monkeypatch, "bench", "--size", size)


@pytest.mark.parametrize("size", ["0x0", "640x15", "640", "640x-3"])
def test_a_size_that_no_network_takes_is_told(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    assert f"--size {size}: " in called(monkeypatch, "plan", "--size", size)
