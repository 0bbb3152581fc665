"""What a network's layers were seen to work with: the scales of its eight-bit graph."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from atomic_file import replaced
from failure import Failure

Method = Literal["entropy", "percentile", "min-max"]

RECIPE: Literal[3] = 3


class Ranges(BaseModel):
    """Of one set of weights, on one set of frames; valid for pictures of any size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ranges_version: Literal[1, 2, 3] = RECIPE
    """Of the recipe: 1 saw the frames at their own gain alone, 2 at four times that, too; 3 divides
    the reaches by what loses least, small motion included."""
    network: str
    weights_sha256: str
    frames_sha256: str
    source: str
    """Where the frames came from, in words."""
    method: Method
    reaches: dict[str, float] = Field(min_length=1)
    """By layer, the absolute value of its input that eight bits reach; what is beyond is clipped."""
    half_precision: dict[str, float] = {}
    """Deep layers that stay in half precision because eight bits cost too much, and their
    signal-to-noise ratio in dB."""


def read(path: Path) -> Ranges:
    """The ranges in ``path``. Raises Failure when they are missing or malformed."""
    try:
        return Ranges.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise Failure(
            f"{path}: no such file of ranges; measure them with: tremorscope quantize"
        ) from error
    except (OSError, ValidationError) as error:
        raise Failure(
            f"{path}: is not a file of ranges of this version; measure them again with: "
            "tremorscope quantize"
        ) from error


def write(path: Path, ranges: Ranges) -> None:
    """In one atomic step."""
    with replaced(path) as scratch:
        scratch.write_text(ranges.model_dump_json(indent=1) + "\n")
