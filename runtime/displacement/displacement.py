"""What the measurement says of one region in one frame."""

from typing import NamedTuple

from runtime.displacement.shake import Model


class Displacement(NamedTuple):
    """Where one region is in one frame, relative to its zero.

    Zero is its mean place in its first usable pictures. x to the right, y down, in pixels of the
    picture; the camera's shake is taken out where there are reference regions. An axis that could not be
    measured is None, in its value and its errors. ``valid`` says that at least one axis was
    measured; ``reason`` says why one or both are missing. (A frozen dataclass takes several times as
    long to make, and there is one of these for each region and frame.)
    """

    region: str
    t_capture_ns: int
    x_px: float | None
    y_px: float | None
    x_se_px: float | None
    """Standard error of x_px against the true displacement from zero."""
    y_se_px: float | None
    valid: bool
    reason: str | None = None
    x_noise_px: float | None = None
    """Standard error of this one measurement, without what changes slowly or never, and without the codec's."""
    y_noise_px: float | None = None
    shake: Model | None = None
    """How the camera's shake was taken out. None without references, and for a reference itself."""
    shake_x_px: float | None = None
    """What was taken out; the camera's displacement at this region."""
    shake_y_px: float | None = None
    x_codec_px: float | None = None
    """Standard deviation of what a video codec does to it, which is in x_se_px; None where not known."""
    y_codec_px: float | None = None
