"""What can be wrong with a live camera, beyond a plain ``Failure``, which means that no frame comes."""

from failure import Failure


class CannotWork(Failure):
    """The configuration or the installation is wrong: trying again does not help."""


class Frozen(Failure):
    """Frames come, and all show the same picture."""


class Resized(Failure):
    """Frames come, but of another size than the regions are for."""


class Hangs(Failure):
    """A call into the camera's driver does not come back."""
