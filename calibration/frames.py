"""A folder of calibration frames: runs of consecutive pictures, and ``frames.json`` that describes them.

::

    frames.json          written last: a folder without it was never finished
    contact-sheet.jpg    to look at
    00/0.png 00/1.png    run 0, pictures in order, as the source gave them
    01/0.png ...
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from atomic_file import replaced
from calibration.motion import Run, look
from failure import Failure

FEWEST_FRAMES = 32
"""With fewer, the ranges of a network's activations are guesses."""
MAKER = "tremorscope capture"
TABLE = "frames.json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredFrame(_Model):
    t_ns: int
    """Capture time on the source's clock."""
    sha256: str
    """Of the PNG file."""


class StoredRun(_Model):
    """One run; its pictures are in the folder of its number."""

    light_grey: float
    motion_px: float
    frames: tuple[StoredFrame, ...]


class FrameTable(_Model):
    """What ``frames.json`` holds."""

    frames_version: Literal[1] = 1
    preprocessing: Literal[1] = 1
    """How pictures were treated. 1: not at all; 8-bit blue-green-red in the source's own size."""
    source: str
    date: str
    """UTC, ISO 8601."""
    size_px: tuple[int, int]
    runs: tuple[StoredRun, ...]


@dataclass(frozen=True, slots=True)
class CalibrationFrames:
    """A folder that was checked. Pictures are read when asked for, a run at a time."""

    folder: Path
    table: FrameTable
    sha256: str
    """Of all pictures, their order and their preprocessing: a key for what is made from them."""

    def runs(self) -> Iterator[Run]:
        """Each run's consecutive pictures, (pictures, height, width, 3) uint8 blue-green-red.

        Raises Failure for a picture that was changed since.
        """
        for number in range(len(self.table.runs)):
            yield _read_run(self.folder, self.table, number)


def read(folder: Path) -> CalibrationFrames:
    """Check a folder of frames.

    Raises Failure when there is none, it was never finished, a picture is missing, damaged or of
    another size, there are too few, or nothing moves in any run.
    """
    table = _read_table(folder)
    count = sum(len(run.frames) for run in table.runs)
    if count < FEWEST_FRAMES:
        raise Failure(
            f"{folder}: holds {count} frames, and calibration needs at least {FEWEST_FRAMES}; collect "
            f"more with: {MAKER}"
        )
    content = hashlib.sha256(f"preprocessing {table.preprocessing}".encode())
    moves = False
    for number, run in enumerate(table.runs):
        pictures = _read_run(folder, table, number)
        moves = moves or look(pictures).motion_px > 0
        content.update(f"run of {len(run.frames)}".encode())
        for frame in run.frames:
            content.update(bytes.fromhex(frame.sha256))
    if not moves:
        raise Failure(
            f"{folder}: nothing moves in its frames, so they say nothing of the motion that is to be "
            f"magnified; collect others while something vibrates, with: {MAKER}"
        )
    return CalibrationFrames(folder, table, content.hexdigest())


def _read_table(folder: Path) -> FrameTable:
    path = folder / TABLE
    try:
        return FrameTable.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise Failure(
            f"{path}: there is no such file, so {folder} is no folder of calibration frames; collect "
            f"them with: {MAKER} SOURCE --out {folder}"
        ) from None
    except (ValidationError, OSError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise Failure(
            f"{path}: cannot be used ({what}); collect the frames again with: {MAKER}"
        ) from None


def _read_run(folder: Path, table: FrameTable, number: int) -> Run:
    width, height = table.size_px
    pictures = []
    for index, frame in enumerate(table.runs[number].frames):
        path = picture_path(run_folder(folder, number), index)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Failure(
                f"{path}: cannot be read ({error.strerror}), though {TABLE} lists it; copy the whole "
                f"folder again, or collect the frames again with: {MAKER}"
            ) from None
        if hashlib.sha256(content).hexdigest() != frame.sha256:
            raise Failure(
                f"{path}: was changed or cut short since it was captured; copy it again, or collect "
                f"the frames again with: {MAKER}"
            )
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if picture is None or picture.shape != (height, width, 3):
            shown = "no picture" if picture is None else f"{picture.shape[1]}x{picture.shape[0]} px"
            raise Failure(
                f"{path}: is {shown}, and {TABLE} says {width}x{height} px; all frames must be of "
                f"one size, so collect them again with: {MAKER}"
            )
        pictures.append(picture.astype(np.uint8, copy=False))
    return np.stack(pictures)


def run_folder(folder: Path, number: int) -> Path:
    """Where the pictures of a run are."""
    return folder / f"{number:02d}"


def picture_path(run_folder: Path, index: int) -> Path:
    return run_folder / f"{index}.png"


def write_picture(path: Path, picture: NDArray[np.uint8]) -> str:
    """Write a PNG without any loss; its SHA-256. Raises Failure when the disk refuses."""
    # The fastest compression: noise does not get smaller by trying harder.
    _, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    content = encoded.tobytes()
    with replaced(path) as scratch:
        scratch.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def write_table(folder: Path, table: FrameTable) -> None:
    with replaced(folder / TABLE) as scratch:
        scratch.write_text(table.model_dump_json(indent=1) + "\n")


@contextmanager
def begun(folder: Path) -> Iterator[Path]:
    """Gives a folder to fill; on leaving without an error it takes the name ``folder``.

    An error removes it. Raises Failure when something lies under that name or the disk refuses.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Failure(f"{folder}: is there already, and not empty; give --out a new folder")
    scratch = folder.absolute().with_name(f".{folder.absolute().name}.{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        yield scratch
        scratch.replace(folder)
    except OSError as error:
        raise Failure(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "free some space or choose another place"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
