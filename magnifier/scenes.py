"""Synthetic scenes with exact sub-pixel truth, cut from photographs.

After Oh et al., "Learning-based Video Motion Magnification" (ECCV 2018), with their known traps
avoided: every frame is sampled at exact sub-pixel coordinates (no grid of a supersampled canvas, and
not cv2.warpAffine, which rounds positions to 1/32 px), the truth carries no noise, and scenes in which
nothing moves really are still.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from magnifier.photographs import Picture

Kind = Literal["standard", "blurred background", "background alone", "still", "foregrounds alone"]
KINDS: tuple[Kind, ...] = (
    "standard",
    "blurred background",
    "background alone",
    "still",
    "foregrounds alone",
)
MOTION_LIMIT_PX = 10.0
MAGNIFIED_LIMIT_PX = 30.0
GAIN_LIMIT = 100.0
SMALL_DECADES = 2.5
SUPERSAMPLING = 2
KERNEL_RADIUS = 5
EDGE = KERNEL_RADIUS + 1

Rendered = NDArray[np.float32]
Random = np.random.Generator
Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """Noise-free frames (height, width, 3) in grey levels 0..255, blue-green-red.

    ``reference`` and ``current`` differ by each layer's motion; ``magnified`` shows ``gain`` times
    that motion. ``displacement_px`` (height, width, 2; x, y) is how far what ``magnified`` shows at
    a pixel has moved from its place in ``current``: (gain - 1) x the motion of the topmost layer.
    """

    reference: Rendered
    current: Rendered
    magnified: Rendered
    displacement_px: Rendered
    gain: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Layer:
    """A cut-out at twice the output's resolution: (height, width, 4), colour times alpha, alpha."""

    texture: Rendered
    left_px: float
    top_px: float
    motion_px: Vector


def make_scene(
    pictures: list[Picture], size_px: int, random: Random, small_share: float = 0.0
) -> Scene:
    """A scene of ``size_px`` x ``size_px``: a background and foreground cut-outs, each moving.

    Motions are drawn evenly up to the limits, as published, which leaves few that stay small when
    they are magnified. Of ``small_share`` of the scenes they, and the gain, are drawn evenly in their
    logarithm.
    """
    small = small_share > 0 and random.random() < small_share
    kind = KINDS[random.integers(len(KINDS))]
    root = random.uniform(1, np.sqrt(GAIN_LIMIT))
    gain = float(GAIN_LIMIT ** random.uniform(0.1, 1) if small else root**2)
    background_moves = kind in ("standard", "blurred background", "background alone")
    foregrounds_move = kind in ("standard", "blurred background", "foregrounds alone")
    layers = [
        _background(pictures, size_px, kind, _motion(gain, background_moves, small, random), random)
    ]
    # 7 to 15 cut-outs at 384 px, as published; fewer on a smaller canvas, by its area.
    count = round(int(random.integers(7, 16)) * (size_px / 384) ** 1.5)
    for _ in range(max(1, count)):
        motion_px = _motion(gain, foregrounds_move, small, random)
        layers.append(_foreground(pictures, size_px, motion_px, random))
    return _scene(layers, size_px, gain, kind, random)


def scene_of_motion(
    pictures: list[Picture], size_px: int, motion_px: Vector, gain: float, random: Random
) -> Scene:
    """A still background with one textured rectangle of half its size, in the middle, moving by
    ``motion_px`` (x, y): for tests of one known motion.
    """
    background = _background(pictures, size_px, "foregrounds alone", np.zeros(2), random)
    side = SUPERSAMPLING * size_px // 2
    colour = _texture(pictures, side, side, random)
    texture = np.dstack([colour, np.ones((side, side), np.float32)])
    # A transparent margin, or the kernel would repeat the edge and never let it end.
    texture = np.pad(texture, ((EDGE, EDGE), (EDGE, EDGE), (0, 0)))
    corner_px = size_px / 4 - EDGE / SUPERSAMPLING
    layers = [background, _Layer(texture, corner_px, corner_px, motion_px)]
    return _scene(layers, size_px, gain, "foregrounds alone", random)


