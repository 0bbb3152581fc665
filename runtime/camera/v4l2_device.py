"""A V4L2 device: whether it is there, and its controls for exposure, gain, white balance and focus.

Numbers and structures are those of the kernel's videodev2.h and v4l2-controls.h. A second open of the
device may set controls while another one streams, so this serves GStreamer's reader and OpenCV's.
"""

import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from failure import Failure
from runtime.camera.locks import Locks
from runtime.camera.problem import CannotWork
from runtime.config import Camera

QUERYCTRL, G_CTRL, S_CTRL = 0xC0445624, 0xC008561B, 0xC008561C

EXPOSURE_AUTO, EXPOSURE_ABSOLUTE, EXPOSURE_AUTO_PRIORITY = 0x9A0901, 0x9A0902, 0x9A0903
FOCUS_ABSOLUTE, FOCUS_AUTO = 0x9A090A, 0x9A090C
AUTO_WHITE_BALANCE, WHITE_BALANCE_TEMPERATURE = 0x98090C, 0x98091A
AUTOGAIN, GAIN = 0x980912, 0x980913

EXPOSURE_MANUAL = 1
EXPOSURE_UNIT_S = 1e-4
DISABLED = 0x1

_QUERY = struct.Struct("=II32s4iI2I")
_CONTROL = struct.Struct("=Ii")

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True, slots=True)
class _Automatic:
    """One thing that a camera sets by itself: its switch, the value that stays, the wanted one."""

    name: str
    key: str | None
    switch: int
    manual: int
    value: int
    unit: float = 1.0


_AUTOMATICS = (
    _Automatic(
        "exposure",
        "exposure_s",
        EXPOSURE_AUTO,
        EXPOSURE_MANUAL,
        EXPOSURE_ABSOLUTE,
        EXPOSURE_UNIT_S,
    ),
    _Automatic("gain", "gain", AUTOGAIN, 0, GAIN),
    _Automatic("white balance", None, AUTO_WHITE_BALANCE, 0, WHITE_BALANCE_TEMPERATURE),
    _Automatic("focus", "focus", FOCUS_AUTO, 0, FOCUS_ABSOLUTE),
)


def check_device(path: Path) -> None:
    """Raises Failure when ``path`` is not there, no device, or not open to this user."""
    try:
        mode = path.stat().st_mode
    except OSError:
        raise Failure(
            f"{path}: there is no such device; plug the camera in, and find its name with "
            "`ls /dev/v4l/by-id`"
        ) from None
    if not stat.S_ISCHR(mode):
        raise CannotWork(f"{path}: is not a camera device; find its name with `ls /dev/v4l/by-id`")
    if not os.access(path, os.R_OK | os.W_OK):
        raise Failure(
            f"{path}: may not be opened by this user; add the user to the group video "
            "(`usermod -aG video USER`) and log in anew"
        )


def hold(device: str, camera: Camera, *, settled: bool, ioctl: Ioctl = fcntl.ioctl) -> Locks:
    """Set what the configuration says; once ``settled``, hold the rest at what the camera has chosen.

    Nothing is done, and nothing told, where the configuration leaves all to the camera.
    """
    held: list[str] = []
    unlocked: list[str] = []
    if camera.automatic:
        return Locks()
    try:
        with _opened(device, ioctl) as controls:
            # Else the camera may lower its rate in the dark, whatever the exposure.
            controls.set_if_there(EXPOSURE_AUTO_PRIORITY, 0)
            for one in _AUTOMATICS:
                wanted = None if one.key is None else getattr(camera, one.key)
                if wanted is None and not settled:
                    continue
                try:
                    if (value := _hold(controls, one, wanted)) is not None:
                        held.append(f"{one.name} {value}")
                except Failure as failure:
                    unlocked.append(f"{one.name}: {failure}")
                except OSError as error:
                    unlocked.append(f"{one.name}: the camera refused to be set ({error.strerror})")
    except OSError as error:
        return Locks(
            unlocked=(f"its controls cannot be set ({error.strerror}); exposure may change",)
        )
    return Locks(tuple(held), tuple(unlocked))


def _hold(controls: "_Controls", one: _Automatic, wanted: float | None) -> str | None:
    """What it is held at; None where there is nothing that could change.

    Raises Failure (the rest of a sentence) or OSError where it may still change.
    """
    switch, limits = controls.range(one.switch), controls.range(one.value)
    if switch is None and limits is None:
        # A camera without any control of its focus, say, has none that moves.
        if wanted is None and one.name != "exposure":
            return None
        raise Failure("the camera has no control of it, and may change it by itself")
    value = None if limits is None else controls.get(one.value)
    if wanted is not None:
        if limits is None:
            raise Failure(f"the camera lets nobody set it; remove camera.{one.key}")
        low, high = limits
        value = round(wanted / one.unit)
        if not low <= value <= high:
            raise Failure(
                f"camera.{one.key} = {wanted:g} is beyond the camera's {low * one.unit:g} to "
                f"{high * one.unit:g}; it was not set"
            )
    if switch is not None:
        controls.set(one.switch, one.manual)
    if value is not None:
        controls.set(one.value, value)
    if switch is not None and controls.get(one.switch) != one.manual:
        raise Failure("the camera did not switch its automatic off")
    if value is None:
        return "as it was"
    found = controls.get(one.value)
    if wanted is not None and found != value:
        raise Failure(f"the camera chose {found * one.unit:g} instead of {wanted:g}")
    return f"{found * one.unit:g}" + (" s" if one.key == "exposure_s" else "")


class _Controls:
    """The controls of one open device. A refusal is an OSError."""

    def __init__(self, handle: int, ioctl: Ioctl) -> None:
        self._handle, self._ioctl = handle, ioctl

    def range(self, control: int) -> tuple[int, int] | None:
        """Least and largest value; None where the camera has no such control."""
        buffer = bytearray(_QUERY.pack(control, 0, b"", 0, 0, 0, 0, 0, 0, 0))
        try:
            self._ioctl(self._handle, QUERYCTRL, buffer)
        except OSError:
            return None
        _, _, _, low, high, _, _, flags, *_ = _QUERY.unpack(buffer)
        return None if flags & DISABLED else (low, high)

    def get(self, control: int) -> int:
        buffer = bytearray(_CONTROL.pack(control, 0))
        self._ioctl(self._handle, G_CTRL, buffer)
        return int(_CONTROL.unpack(buffer)[1])

    def set(self, control: int, value: int) -> None:
        self._ioctl(self._handle, S_CTRL, bytearray(_CONTROL.pack(control, value)))

    def set_if_there(self, control: int, value: int) -> None:
        if self.range(control) is not None:
            self.set(control, value)


@contextmanager
def _opened(device: str, ioctl: Ioctl) -> Iterator[_Controls]:
    handle = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield _Controls(handle, ioctl)
    finally:
        os.close(handle)
