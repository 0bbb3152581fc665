"""How well this machine's clock is synchronised: what the Linux kernel knows, without any rights.

Whoever sets the clock (timesyncd, chrony, ntpd) tells the kernel how wrong it may be at most, and the
kernel lets that bound grow by itself: 500 ppm, 1.8 s an hour. Like systemd's timedatectl, this takes a clock
for synchronised while the bound is below the 16 s at which it stops, and does not look at the flag
``STA_UNSYNC``: chrony leaves that set unless its ``rtcsync`` is on.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Synchronisation = Literal["synchronised", "unsynchronised", "unknown"]

_NEVER_US = 16_000_000
"""Where the kernel's bound stops, and where it begins after a start and after the clock was set by hand."""


@dataclass(frozen=True, slots=True)
class ClockState:
    """``error_s`` bounds what ``time_utc`` is wrong by; None where nothing is known."""

    clock: Synchronisation
    error_s: float | None = None


class _Timex(ctypes.Structure):
    """The first fields of ``struct timex`` (adjtimex(2)), and room for the rest."""

    _fields_ = [
        ("modes", ctypes.c_uint),  # 0: nothing is set
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_byte * 512),
    ]


try:
    _adjtimex: Callable[..., int] | None = ctypes.CDLL(None).adjtimex
except (AttributeError, OSError, TypeError):  # not Linux
    _adjtimex = None


def clock_state() -> ClockState:
    """What holds now; it takes some microseconds. Where the kernel cannot be asked it is unknown."""
    error_us = _largest_error_us()
    if error_us is None:
        return ClockState("unknown")
    if error_us >= _NEVER_US:
        return ClockState("unsynchronised")
    return ClockState("synchronised", error_us / 1e6)


def _largest_error_us() -> int | None:
    asked = _Timex()
    if _adjtimex is None or _adjtimex(ctypes.byref(asked)) < 0:
        return None
    return int(asked.maxerror)
