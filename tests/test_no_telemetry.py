"""ONNX Runtime's own telemetry, which is on unless it is told otherwise before it is loaded."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.engine.onnx_runtime import SHIPPED

REPOSITORY = Path(__file__).parents[1]
USES = re.compile(r"^\s*(import onnxruntime|from onnxruntime)\b", re.MULTILINE)
SESSION = """
import importlib, sys
importlib.import_module(sys.argv[1])
import onnxruntime
onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
"""


def packages() -> list[str]:
    """Those of this repository that use ONNX Runtime."""
    all_of_them = [one.parent for one in REPOSITORY.glob("*/__init__.py")]
    return sorted(
        folder.name
        for folder in all_of_them
        if any(USES.search(file.read_text()) for file in folder.rglob("*.py"))
    )


def test_the_daemon_is_among_those_who_use_it() -> None:
    assert "runtime" in packages()


@pytest.mark.parametrize("package", packages())
def test_a_session_leaves_no_name_of_the_device_and_nothing_to_send(
    package: str, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-c", SESSION, package, str(SHIPPED)],
        cwd=REPOSITORY,
        # Nothing of this environment: with CI set, ONNX Runtime would be silent by itself.
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=True,
        timeout=120,
    )
    assert list(tmp_path.rglob("*")) == [], "below the user's home"
