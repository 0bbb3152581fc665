"""Scales by the three methods: against exact truth, and their uncertainty against Monte Carlo."""

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from calibration.scale import KnownCamera, KnownLength, KnownRectangle, Point, Scale
from calibration.uncertainty import Floats
from failure import Failure

LENGTH = KnownLength(
    start_px=(100, 200), end_px=(500, 500), click_se_px=1.5, length_mm=2500, length_se_mm=6
)
CAMERA = KnownCamera(
    distance_mm=25_000,
    distance_se_mm=60,
    focal_mm=50,
    focal_se_mm=0.3,
    pixel_um=3.45,
    pixel_se_um=0.02,
    tilt_x_deg=0,
    tilt_y_deg=25,
    tilt_se_deg=2,
)
FOCAL_PX, MIDDLE_PX = 1000.0, np.array([640.0, 360.0])


def seen(points_mm: Floats) -> Floats:
    """Points (n, 2) of a plane, turned about both axes, as a pinhole camera sees them; (n, 2) px."""
    yaw, pitch = np.deg2rad([35.0, -20.0])
    turn_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_x = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    flat = np.column_stack([points_mm, np.zeros(len(points_mm))])
    in_space = flat @ (turn_x @ turn_y).T + [200.0, -100.0, 6000.0]
    projected: Floats = MIDDLE_PX + FOCAL_PX * in_space[:, :2] / in_space[:, 2:]
    return projected


def rectangle(click_se_px: float = 0.5) -> KnownRectangle:
    width_mm, height_mm = 2400.0, 1500.0
    corners = seen(np.array([[0, 0], [width_mm, 0], [width_mm, height_mm], [0, height_mm]]))
    return KnownRectangle.model_validate(
        {
            "corners_px": corners.tolist(),
            "click_se_px": click_se_px,
            "width_mm": width_mm,
            "width_se_mm": 3.0,
            "height_mm": height_mm,
            "height_se_mm": 3.0,
        }
    )


def test_a_known_length_is_divided_by_its_pixels() -> None:
    scale = LENGTH.at((0, 0))
    assert scale.x_mm_per_px == scale.y_mm_per_px == pytest.approx(5.0)
    # Both ends scatter along the line, the length by itself.
    expected = 5.0 * np.hypot(np.sqrt(2) * 1.5 / 500, 6 / 2500)
    assert scale.x_se_mm_per_px == pytest.approx(expected, rel=1e-3)


def test_a_camera_of_known_optics_follows_the_thin_lens() -> None:
    scale = CAMERA.at((0, 0))
    assert scale.x_mm_per_px == pytest.approx(0.00345 * (25_000 - 50) / 50)
    assert scale.y_mm_per_px == pytest.approx(scale.x_mm_per_px / np.cos(np.deg2rad(25)))


@pytest.mark.parametrize("where_mm", [(1200.0, 750.0), (0.0, 0.0), (-600.0, 2000.0)])
def test_a_rectangle_gives_the_local_scale_anywhere_in_its_plane(
    where_mm: tuple[float, float],
) -> None:
    place = seen(np.array([where_mm]))[0]
    scale = rectangle().at((float(place[0]), float(place[1])))
    # Where must a point lie on the plane to be seen one hundredth of a pixel further?
    slopes = (seen(np.array(where_mm) + 0.01 * np.eye(2)) - place) / 0.01  # px/mm
    mm_per_px = np.linalg.norm(np.linalg.inv(slopes.T), axis=0)
    assert [scale.x_mm_per_px, scale.y_mm_per_px] == pytest.approx(mm_per_px, rel=1e-4)


def scattered(values: Floats, errors: Floats, result: Callable[[Floats], Scale]) -> Floats:
    """Standard deviations (2,) of the scale, when the inputs are drawn within their uncertainty."""
    draws = np.random.default_rng(2).normal(values, errors, (1000, len(values)))
    scales = [result(draw) for draw in draws]
    table = np.array([(one.x_mm_per_px, one.y_mm_per_px) for one in scales])
    deviations: Floats = table.std(axis=0)
    return deviations


