"""The machine: a Jetson with a JetPack that has what the kit needs, and its power mode."""

import re
from collections.abc import Iterator
from pathlib import Path

from failure import Failure
from machine import board, is_jetson, power_mode, processor
from nvidia_gpu import installed_pycuda, installed_tensorrt
from runtime.config import Config
from runtime.doctor.finding import Finding

OLDEST_LINUX = (36, 4)
"""Jetson Linux of JetPack 6.1, the first with TensorRT 10.3."""
_SLOW_MODES = re.compile(r"^(\d+)W$")


def board_findings(config: Config, root: Path = Path("/")) -> Iterator[Finding]:
    """What machine this is; of a Jetson, JetPack, TensorRT and power mode."""
    name = board(root)
    if name is None or not is_jetson(root):
        yield Finding(
            "board", "good", f"{name or processor()}: no Jetson, ONNX Runtime magnifies on it"
        )
        return
    release = re.search(r"Jetson Linux (\d+)\.(\d+)", name)
    if release is None:
        yield Finding(
            "board",
            "warning",
            f"{name}: no /etc/nv_tegra_release that tells its Jetson Linux",
            "flash it with JetPack 6.1 or newer",
        )
    elif (int(release[1]), int(release[2])) < OLDEST_LINUX:
        yield Finding(
            "board", "failed", f"{name}: older than JetPack 6.1", "flash JetPack 6.1 or newer"
        )
    else:
        yield Finding("board", "good", name)
    if config.magnification.enabled and config.magnification.engine != "onnxruntime":
        for what, installed in (("tensorrt", installed_tensorrt), ("pycuda", installed_pycuda)):
            try:
                module = installed()
            except Failure as failure:
                # With "auto", ONNX Runtime magnifies instead, at a small part of the speed.
                needed = config.magnification.engine == "tensorrt"
                yield Finding(what, "failed" if needed else "warning", str(failure))
            else:
                yield Finding(what, "good", str(getattr(module, "__version__", "installed")))
    mode = power_mode()
    if mode is None:
        yield Finding(
            "power", "warning", "nvpmodel does not tell the power mode", "see: sudo nvpmodel -q"
        )
    elif _SLOW_MODES.match(mode):
        yield Finding(
            "power",
            "warning",
            f"power mode {mode}: the GPU does not get all that the board may take",
            "choose MAXN where power and cooling allow: sudo nvpmodel -m 0",
        )
    else:
        yield Finding("power", "good", f"power mode {mode}")
