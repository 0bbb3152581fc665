"""Which machine a figure was measured on."""

import os
import platform
import re
import subprocess
from pathlib import Path


def processor() -> str:
    """Number and name of the processor's cores, as Linux tells them."""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    name = names[0] if names else platform.processor() or "unknown"  # ARM's have none
    return f"{len(names) or os.cpu_count() or '?'} x {name}"


def board(root: Path) -> str | None:
    """As the device tree names it, with its Jetson Linux release where there is one."""
    try:
        name = (root / "proc/device-tree/model").read_text().rstrip("\0\n")
    except OSError:
        return None
    try:
        release = (root / "etc/nv_tegra_release").read_text()
    except OSError:
        return name
    found = re.search(r"# R(\d+) .*REVISION: ([\d.]+)", release)
    return f"{name}, Jetson Linux {found[1]}.{found[2]}" if found else name


def is_jetson(root: Path = Path("/")) -> bool:
    """Whether the device tree names a Jetson."""
    return "jetson" in (board(root) or "").lower()


def power_mode() -> str | None:
    """A Jetson's power mode, such as "15W"; None where nvpmodel is missing or does not tell."""
    try:
        told = subprocess.run(
            ["nvpmodel", "-q"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"NV Power Mode: *(\S+)", told.stdout)
    return found[1] if found else None