def _scene(layers: list[_Layer], size_px: int, gain: float, kind: Kind, random: Random) -> Scene:
    # The blur of the lens: from just sharp to soft, in units of an output pixel.
    blur_px = float(random.uniform(0.4, 0.7))
    magnified, displacement_px = _compose(layers, size_px, gain, blur_px)
    return Scene(
        reference=_compose(layers, size_px, 0.0, blur_px)[0],
        current=_compose(layers, size_px, 1.0, blur_px)[0],
        magnified=magnified,
        displacement_px=displacement_px * np.float32(gain - 1),
        gain=gain,
        kind=kind,
    )


def _motion(gain: float, moves: bool, small: bool, random: Random) -> Vector:
    if not moves:
        return np.zeros(2)
    limit_px = min(MAGNIFIED_LIMIT_PX, MOTION_LIMIT_PX * gain)
    share = 10 ** -random.uniform(0, SMALL_DECADES) if small else random.uniform(0, 1)
    length_px = share * limit_px / gain
    angle = random.uniform(0, 2 * np.pi)
    return length_px * np.array([np.cos(angle), np.sin(angle)])


def _texture(pictures: list[Picture], width: int, height: int, random: Random) -> Rendered:
    """A random part of a random photograph at a random scale, (height, width, 3) float32."""
    picture = pictures[random.integers(len(pictures))]
    picture_height, picture_width = picture.shape[:2]
    largest = min(picture_width / width, picture_height / height)
    scale = largest if largest < 0.5 else random.uniform(0.5, min(largest, 2.0))
    part_width, part_height = int(width * scale), int(height * scale)
    left = random.integers(picture_width - part_width + 1)
    top = random.integers(picture_height - part_height + 1)
    cut = picture[top : top + part_height, left : left + part_width]
    filtering = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    part = cv2.resize(cut, (width, height), interpolation=filtering).astype(np.float32)
    if random.random() < 0.5:
        part = part[:, ::-1]
    contrast, brightness = random.uniform(0.7, 1.2), random.uniform(-30, 30)
    toned: Rendered = np.clip((part - 127.5) * contrast + 127.5 + brightness, 0, 255)
    return toned.astype(np.float32, copy=False)


def _background(
    pictures: list[Picture],
    size_px: int,
    kind: Kind,
    motion_px: Vector,
    random: Random,
) -> _Layer:
    margin_px = int(MAGNIFIED_LIMIT_PX) + KERNEL_RADIUS
    side = SUPERSAMPLING * (size_px + 2 * margin_px)
    colour = _texture(pictures, side, side, random)
    if kind == "blurred background":
        colour = cv2.GaussianBlur(colour, (0, 0), float(random.uniform(3, 12))).astype(np.float32)
    texture = np.dstack([colour, np.ones((side, side), np.float32)])
    return _Layer(texture, -margin_px, -margin_px, motion_px)


def _foreground(pictures: list[Picture], size_px: int, motion_px: Vector, random: Random) -> _Layer:
    width_px, height_px = size_px * 0.5 ** random.uniform(0.6, 3.3, 2)
    width, height = (max(16, int(SUPERSAMPLING * side)) for side in (width_px, height_px))
    mask = _outline(width, height, random)
    colour = _texture(pictures, width, height, random)
    texture = np.dstack([colour * mask[..., None], mask])
    left_px, top_px = random.uniform(-0.1, 0.9, 2) * size_px
    return _Layer(texture.astype(np.float32), float(left_px), float(top_px), motion_px)


