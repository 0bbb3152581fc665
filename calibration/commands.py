"""``tremorscope scale``: millimetres per pixel by three methods, one command each."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from failure import Failure

if TYPE_CHECKING:
    from pydantic import BaseModel

    from calibration.scale import KnownCamera, KnownLength, KnownRectangle

app = typer.Typer(
    help="Millimetres per pixel of a surface, with their uncertainty (one standard deviation)."
)

Size = Annotated[
    str, typer.Option(help="WIDTHxHEIGHT in px of the pictures, which the daemon must see, too.")
]
Out = Annotated[Path | None, typer.Option(help="Keep it in this file, for a region to name.")]
ClickError = Annotated[float, typer.Option(help="Uncertainty of each marked coordinate.")]
Error = Annotated[float, typer.Option(help="Its uncertainty.")]
Kind = TypeVar("Kind", bound="BaseModel")


@app.command()
def length(
    start: Annotated[str, typer.Argument(metavar="X,Y", help="One end in the picture, in px.")],
    end: Annotated[str, typer.Argument(metavar="X,Y", help="The other end.")],
    length_mm: Annotated[float, typer.Option(help="The distance of both on the surface.")],
    length_se_mm: Error,
    size: Size,
    click_se_px: ClickError = 1.0,
    out: Out = None,
) -> None:
    """From two points in the picture and the length between them.

    The surface is taken to be perpendicular to the optical axis; it holds at that distance only.
    """
    from calibration.scale import KnownLength

    method = _checked(
        KnownLength,
        start_px=_point(start),
        end_px=_point(end),
        click_se_px=click_se_px,
        length_mm=length_mm,
        length_se_mm=length_se_mm,
    )
    _tell(method, size, out)


@app.command()
def camera(
    distance_mm: Annotated[
        float, typer.Option(help="From the lens to the surface, along the optical axis.")
    ],
    distance_se_mm: Error,
    focal_mm: Annotated[float, typer.Option(help="Focal length, not its 35 mm equivalent.")],
    focal_se_mm: Error,
    pixel_um: Annotated[
        float, typer.Option(help="Pixel pitch; larger than the sensor's with binning or scaling.")
    ],
    pixel_se_um: Error,
    size: Size,
    tilt_x_deg: Annotated[
        float, typer.Option(help="By how much the surface runs away along x; 0: perpendicular.")
    ] = 0.0,
    tilt_y_deg: Annotated[float, typer.Option(help="The same along y.")] = 0.0,
    tilt_se_deg: Annotated[float, typer.Option(help="Uncertainty of both tilts.")] = 1.0,
    out: Out = None,
) -> None:
    """From distance, focal length and pixel pitch, for a lens focused on the surface."""
    from calibration.scale import KnownCamera

    method = _checked(
        KnownCamera,
        distance_mm=distance_mm,
        distance_se_mm=distance_se_mm,
        focal_mm=focal_mm,
        focal_se_mm=focal_se_mm,
        pixel_um=pixel_um,
        pixel_se_um=pixel_se_um,
        tilt_x_deg=tilt_x_deg,
        tilt_y_deg=tilt_y_deg,
        tilt_se_deg=tilt_se_deg,
    )
    _tell(method, size, out)


@app.command()
def rectangle(
    corners: Annotated[
        tuple[str, str, str, str],
        typer.Argument(
            metavar="X,Y X,Y X,Y X,Y",
            help="Corners in the picture, in px: top left, top right, bottom right, bottom left.",
        ),
    ],
    width_mm: Annotated[float, typer.Option(help="Length of its top and bottom.")],
    width_se_mm: Error,
    height_mm: Annotated[float, typer.Option(help="Length of its other sides.")],
    height_se_mm: Error,
    size: Size,
    click_se_px: ClickError = 1.0,
    out: Out = None,
) -> None:
    """From the four corners of a rectangle, seen from any side.

    It holds in the rectangle's plane, and is computed anew for the middle of each region there.
    """
    from calibration.scale import KnownRectangle

    method = _checked(
        KnownRectangle,
        corners_px=tuple(_point(corner) for corner in corners),
        click_se_px=click_se_px,
        width_mm=width_mm,
        width_se_mm=width_se_mm,
        height_mm=height_mm,
        height_se_mm=height_se_mm,
    )
    _tell(method, size, out)


def _checked(method: type[Kind], **values: Any) -> Kind:
    """A method from what was typed. Raises Failure that names the option."""
    from pydantic import ValidationError

    try:
        return method(**values)
    except ValidationError as error:
        first = error.errors()[0]
        sentence = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise Failure(sentence) from None
        option = str(first["loc"][0]).replace("_", "-")
        raise Failure(
            f"--{option} {first['input']}: {sentence[:1].lower()}{sentence[1:]}"
        ) from None


def _tell(
    method: "KnownLength | KnownCamera | KnownRectangle", size: str, out: Path | None
) -> None:
    """Print the scale, and keep it where that is asked for."""
    from calibration.scale_file import made, write

    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if match is None:
        raise Failure(f'--size {size}: write it as WIDTHxHEIGHT, such as "1280x720"')
    result = made(method, (int(match[1]), int(match[2])))
    scale = result.scale
    x, y = result.place_px
    typer.echo(f"at {x:g},{y:g} px, with standard uncertainties:")
    for axis, value, error in (
        ("x", scale.x_mm_per_px, scale.x_se_mm_per_px),
        ("y", scale.y_mm_per_px, scale.y_se_mm_per_px),
    ):
        typer.echo(f"{axis}: {value:.5g} ± {error:.2g} mm/px ({100 * error / value:.2g} %)")
    if out is not None:
        write(out, result)
        typer.echo(f'written: {out}; a region on that surface names it: scale = "{out.name}"')


def _point(text: str) -> tuple[float, float]:
    """ "412,300.5" -> (412.0, 300.5). Raises Failure for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?),(\d+(?:\.\d*)?)", text)
    if match is None:
        raise Failure(f'{text}: write a point as X,Y in px, such as "412,300.5"')
    return float(match[1]), float(match[2])
