"""Photographs that synthetic scenes are cut from: any folder of them, or Debian's own packages."""

import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from failure import Failure

Picture = NDArray[np.uint8]
"""(height, width, 3) uint8, blue-green-red."""

DEBIAN_PACKAGES = (
    "gnome-backgrounds",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "mate-backgrounds",
    "opencv-doc",
    "plasma-workspace-wallpapers",
    "ukui-wallpapers",
)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
LONGEST_SIDE_PX = 1280
SHORTEST_SIDE_PX = 240
HELD_OUT_SHARE = 0.15


def collect_from_debian(
    folder: Path, packages: tuple[str, ...], tell: Callable[[str], None]
) -> None:
    """Fetch ``packages`` with apt, unpack them aside, and keep their photographs in ``folder``.

    Nothing is installed. Each photograph is shrunk to 1280 px and kept once, in whatever number of
    sizes a package ships it; each package's copyright file is kept beside them. Raises Failure when
    apt-get or dpkg is missing or refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen = [_thumbnail(picture) for _, picture in _readable(folder)]
    for package in packages:
        tell(f"{package}: fetching")
        with tempfile.TemporaryDirectory() as scratch:
            _run(["apt-get", "download", "-q", package], Path(scratch))
            archive = next(Path(scratch).glob("*.deb"))
            _run(["dpkg", "-x", archive.name, "unpacked"], Path(scratch))
            unpacked = Path(scratch, "unpacked")
            kept = 0
            for path, picture in _readable(unpacked):
                thumbnail = _thumbnail(picture)
                if not is_textured(picture) or any(_alike(thumbnail, other) for other in seen):
                    continue
                seen.append(thumbnail)
                name = f"{package}__{path.parent.name}__{path.stem}.jpg"
                cv2.imwrite(str(folder / name), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
                kept += 1
            notice = unpacked / "usr/share/doc" / package / "copyright"
            folder.joinpath(f"{package}__copyright.txt").write_bytes(notice.read_bytes())
        tell(f"{package}: {kept} photographs kept")


def load(folder: Path, *, held_out: bool) -> list[Picture]:
    """The photographs of ``folder`` that are kept for evaluation (``held_out``), or the others.

    Raises Failure when the folder is missing or holds too few.
    """
    if not folder.is_dir():
        raise Failure(
            f"{folder}: no such folder of photographs; "
            f"collect some with: tremorscope photographs {folder}"
        )
    pictures = [
        picture
        for path, picture in _readable(folder)
        if is_held_out(path.name) == held_out and is_textured(picture)
    ]
    if len(pictures) < 2:
        raise Failure(
            f"{folder}: {len(pictures)} usable photographs "
            f"{'are held out for evaluation' if held_out else 'to train on'}, at least 2 are needed "
            f"(textured, {SHORTEST_SIDE_PX} px and more); "
            f"collect some with: tremorscope photographs {folder}"
        )
    return pictures


def is_held_out(name: str) -> bool:
    """Whether the photograph of this file name is kept for evaluation and never trained on."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT_SHARE


def is_textured(picture: Picture) -> bool:
    """Whether motion would show in a good part of the picture, and little of it is plain."""
    if min(picture.shape[:2]) < SHORTEST_SIDE_PX:
        return False
    gray = cv2.cvtColor(_shrink(picture, 512), cv2.COLOR_BGR2GRAY)
    slope_x = cv2.Sobel(gray, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(gray, cv2.CV_32F, 0, 1, scale=1 / 8)
    plain = np.bincount(gray.ravel(), minlength=256).max() / gray.size
    return bool((cv2.magnitude(slope_x, slope_y) > 2).mean() > 0.25 and plain < 0.25)


def _readable(folder: Path) -> list[tuple[Path, Picture]]:
    """All pictures below ``folder`` that OpenCV reads, shrunk, in the order of their paths."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file() or path.is_symlink():
            continue
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is not None:
            found.append((path, _shrink(picture.astype(np.uint8, copy=False), LONGEST_SIDE_PX)))
    return found


def _shrink(picture: Picture, longest_px: int) -> Picture:
    scale = longest_px / max(picture.shape[:2])
    if scale >= 1:
        return picture
    shrunk = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return shrunk.astype(np.uint8, copy=False)


def _thumbnail(picture: Picture) -> NDArray[np.float32]:
    gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(gray, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
    # A trace in the divisor, for pictures of one colour.
    normal: NDArray[np.float32] = (small - small.mean()) / (small.std() + 1e-3)
    return normal


def _alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two thumbnails show one photograph: other sizes and mild crops correlate above .9."""
    return float((a * b).mean()) > 0.9


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Failure(
            f"{command[0]} is not on this machine; on Debian or Ubuntu it is, elsewhere name any "
            "folder of photographs to the commands that need one"
        ) from error
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Failure(
            f"'{' '.join(command)}' failed ({' '.join(reason) or done.returncode}); "
            "run apt-get update and try again"
        )
