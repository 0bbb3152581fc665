"""What a camera was kept from changing by itself; see ``v4l2_device.py`` for USB cameras."""

from typing import Any, NamedTuple

from runtime.config import Camera

NETWORK_CAMERA = (
    "exposure, gain, white balance, focus: a network camera is set in its own pages; switch its "
    "automatics off there, and say camera.exposure_s here"
)


class Locks(NamedTuple):
    """Phrases on what is held, and sentences on what may still change against the configuration's wish."""

    held: tuple[str, ...] = ()
    unlocked: tuple[str, ...] = ()


def hold_argus(element: Any, camera: Camera) -> Locks:
    """Lock automatic exposure and white balance of an nvarguscamerasrc where they are now."""
    for name in ("aelock", "awblock"):
        element.set_property(name, True)
    exposure = "as it was" if camera.exposure_s is None else f"{camera.exposure_s:g} s"
    gain = "as it was" if camera.gain is None else f"{camera.gain:g}"
    return Locks((f"exposure {exposure}", f"gain {gain}", "white balance as it was"))
