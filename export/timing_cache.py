"""What TensorRT measured in earlier builds, kept beside the engines so that it measures it only once.

It holds for one TensorRT and one GPU, which are in its name. It only saves time: a cache that cannot
be read or written never stops a build.
"""

import logging
import re
from pathlib import Path
from typing import Any

from atomic_file import replaced
from export.device import Device
from failure import Failure

_logger = logging.getLogger(__name__)


def timing_cache_path(folder: Path, tensorrt_version: str, device: Device) -> Path:
    """``timing-10.3.0-orin-sm87.cache``."""
    gpu = re.sub(r"[^a-z0-9]+", "-", device.gpu.lower()).strip("-")
    major, minor = device.compute_capability
    return folder / f"timing-{tensorrt_version}-{gpu}-sm{major}{minor}.cache"


def attach(config: Any, path: Path, log: list[str]) -> None:
    """Give the cache at ``path`` to a builder's configuration, or an empty one with a warning.

    TensorRT says of a broken cache in its ``log`` that it made an empty one instead.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        _logger.warning("%s: cannot be read (%s); measuring again", path, error.strerror)
        content = b""
    before = len(log)
    cache = _made(config, content)
    complaints = [line for line in log[before:] if "timing cache" in line.lower()]
    taken = cache is not None and config.set_timing_cache(cache, ignore_mismatch=False)
    if content and (complaints or not taken):
        _logger.warning("%s: TensorRT cannot use it; measuring again", path)
    if not taken:
        empty = _made(config, b"")
        if empty is not None:
            config.set_timing_cache(empty, ignore_mismatch=False)


def measured(config: Any) -> bytes:
    """What TensorRT measured in the build that has just ended; empty where it does not tell."""
    try:
        return bytes(config.get_timing_cache().serialize())
    except (
        Exception
    ) as error:  # a configuration without a cache, or a cache that it refuses to give
        _logger.warning("TensorRT gives no timing cache (%s); the next build measures again", error)
        return b""


def keep(content: bytes, path: Path) -> None:
    """Write what the build measured, for the next one."""
    if not content:
        return
    try:
        with replaced(path) as scratch:
            scratch.write_bytes(content)
    except Failure as failure:
        _logger.warning("%s; the next build measures again", failure)


def _made(config: Any, content: bytes) -> Any:
    try:
        return config.create_timing_cache(content)
    except Exception:  # each TensorRT has its own way to refuse what is broken
        return None