def test_uncertainties_are_what_a_monte_carlo_gives() -> None:
    place: Point = (700.0, 400.0)

    def length(drawn: Floats) -> Scale:
        points = {"start_px": drawn[:2], "end_px": drawn[2:4]}
        return LENGTH.model_copy(update={**points, "length_mm": drawn[4]}).at(place)

    def camera(drawn: Floats) -> Scale:
        names = ("distance_mm", "focal_mm", "pixel_um", "tilt_x_deg", "tilt_y_deg")
        return CAMERA.model_copy(update=dict(zip(names, drawn, strict=True))).at(place)

    def of_rectangle(drawn: Floats) -> Scale:
        corners = {"corners_px": drawn[:8].reshape(4, 2)}
        sides = {"width_mm": drawn[8], "height_mm": drawn[9]}
        return rectangle().model_copy(update={**corners, **sides}).at(place)

    corners = np.ravel(rectangle().corners_px)
    for method, result, values, errors in (
        (LENGTH, length, [100, 200, 500, 500, 2500], [1.5, 1.5, 1.5, 1.5, 6]),
        (CAMERA, camera, [25_000, 50, 3.45, 0, 25], [60, 0.3, 0.02, 2, 2]),
        (rectangle(), of_rectangle, [*corners, 2400, 1500], [*[0.5] * 8, 3, 3]),
    ):
        scale = method.at(place)
        told = [scale.x_se_mm_per_px, scale.y_se_mm_per_px]
        drawn = scattered(np.array(values, float), np.array(errors, float), result)
        assert told == pytest.approx(drawn, rel=0.08), method.name


def test_a_tilt_that_may_not_be_zero_counts_though_it_is_said_to_be() -> None:
    known = {"distance_se_mm": 0.0, "focal_se_mm": 0.0, "pixel_se_um": 0.0, "tilt_y_deg": 0.0}
    scale = CAMERA.model_copy(update={**known, "tilt_se_deg": 6.0}).at((0, 0))
    tilts = np.random.default_rng(3).normal(0, np.deg2rad(6.0), 100_000)
    drawn = (scale.y_mm_per_px / np.cos(tilts)).std()
    assert scale.y_se_mm_per_px == pytest.approx(drawn, rel=0.05)


def test_the_error_of_a_displacement_holds_those_of_measurement_and_scale() -> None:
    scale = Scale(x_mm_per_px=2, y_mm_per_px=4, x_se_mm_per_px=0.06, y_se_mm_per_px=0.2)
    assert scale.mm("x", -0.5, 0.02) == pytest.approx((-1.0, 0.05))
    assert scale.mm("y", 0.5) == pytest.approx((2.0, 0.1))
    assert scale.mm("x", 0.0, 0.01) == pytest.approx((0.0, 0.02))


def test_a_place_beyond_the_horizon_of_the_rectangle_has_no_scale() -> None:
    floor = KnownRectangle(
        corners_px=((500, 300), (700, 300), (900, 500), (300, 500)),
        click_se_px=0.1,
        width_mm=1000,
        width_se_mm=1,
        height_mm=3000,
        height_se_mm=1,
    )
    assert floor.at((600, 420)).y_mm_per_px > floor.at((600, 420)).x_mm_per_px
    with pytest.raises(Failure, match=r"more than 50 % of it; mark points further apart"):
        floor.at((600, 150))  # the sides meet at 200


def test_points_that_are_too_near_are_refused() -> None:
    near = LENGTH.model_copy(update={"end_px": (102, 200)})
    with pytest.raises(Failure, match="more than 50 %"):
        near.at((0, 0))


@pytest.mark.parametrize(
    ("method", "values", "told"),
    [
        (LENGTH, {"end_px": (100, 200)}, "both points are the same"),
        (LENGTH, {"length_mm": 0}, "greater than 0"),
        (LENGTH, {"length_se_mm": -1}, "greater than or equal to 0"),
        (LENGTH, {"click_se_px": float("nan")}, "finite number"),
        (CAMERA, {"distance_mm": 25}, "cannot be in focus"),
        (CAMERA, {"tilt_x_deg": 90}, "less than 80"),
        (rectangle(), {"corners_px": [(0, 0), (9, 9), (9, 0), (0, 9)]}, "do not go round"),
        (rectangle(), {"corners_px": [(0, 0), (0, 9), (9, 9), (9, 0)]}, "do not go round"),
        (rectangle(), {"corners_px": [(0, 0), (5, 0), (9, 0), (0, 9)]}, "do not go round"),
    ],
)
def test_what_cannot_be_is_refused(
    method: KnownLength | KnownCamera | KnownRectangle, values: dict[str, object], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        type(method).model_validate({**method.model_dump(), **values})
