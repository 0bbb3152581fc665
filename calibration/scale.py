"""Millimetres per pixel of a surface in the picture, with their uncertainty, by three methods.

All uncertainties are standard uncertainties (one standard deviation). x is the picture's direction to
the right, y down. A scale is for motion along the surface: motion towards the camera is not seen.
"""

from abc import abstractmethod
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from calibration.uncertainty import Floats, propagated
from failure import Failure

LARGEST_SHARE = 0.5
"""A scale whose uncertainty is a larger share of it than this is refused."""

Axis = Literal["x", "y"]
Point = tuple[
    Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]
]
"""x and y in pixels from the picture's top left."""
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AtLeast0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Tilt = Annotated[float, Field(gt=-80, lt=80, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(_Model):
    """How long one pixel along the picture's x and along its y is on the surface."""

    x_mm_per_px: Above0
    y_mm_per_px: Above0
    x_se_mm_per_px: AtLeast0
    y_se_mm_per_px: AtLeast0

    def mm(self, axis: Axis, value_px: float, se_px: float = 0.0) -> tuple[float, float]:
        """A length along one axis in millimetres, and its uncertainty with the scale's in it."""
        if axis == "x":
            scale, scale_se = self.x_mm_per_px, self.x_se_mm_per_px
        else:
            scale, scale_se = self.y_mm_per_px, self.y_se_mm_per_px
        return scale * value_px, float(np.hypot(scale * se_px, scale_se * value_px))


class _Method(_Model):
    @property
    @abstractmethod
    def points_px(self) -> tuple[Point, ...]:
        """What was marked in the picture."""

    @abstractmethod
    def at(self, place_px: Point) -> Scale:
        """The scale at a place. Raises Failure where it has none, or is too uncertain to be used."""


class KnownLength(_Method):
    """Two points whose distance on the surface is known.

    The surface is taken to be perpendicular to the optical axis. It holds at the distance at which
    the two points lie.
    """

    name: Literal["length"] = "length"
    start_px: Point
    end_px: Point
    click_se_px: AtLeast0
    """Of each coordinate of each point."""
    length_mm: Above0
    length_se_mm: AtLeast0

    @model_validator(mode="after")
    def _points_differ(self) -> Self:
        if self.start_px == self.end_px:
            raise ValueError("both points are the same; mark the two ends of the known length")
        return self

    @property
    def points_px(self) -> tuple[Point, ...]:
        return self.start_px, self.end_px

    def at(self, place_px: Point) -> Scale:  # noqa: ARG002  # the same everywhere
        def scale(inputs: Floats) -> Floats:
            start_x, start_y, end_x, end_y, length_mm = inputs
            scale = length_mm / np.hypot(end_x - start_x, end_y - start_y)
            return np.array([scale, scale])

        return _scale(
            *propagated(
                scale,
                [*self.start_px, *self.end_px, self.length_mm],
                [*[self.click_se_px] * 4, self.length_se_mm],
            )
        )


class KnownCamera(_Method):
    """Distance, focal length and pixel, by the equation of a thin lens focused on the surface.

    ``distance_mm`` is along the optical axis, from the lens to the surface that is measured. A tilt
    is the angle by which the surface runs away from the camera along the picture's x or y: 0 where it
    is perpendicular to the optical axis. ``pixel_um`` is the sensor's pixel only where each pixel of
    the picture is one of the sensor's; with binning or scaling it is larger.
    """

    name: Literal["camera"] = "camera"
    distance_mm: Above0
    distance_se_mm: AtLeast0
    focal_mm: Above0
    focal_se_mm: AtLeast0
    pixel_um: Above0
    pixel_se_um: AtLeast0
    tilt_x_deg: Tilt
    tilt_y_deg: Tilt
    tilt_se_deg: AtLeast0

    @model_validator(mode="after")
    def _is_in_front(self) -> Self:
        if self.distance_mm <= self.focal_mm:
            raise ValueError(
                f"a surface at {self.distance_mm:g} mm cannot be in focus with a focal length of "
                f"{self.focal_mm:g} mm; give both in mm"
            )
        return self

    @property
    def points_px(self) -> tuple[Point, ...]:
        return ()

    def at(self, place_px: Point) -> Scale:  # noqa: ARG002  # the same everywhere
        def scale(inputs: Floats) -> Floats:
            distance_mm, focal_mm, pixel_um, *tilts_deg = inputs
            scale = pixel_um / 1000 * (distance_mm - focal_mm) / focal_mm
            across: Floats = scale / np.cos(np.deg2rad(tilts_deg))
            return across

        return _scale(
            *propagated(
                scale,
                [self.distance_mm, self.focal_mm, self.pixel_um, self.tilt_x_deg, self.tilt_y_deg],
                [self.distance_se_mm, self.focal_se_mm, self.pixel_se_um, *[self.tilt_se_deg] * 2],
            )
        )


class KnownRectangle(_Method):
    """The four corners of a rectangle whose sides are known; the camera may look from any side.

    Corners go round from the top left over the top right; ``width_mm`` is the first side's length. The
    scale holds in the rectangle's plane and changes from place to place.
    """

    name: Literal["rectangle"] = "rectangle"
    corners_px: tuple[Point, Point, Point, Point]
    click_se_px: AtLeast0
    """Of each coordinate of each corner."""
    width_mm: Above0
    width_se_mm: AtLeast0
    height_mm: Above0
    height_se_mm: AtLeast0

    @model_validator(mode="after")
    def _goes_round(self) -> Self:
        corners = np.array(self.corners_px)
        sides = np.roll(corners, -1, axis=0) - corners
        following = np.roll(sides, -1, axis=0)
        turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
        if not (turns > 0).all():
            raise ValueError(
                "the corners do not go round a rectangle; mark them in the order top left, top right, "
                "bottom right, bottom left"
            )
        return self

    @property
    def points_px(self) -> tuple[Point, ...]:
        return self.corners_px

    def at(self, place_px: Point) -> Scale:
        def scale(inputs: Floats) -> Floats:
            return _scale_in_plane(inputs[:8].reshape(4, 2), inputs[8:], place_px)

        return _scale(
            *propagated(
                scale,
                [*np.ravel(self.corners_px), self.width_mm, self.height_mm],
                [*[self.click_se_px] * 8, self.width_se_mm, self.height_se_mm],
            )
        )


Method = Annotated[KnownLength | KnownCamera | KnownRectangle, Field(discriminator="name")]


def _scale(scale_mm_per_px: Floats, se_mm_per_px: Floats) -> Scale:
    # What is not finite is no smaller than anything.
    if not (se_mm_per_px <= LARGEST_SHARE * scale_mm_per_px).all():
        raise Failure(
            f"the uncertainty of the scale is more than {100 * LARGEST_SHARE:.0f} % of it; mark points "
            "further apart, or nearer to the place measured, or measure the inputs better"
        )
    x, y = scale_mm_per_px.tolist()
    x_se, y_se = se_mm_per_px.tolist()
    return Scale(x_mm_per_px=x, y_mm_per_px=y, x_se_mm_per_px=x_se, y_se_mm_per_px=y_se)


def _scale_in_plane(corners_px: Floats, sides_mm: Floats, place_px: Point) -> Floats:
    """Lengths (2,) in a plane, in mm, of one pixel along x and y; NaN beyond the plane's horizon."""
    inverse = np.linalg.inv(_from_unit_square(corners_px))
    q = inverse @ [*place_px, 1.0]
    if q[2] <= 0:
        return np.full(2, np.nan)
    on_square = q[:2] / q[2]
    # Derivatives of the projection (u / w, v / w) after the picture's x and y.
    slopes = (inverse[:2, :2] - np.outer(on_square, inverse[2, :2])) / q[2]
    lengths: Floats = np.hypot(*(sides_mm[:, None] * slopes))
    return lengths


def _from_unit_square(corners_px: Floats) -> Floats:
    """The homography (3, 3) that takes the unit square to four corners, from (0, 0) over (1, 0).

    Heckbert, "Fundamentals of texture mapping and image warping", 1989, section 2.2.3.
    """
    p0, p1, p2, p3 = corners_px
    sides = np.stack([p1 - p2, p3 - p2], axis=1)
    g, h = np.linalg.solve(sides, p0 - p1 + p2 - p3)
    x, y = np.stack([p1 - p0 + g * p1, p3 - p0 + h * p3, p0], axis=1)
    return np.stack([x, y, np.array([g, h, 1.0])])
