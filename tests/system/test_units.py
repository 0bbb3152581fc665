"""The units that are shipped, as systemd's own tools see them without starting anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = sorted(one.name for one in SYSTEMD.glob("*.service"))
MOST_EXPOSED = 2.0

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def exposure(folder: Path, unit: str) -> subprocess.CompletedProcess[str]:
    """How far ``systemd-analyze security`` finds a unit open; it fails beyond MOST_EXPOSED."""
    return subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            *(f"--threshold={MOST_EXPOSED * 10:.0f}", str(folder / unit)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:"},
    )


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    for one in SYSTEMD.iterdir():
        if one.suffix in (".service", ".path", ".target"):
            shutil.copy(one, tmp_path)
    return tmp_path


def test_there_are_units() -> None:
    assert len(UNITS) == 3


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_shut_in(unit: str, shipped: Path) -> None:
    judged = exposure(shipped, unit)
    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize("drop_in", ["usb.conf", "csi.conf"])
def test_a_camera_of_any_kind_is_shut_in(drop_in: str, shipped: Path) -> None:
    folder = shipped / "tremorscope@.service.d"
    folder.mkdir()
    shutil.copy(SYSTEMD / drop_in, folder)
    judged = exposure(shipped, "tremorscope@.service")
    assert "video4linux" in judged.stdout, "the drop-in is not seen"
    assert judged.returncode == 0, judged.stdout


def test_a_unit_that_is_less_shut_in_would_be_found(shipped: Path) -> None:
    unit = shipped / "tremorscope@.service"
    unit.write_text(unit.read_text().replace("PrivateUsers=yes", "PrivateUsers=no"))
    unit.write_text(unit.read_text().replace("NoNewPrivileges=yes", ""))
    assert exposure(shipped, "tremorscope@.service").returncode != 0
