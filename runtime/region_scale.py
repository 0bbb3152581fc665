"""The scale of a region: its file, asked for the region's middle."""

from calibration import scale_file
from calibration.scale import Scale
from failure import Failure
from runtime.config import Region


def scale_of(region: Region, size_px: tuple[int, int] | None = None) -> Scale | None:
    """Millimetres per pixel in the middle of a region; None where no scale is configured.

    Raises Failure when the file cannot be used, or when it is for pictures of another size than
    ``size_px`` (width, height).
    """
    if region.scale is None:
        return None
    stored = scale_file.read(region.scale)
    if size_px is not None and size_px != stored.size_px:
        width, height = stored.size_px
        raise Failure(
            f'{region.scale}: is for pictures of {width}x{height} px, and region "{region.name}" is in '
            f"pictures of {size_px[0]}x{size_px[1]} px; set the camera to that size, or find the scale "
            "in pictures of this one"
        )
    return stored.at((region.x + region.width / 2, region.y + region.height / 2))
