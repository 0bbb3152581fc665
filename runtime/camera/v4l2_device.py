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


def hold(
    device: str, camera: Camera, *, settled: bool, ioctl: Ioctl = fcntl.ioctl
) -> tuple[str, ...]:
    """Set what the configuration says; once ``settled``, hold the rest at what the camera has chosen.

    Returns a sentence for each that could not be held. Nothing is done, and nothing told, where the
    configuration leaves all to the camera.
    """
    if camera.automatic:
        return ()
    try:
        with _opened(device, ioctl) as controls:
            # Else the camera may lower its rate in the dark, whatever the exposure.
            controls.set_if_there(EXPOSURE_AUTO_PRIORITY, 0)
            sentences = [_hold(controls, one, camera, settled) for one in _AUTOMATICS]
    except OSError as error:
        return (f"its controls cannot be set ({error.strerror}); exposure and focus may change",)
    return tuple(one for one in sentences if one is not None)


def _hold(controls: "_Controls", one: _Automatic, camera: Camera, settled: bool) -> str | None:
    wanted = None if one.key is None else getattr(camera, one.key)
    if wanted is None and not settled:
        return None
    switch, value = controls.range(one.switch), controls.range(one.value)
    if switch is None and value is None:
        # A camera without any control of its focus, say, has none that moves.
        if wanted is not None or one.name == "exposure":
            return f"{one.name}: the camera has no control of it, and may change it by itself"
        return None
    try:
        target = None if value is None else controls.get(one.value)
        if wanted is not None:
            if value is None:
                return f"{one.name}: the camera lets nobody set it; remove camera.{one.key}"
            low, high = value
            target = round(wanted / one.unit)
            if not low <= target <= high:
                return (
                    f"{one.name}: camera.{one.key} = {wanted:g} is beyond the camera's "
                    f"{low * one.unit:g} to {high * one.unit:g}; it was not set"
                )
        if switch is not None:
            controls.set(one.switch, one.manual)
        if target is not None:
            controls.set(one.value, target)
        if switch is not None and controls.get(one.switch) != one.manual:
            return f"{one.name}: the camera did not switch its automatic off"
        if wanted is not None and (found := controls.get(one.value)) != target:
            return f"{one.name}: the camera chose {found * one.unit:g} instead of {wanted:g}"
    except OSError as error:
        return f"{one.name}: the camera refused to be set ({error.strerror})"
    return None


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
