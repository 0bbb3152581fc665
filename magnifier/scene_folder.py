"""Scenes on disk, for evaluation: ``scenes.csv`` (id,gain) and three PNG files for each id.

``<id>_a.png`` is the reference, ``<id>_b.png`` the current frame, ``<id>_y.png`` the truth: what the
current frame looks like when its motion is ``gain`` times as large.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from atomic_file import replaced
from failure import Failure
from magnifier import sensor_noise
from magnifier.photographs import Picture
from magnifier.scenes import make_scene


@dataclass(frozen=True, slots=True)
class StoredScene:
    """A line of ``scenes.csv``; its pictures are read when asked for."""

    folder: Path
    id: str
    gain: float

    def pictures(self) -> tuple[Picture, Picture, Picture]:
        """Reference, current frame and truth, (height, width, 3) uint8, of one size."""
        a, b, y = (_read(self.folder / f"{self.id}_{part}.png") for part in "aby")
        if not a.shape == b.shape == y.shape:
            raise Failure(
                f"{self.folder}: the pictures of scene {self.id} differ in size "
                f"({a.shape[1]}x{a.shape[0]}, {b.shape[1]}x{b.shape[0]}, {y.shape[1]}x{y.shape[0]})"
            )
        return a, b, y


def write(
    folder: Path,
    pictures: list[Picture],
    *,
    count: int,
    size_px: int,
    seed: int,
    tell: Callable[[int], None],
) -> None:
    """Render ``count`` scenes with noisy inputs and clean truth. Same arguments, same files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        random = np.random.default_rng((seed, number))
        scene = make_scene(pictures, size_px, random)
        sigma = random.uniform(0, sensor_noise.LIMIT)
        camera = torch.Generator().manual_seed(int(random.integers(2**32)))
        reference, current, truth = map(
            torch.from_numpy, (scene.reference, scene.current, scene.magnified)
        )
        frames = {
            "a": sensor_noise.noisy(reference, sigma, camera),
            "b": sensor_noise.noisy(current, sigma, camera),
            "y": truth,
        }
        for part, frame in frames.items():
            levels = sensor_noise.quantised(frame, camera).to(torch.uint8).numpy()
            with replaced(folder / f"{number:04d}_{part}.png") as scratch:
                cv2.imwrite(str(scratch), levels)
        rows.append((f"{number:04d}", f"{scene.gain:.4f}"))
        tell(number + 1)
    with replaced(folder / "scenes.csv") as scratch, scratch.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "gain"), *rows])


def read(folder: Path) -> list[StoredScene]:
    """The scenes that ``scenes.csv`` lists. Raises Failure when it is missing or malformed."""
    table = folder / "scenes.csv"
    try:
        with table.open(newline="") as file:
            scenes = [
                StoredScene(folder, row["id"], float(row["gain"])) for row in csv.DictReader(file)
            ]
    except FileNotFoundError as error:
        raise Failure(
            f"{table}: no such file; make a folder of scenes with: "
            f"tremorscope scenes --write {folder}"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(f"{table}: needs the columns id,gain with a number as gain") from error
    if not scenes:
        raise Failure(f"{table}: lists no scenes")
    return scenes


def _read(path: Path) -> Picture:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise Failure(f"{path}: missing or not a picture, though scenes.csv lists its scene")
    return picture.astype(np.uint8, copy=False)
