"""What the daemon stands on: folders that it may write to, room on the disk, the clock, its secrets."""

import os
from collections.abc import Iterator
from pathlib import Path
from shutil import disk_usage

from atomic_file import replaced
from failure import Failure
from runtime.config import Config
from runtime.config.alerts import notices
from runtime.doctor.finding import Finding
from runtime.mqtt.clock_state import clock_state

LEAST_FREE_SHARE = 0.05
_COARSE_CLOCK_S = 1.0


def place_findings(config: Config) -> Iterator[Finding]:
    """Rights, disk and clock, as this user finds them: run it as the user that the daemon runs as."""
    folder = config.storage.folder(config.name)
    try:
        with replaced(folder / "doctor.txt") as scratch:
            scratch.write_text("tremorscope doctor was here\n")
        (folder / "doctor.txt").unlink()
    except Failure as failure:
        yield Finding("folder", "failed", str(failure), f"uid {os.getuid()} must be able to write")
    else:
        yield Finding("folder", "good", f"{folder} can be written by uid {os.getuid()}")
        yield from _disk(config, folder)
    state = clock_state()
    if state.clock == "synchronised":
        bound = "" if state.error_s is None else f", within {state.error_s:.3g} s"
        coarse = state.error_s is not None and state.error_s > _COARSE_CLOCK_S
        yield Finding("clock", "warning" if coarse else "good", f"synchronised{bound}")
    else:
        yield Finding(
            "clock",
            "warning",
            f"{state.clock}: alerts may tell a wrong time of day",
            "run systemd-timesyncd or chrony, and let NTP through the network",
        )
    for notice in [*notices(config.alerts, config.camera.rate_hz), *config.mqtt.notices()]:
        yield Finding("configured", "warning", notice)
    page = config.page
    if page.enabled:
        files = [page.password_file, page.certificate, page.key]
        unreadable = [one for one in files if one is not None and not os.access(one, os.R_OK)]
        for one in unreadable:
            yield Finding(
                "page", "failed", f"{one} cannot be read", f"let uid {os.getuid()} read it"
            )


def _disk(config: Config, folder: Path) -> Iterator[Finding]:
    usage = disk_usage(folder)
    wanted_bytes = config.storage.outbox_mb * 1e6
    if config.evidence.enabled:
        wanted_bytes += config.evidence.keep_gb * 1e9
    text = f"{usage.free / 1e9:.3g} of {usage.total / 1e9:.3g} GB free on the disk of {folder}"
    if usage.free < LEAST_FREE_SHARE * usage.total:
        yield Finding("disk", "failed", text, "make room: alerts and evidence have to be kept")
    elif usage.free < wanted_bytes:
        yield Finding(
            "disk",
            "warning",
            f"{text}, and evidence and outbox may grow to {wanted_bytes / 1e9:.3g} GB",
            "make room, or lower evidence.keep_gb and storage.outbox_mb",
        )
    else:
        yield Finding("disk", "good", text)
