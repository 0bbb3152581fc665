"""The file that keeps a scale: how it was found, when, for which pictures, and what came out."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from atomic_file import replaced
from calibration.scale import Method, Point, Scale
from failure import Failure

MAKER = "tremorscope scale"


class ScaleFile(BaseModel):
    """``scale`` is what ``method`` gives at ``place_px``; elsewhere, ``at`` asks the method again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale_version: Literal[1] = 1
    date: str
    """UTC, ISO 8601."""
    size_px: tuple[int, int] = Field(description="Width and height of the pictures it is for.")
    method: Method
    place_px: Point
    scale: Scale

    def at(self, place_px: Point) -> Scale:
        """The scale at another place of the picture. Raises Failure where it has none."""
        return self.method.at(place_px)


def made(method: Method, size_px: tuple[int, int]) -> ScaleFile:
    """The scale in the middle of what was marked, or of the picture where nothing was.

    Raises Failure for a point outside the picture, and where the scale is too uncertain.
    """
    width, height = size_px
    for x, y in method.points_px:
        if not (0 <= x <= width and 0 <= y <= height):
            raise Failure(
                f"the point {x:g},{y:g} lies outside a picture of {width}x{height} px; give the "
                "point in pixels of that picture, or the size of the picture it was marked in"
            )
    marked = method.points_px or ((0.0, 0.0), (float(width), float(height)))
    x, y = np.mean(marked, axis=0).tolist()
    return ScaleFile(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        size_px=size_px,
        method=method,
        place_px=(x, y),
        scale=method.at((x, y)),
    )


def write(path: Path, made: ScaleFile) -> None:
    """Keep a scale. Raises Failure when the disk refuses."""
    with replaced(path) as scratch:
        scratch.write_text(made.model_dump_json(indent=2) + "\n")


def read(path: Path) -> ScaleFile:
    """A scale that was kept.

    Raises Failure when the file is missing, is no scale, or its scale is not what its inputs give.
    """
    try:
        stored = ScaleFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise Failure(f"{path}: there is no such scale file; make one with: {MAKER}") from None
    except OSError as error:
        raise Failure(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = f"{key}: {first['msg']}" if key else first["msg"]
        raise Failure(
            f"{path}: is not a scale file of this version ({what}); make it again with: {MAKER}"
        ) from None
    now = stored.at(stored.place_px).model_dump()
    if any(not np.isclose(now[name], kept) for name, kept in stored.scale.model_dump().items()):
        raise Failure(
            f"{path}: its scale is not what its inputs give, so one of them was changed by hand; "
            f"make it again with: {MAKER}"
        )
    return stored
