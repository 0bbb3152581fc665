"""The machine that other tests run on: it ends with them, however they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from broker import wait_until
from nspawn import debian_root, lack

TESTS = Path(__file__).parents[1]
BOOTS = """
import sys
from pathlib import Path
from nspawn import Machine
with Machine(Path(sys.argv[1]), Path(sys.argv[2])) as one:
    print(one.init, flush=True)
    sys.stdin.read()
"""

_lack = lack()
pytestmark = pytest.mark.skipif(_lack is not None, reason=str(_lack))


def left_of(folder: Path, init: int, process: int) -> list[str]:
    """What is still there of a machine: init, mounts and network."""
    links = [one.name for one in Path("/sys/class/net").iterdir()]
    mounts = Path("/proc/self/mounts").read_text()
    return [
        *(["its init"] if Path(f"/proc/{init}").exists() else []),
        *(["mounts"] if str(folder) in mounts else []),
        *(["the link"] if f"ve-ts{process}" in links else []),
    ]


def test_a_killed_test_takes_its_machine_along(tmp_path: Path) -> None:
    root = debian_root(TESTS.parent / "work/machines")
    test = subprocess.Popen(
        [sys.executable, "-c", BOOTS, str(root), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with test:
        assert test.stdout is not None
        init = int(test.stdout.readline())
        assert left_of(tmp_path, init, test.pid) == ["its init", "the link"]
        test.send_signal(signal.SIGKILL)
        wait_until(lambda: left_of(tmp_path, init, test.pid) == [], "all of it is gone", 30.0)
