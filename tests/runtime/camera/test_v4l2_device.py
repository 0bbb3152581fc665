"""The controls of a V4L2 camera, on a stand-in that answers ioctls as the kernel's UVC driver does.

A stand-in, because a real V4L2 device needs a kernel module.
"""

import errno
import fcntl
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from failure import Failure
from runtime.camera import v4l2_device
from runtime.camera.locks import Locks
from runtime.camera.v4l2_device import check_device, hold
from runtime.config import Camera

NODE = "/dev/null"
"""A character device that exists everywhere; the stand-in answers for it."""


@dataclass
class Control:
    low: int
    high: int
    value: int
    switch: int | None = None
    """While this automatic is not off, the camera changes the value, and refuses to have it set."""


@dataclass
class UvcCamera:
    """The controls of a usual webcam, with the numbers of the kernel's headers."""

    controls: dict[int, Control] = field(
        default_factory=lambda: {
            0x009A0901: Control(0, 3, 3),  # exposure: aperture priority
            0x009A0902: Control(3, 2047, 250, 0x009A0901),  # in 100 us
            0x009A0903: Control(0, 1, 1),  # may lower the rate
            0x00980913: Control(0, 255, 64),  # gain
            0x0098090C: Control(0, 1, 1),  # white balance
            0x0098091A: Control(2000, 6500, 4000, 0x0098090C),
            0x009A090C: Control(0, 1, 1),  # focus
            0x009A090A: Control(0, 250, 30, 0x009A090C),
        }
    )

    def off(self, switch: int) -> bool:
        return self.controls[switch].value == (1 if switch == 0x009A0901 else 0)

    def __call__(self, handle: int, request: int, buffer: bytearray) -> int:
        os.fstat(handle)  # raises where it is not open
        kind, number, size = request >> 8 & 0xFF, request & 0xFF, request >> 16 & 0x3FFF
        assert (chr(kind), request >> 30, size) == ("V", 3, len(buffer))
        (key,) = struct.unpack_from("=I", buffer)
        if key not in self.controls:
            raise OSError(errno.EINVAL, "Invalid argument")
        control = self.controls[key]
        if number == 36:
            struct.pack_into("=iiii", buffer, 40, control.low, control.high, 1, 0)
        elif number == 27:
            struct.pack_into("=i", buffer, 4, control.value)
        else:
            assert number == 28
            (value,) = struct.unpack_from("=i", buffer, 4)
            if not control.low <= value <= control.high:
                raise OSError(errno.ERANGE, "Numerical result out of range")
            if control.switch is not None and not self.off(control.switch):
                raise OSError(errno.EACCES, "Permission denied")
            control.value = value
        return 0


def held(uvc: UvcCamera, *, settled: bool = True, **wanted: Any) -> Locks:
    return hold(NODE, Camera(source=NODE, **wanted), settled=settled, ioctl=uvc)


def test_the_numbers_are_those_of_the_kernels_headers() -> None:
    assert v4l2_device._QUERY.size == 68
    assert v4l2_device._CONTROL.size == 8


def test_what_is_configured_is_set_at_once_and_the_rest_is_left_to_settle() -> None:
    uvc = UvcCamera()
    locks = held(uvc, settled=False, exposure_s=0.002, focus=5)
    assert locks == (("exposure 0.002 s", "focus 5"), ())
    assert uvc.controls[0x009A0901].value == 1, "manual"
    assert uvc.controls[0x009A0902].value == 20
    assert uvc.controls[0x009A0903].value == 0, "the rate stays in the dark"
    assert uvc.controls[0x009A090A].value == 5
    assert uvc.controls[0x0098090C].value == 1, "white balance is still automatic"


def test_what_has_settled_is_held_at_what_the_camera_chose() -> None:
    uvc = UvcCamera()
    locks = held(uvc)
    assert locks.held == ("exposure 0.025 s", "gain 64", "white balance 4000", "focus 30")
    assert locks.unlocked == ()
    assert all(uvc.off(switch) for switch in (0x009A0901, 0x0098090C, 0x009A090C))
    values = {key: control.value for key, control in uvc.controls.items()}
    assert (values[0x009A0902], values[0x0098091A], values[0x009A090A]) == (250, 4000, 30)


def test_automatic_leaves_all_as_it_is() -> None:
    uvc = UvcCamera()
    assert held(uvc, automatic=True) == Locks()
    assert uvc == UvcCamera()


def test_a_value_beyond_the_cameras_range_is_told_and_not_set() -> None:
    uvc = UvcCamera()
    [told] = held(uvc, settled=False, exposure_s=0.5).unlocked
    assert told.startswith(
        "exposure: camera.exposure_s = 0.5 is beyond the camera's 0.0003 to 0.2047"
    )
    assert uvc.controls[0x009A0902].value == 250


def test_a_camera_without_control_of_its_exposure_is_told_and_one_of_fixed_focus_is_not() -> None:
    uvc = UvcCamera({0x00980913: Control(0, 255, 64)})
    [told] = held(uvc).unlocked
    assert told.startswith("exposure: the camera has no control of it")
    told = "; ".join(held(uvc, exposure_s=0.002, focus=5).unlocked)
    assert "focus: the camera has no control of it" in told


def test_a_camera_that_refuses_or_pretends_is_told() -> None:
    class Stubborn(UvcCamera):
        def __call__(self, handle: int, request: int, buffer: bytearray) -> int:
            (key,) = struct.unpack_from("=I", buffer)
            if request & 0xFF == 28 and key == 0x009A0901:
                return 0  # and does nothing
            if request & 0xFF == 28 and key == 0x0098090C:
                raise OSError(errno.EIO, "Input/output error")
            return super().__call__(handle, request, buffer)

    told = held(Stubborn()).unlocked
    assert told == (
        "exposure: the camera refused to be set (Permission denied)",
        "white balance: the camera refused to be set (Input/output error)",
    )


def test_what_is_no_camera_is_told_with_what_the_kernel_says() -> None:
    [told] = hold(NODE, Camera(source=NODE), settled=True, ioctl=fcntl.ioctl).unlocked
    assert told.startswith("exposure: the camera has no control of it")
    [told] = hold("/dev/none", Camera(source="/dev/none"), settled=True).unlocked
    assert told.startswith("its controls cannot be set (No such file or directory)")


def test_a_device_that_may_not_be_opened_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_device(Path(NODE))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Failure, match="usermod -aG video USER"):
        check_device(Path(NODE))
    with pytest.raises(Failure, match="there is no such device"):
        check_device(tmp_path / "none")