def _outline(width: int, height: int, random: Random) -> Rendered:
    """A filled shape inside (height, width), 0..1: a blob, a polygon, a slanted bar or a frame."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    shape = random.choice(["blob", "polygon", "bar", "frame"])
    if shape == "blob":
        radius = np.ones_like(angles)
        for order in range(2, 7):
            radius += random.normal(0, 0.35 / order) * np.cos(order * angles + random.uniform(0, 7))
        radius = np.clip(radius / radius.max(), 0.2, 1)
        points = np.stack([np.cos(angles) * radius, np.sin(angles) * radius], axis=1)
    elif shape == "polygon":
        corners = np.sort(random.choice(angles, random.integers(3, 9), replace=False))
        radius = random.uniform(0.4, 1, len(corners))
        points = np.stack([np.cos(corners) * radius, np.sin(corners) * radius], axis=1)
    else:
        half = random.uniform(0.1, 0.4) if shape == "bar" else random.uniform(0.6, 0.9)
        turn = random.uniform(0, np.pi)
        corners = np.array([[-1, -half], [1, -half], [1, half], [-1, half]]) * 0.7
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        points = corners @ rotation.T
    mask = np.zeros((height, width), np.uint8)
    reach = np.array([width, height]) / 2 - 3
    centre = np.array([width, height]) / 2
    _fill(mask, points * reach + centre, 255)
    if shape == "frame":
        _fill(mask, points * reach * random.uniform(0.4, 0.8) + centre, 0)
    return mask.astype(np.float32) / np.float32(255)


def _fill(mask: NDArray[np.uint8], points: NDArray[np.float64], value: int) -> None:
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], value, cv2.LINE_AA, 4)


def _compose(
    layers: list[_Layer], size_px: int, times: float, blur_px: float
) -> tuple[Rendered, Rendered]:
    """The picture with every layer at ``times`` its motion, and the motion seen at each pixel."""
    canvas = np.zeros((size_px, size_px, 3), np.float32)
    motion_px = np.zeros((size_px, size_px, 2), np.float32)
    for layer in layers:
        left = layer.left_px + times * layer.motion_px[0]
        top = layer.top_px + times * layer.motion_px[1]
        patch, column, row = _sample(layer.texture, left, top, blur_px)
        rows, patch_rows = _overlap(row, patch.shape[0], size_px)
        columns, patch_columns = _overlap(column, patch.shape[1], size_px)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        patch = patch[patch_rows, patch_columns]
        alpha = patch[..., 3:]
        canvas[rows, columns] = canvas[rows, columns] * (1 - alpha) + patch[..., :3]
        motion_px[rows, columns] = motion_px[rows, columns] * (1 - alpha) + alpha * layer.motion_px
    return canvas, motion_px


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Where a patch of ``length`` placed at ``start`` lies on the canvas, and that part of it."""
    first, last = max(start, 0), min(start + length, size)
    return slice(first, last), slice(first - start, last - start)


def _sample(
    texture: Rendered, left_px: float, top_px: float, blur_px: float
) -> tuple[Rendered, int, int]:
    """The texture on output pixels when its corner lies at (left_px, top_px), any fraction of a px.

    A Gaussian that is sampled at the exact fraction low-passes and shifts in one separable filter;
    then every SUPERSAMPLING-th value is an output pixel. Returns it with its column and row.
    """
    column, start_x, kernel_x = _fraction(left_px, blur_px)
    row, start_y, kernel_y = _fraction(top_px, blur_px)
    filtered = cv2.sepFilter2D(
        texture, cv2.CV_32F, kernel_x, kernel_y, borderType=cv2.BORDER_REPLICATE
    )
    output = filtered[start_y::SUPERSAMPLING, start_x::SUPERSAMPLING]
    return output.astype(np.float32, copy=False), column, row


def _fraction(corner_px: float, blur_px: float) -> tuple[int, int, NDArray[np.float64]]:
    """First output pixel, its texture index, and the kernel for the rest of the shift.

    Output pixel p shows the texture at SUPERSAMPLING x (p - corner_px).
    """
    first = int(np.ceil(corner_px))
    position = SUPERSAMPLING * (first - corner_px)
    start = int(np.floor(position))
    taps = np.arange(-KERNEL_RADIUS, KERNEL_RADIUS + 1) - (position - start)
    kernel = np.exp(-0.5 * (taps / (SUPERSAMPLING * blur_px)) ** 2)
    return first, start, kernel / kernel.sum()
