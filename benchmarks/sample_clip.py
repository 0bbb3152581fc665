"""Renders the sample clip that ships with the kit: a footbridge whose deck vibrates, exactly known.

    python -m benchmarks.sample_clip

writes ``runtime/demo/sample/footbridge.mp4`` and ``footbridge.json`` with its truth. Everything is drawn,
nothing is photographed, so the clip carries the kit's own licence. The deck is one picture at twice
the clip's resolution; in each frame every column of it is resampled at its exact vertical position
(first bending mode of a simple span) by a Gaussian evaluated at that fraction of a pixel. Camera noise
is added, the frame is dithered to 8 bits, and H.264 compresses it.
"""

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from atomic_file import replaced

Layer = NDArray[np.float32]

FOLDER = Path(__file__).resolve().parents[1] / "runtime" / "sample"
WIDTH_PX, HEIGHT_PX = 640, 360
RATE_HZ = 30
LENGTH_S = 16.0
FREQUENCY_HZ = 2.3
AMPLITUDE_PX = 0.25
STARTS_S, ENDS_S = 3.0, 11.0
NOISE_GREY = 1.0
CRF = "12"
SPAN_PX = (92.0, 548.0)
BLUR_PX = 0.6
RADIUS = 5
REGIONS = {
    "midspan": {"x": 288, "y": 168, "width": 64, "height": 38},
    "quarter": {"x": 174, "y": 168, "width": 64, "height": 38},
    "pier": {"x": 40, "y": 230, "width": 48, "height": 64},
}


def main() -> None:
    random = np.random.default_rng(7)
    still, deck = _background(random), _deck(random)
    path = FOLDER / "footbridge.mp4"
    with replaced(path) as scratch:
        _encode(scratch, still, deck, random)
    with replaced(FOLDER / "footbridge.json") as scratch:
        scratch.write_text(json.dumps(truth(), indent=1) + "\n")
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def truth() -> dict[str, object]:
    """What is true of the clip; the amplitude of a region is its mean over the region's columns."""
    return {
        "made_by": "python -m benchmarks.sample_clip",
        "frequency_hz": FREQUENCY_HZ,
        "starts_s": STARTS_S,
        "ends_s": ENDS_S,
        "noise_grey": NOISE_GREY,
        "regions": {
            name: box
            | {
                "amplitude_y_px": 0.0
                if name == "pier"
                else round(float(_shape()[box["x"] : box["x"] + box["width"]].mean()), 4)
            }
            for name, box in REGIONS.items()
        },
    }


def _shape() -> NDArray[np.float64]:
    """Amplitude of each column of the picture (px): half a sine between the piers."""
    along = (np.arange(WIDTH_PX) - SPAN_PX[0]) / (SPAN_PX[1] - SPAN_PX[0])
    shape: NDArray[np.float64] = AMPLITUDE_PX * np.sin(np.pi * np.clip(along, 0, 1))
    return shape


def _history(t_s: float) -> float:
    """-1..1: quiet, a burst that swells and dies within half a second, quiet again."""
    envelope = np.clip(min(t_s - STARTS_S, ENDS_S - t_s) / 0.5, 0, 1)
    return float(envelope * np.sin(2 * np.pi * FREQUENCY_HZ * t_s))


def _encode(path: Path, still: Layer, deck: Layer, random: np.random.Generator) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.time_base = Fraction(1, RATE_HZ)
        # Lesser efforts move small motion to the next quarter pixel, which is how far H.264 codes motion.
        stream.options = {"crf": CRF, "preset": "veryslow", "tune": "grain"}
        for index in range(round(LENGTH_S * RATE_HZ)):
            layer = _shifted(deck, _shape() * _history(index / RATE_HZ))
            picture = still * (1 - layer[..., 3:]) + layer[..., :3]
            picture += random.normal(0, NOISE_GREY, picture.shape[:2])[..., None]
            dithered = np.floor(picture + random.random(picture.shape))
            pixels = np.clip(dithered, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _shifted(layer: Layer, down_px: NDArray[np.float64]) -> Layer:
    """A layer at double resolution on the clip's pixels, each column moved down by its own amount."""
    position = -2 * down_px
    whole = np.floor(position).astype(int)
    columns = np.arange(WIDTH_PX)
    rows = 2 * np.arange(HEIGHT_PX)[:, None] + whole + RADIUS + 2
    shifted = np.zeros((HEIGHT_PX, WIDTH_PX, layer.shape[2]), np.float32)
    total = np.zeros(WIDTH_PX)
    for tap in range(-RADIUS, RADIUS + 1):
        weight = np.exp(-0.5 * ((tap - (position - whole)) / (2 * BLUR_PX)) ** 2)
        total += weight
        shifted += (layer[rows + tap, columns] * weight[:, None]).astype(np.float32)
    return np.divide(shifted, total[:, None], dtype=np.float32)


def _halved(layer: Layer) -> Layer:
    """Across: low-pass and halve. Down: pad for the shifts, which are made in every frame."""
    blurred = cv2.GaussianBlur(layer, (2 * RADIUS + 1, 1), 2 * BLUR_PX, sigmaY=1e-6)[:, ::2]
    return np.pad(blurred, ((RADIUS + 2, RADIUS + 4), (0, 0), (0, 0)), mode="edge")


def _clouds(random: np.random.Generator, height: int, width: int, coarsest_px: float) -> Layer:
    """Fractal noise of zero mean and unit deviation."""
    total = np.zeros((height, width), np.float32)
    size, strength = coarsest_px, 1.0
    while size >= 1:
        grid = random.standard_normal((int(height / size) + 3, int(width / size) + 3))
        fine = cv2.resize(
            grid.astype(np.float32), None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC
        )
        total += strength * fine[:height, :width]
        size, strength = size / 2, strength * 0.62
    normal: Layer = (total - total.mean()) / total.std()
    return normal


def _tint(shade: Layer, colour: tuple[int, int, int], contrast: float) -> Layer:
    """Blue-green-red ``colour`` lightened and darkened by noise."""
    return np.array(colour, np.float32) * (1 + contrast * shade[..., None])


def _background(random: np.random.Generator) -> Layer:
    """Sky, hills, river and two masonry piers, (height, width, 3); never moves."""
    height, width = 2 * HEIGHT_PX, 2 * WIDTH_PX
    sky = np.linspace(0, 1, height)[:, None, None]
    canvas = (1 - sky) * np.array((205, 160, 118)) + sky * np.array((232, 222, 214))
    veil = np.clip(_clouds(random, height, width, 300) * 0.3 + 0.15, 0, 1)[..., None]
    canvas = (canvas * (1 - veil) + 245 * veil).astype(np.float32)
    columns = np.arange(width)
    for level, colour, rough in ((300, (150, 128, 108), 40), (352, (84, 110, 82), 30)):
        ridge = (
            level + rough * _clouds(random, 1, width, 400)[0] + 20 * np.sin(columns / 190 + rough)
        )
        mask = np.arange(height)[:, None] > ridge
        hill = _tint(_clouds(random, height, width, 18), colour, 0.16)
        canvas[mask] = hill[mask]
    river = slice(548, height)
    ripples = cv2.GaussianBlur(_clouds(random, height - 548, width, 24), (41, 1), 12, sigmaY=1e-6)
    canvas[river] = _tint(ripples / ripples.std(), (128, 112, 84), 0.10)
    for left in (60, 1096):
        _masonry(canvas[412:644, left : left + 124], random)
    return _shifted(_halved(canvas), np.zeros(WIDTH_PX))


def _masonry(wall: Layer, random: np.random.Generator) -> None:
    """Courses of blocks with joints, drawn into ``wall``."""
    height, width = wall.shape[:2]
    wall[:] = _tint(_clouds(random, height, width, 10), (104, 118, 126), 0.12)
    for course, top in enumerate(range(0, height, 24)):
        for left in range(-20 if course % 2 else 0, width, 40):
            block = wall[top : top + 24, max(left, 0) : max(left + 40, 0)]
            block *= random.uniform(0.75, 1.2)
            block[:, :2] *= 0.55
        wall[top : top + 2] *= 0.5
    # Shade to the right, as if the sun stood at the left.
    wall *= np.linspace(1.1, 0.65, width, dtype=np.float32)[None, :, None]


def _deck(random: np.random.Generator) -> Layer:
    """A steel plate girder with a railing: colour times alpha, and alpha, at double resolution, rows padded."""
    height, width = 2 * HEIGHT_PX, 2 * WIDTH_PX
    alpha = np.zeros((height, width), np.uint8)
    shade = np.full((height, width), 1.0, np.float32)
    left, right, top, bottom = 70, width - 70, 330, 418

    def bar(start: tuple[int, int], end: tuple[int, int], thickness: int, light: float) -> None:
        cv2.line(alpha, start, end, 255, thickness, cv2.LINE_AA)
        cv2.line(shade, start, end, light, thickness, cv2.LINE_AA)

    cv2.rectangle(alpha, (left, top), (right, bottom), 255, -1)
    for place in range(left, right + 1, 56):
        bar((place, top - 52), (place, bottom), 7, 1.2)
    for place in range(left, right, 14):
        bar((place, top - 46), (place, top), 2, 0.8)
    bar((left, top - 50), (right, top - 50), 7, 1.35)
    bar((left, top), (right, top), 10, 1.3)
    bar((left, bottom), (right, bottom), 12, 0.75)
    for row in (top + 12, bottom - 14):
        for place in range(left + 8, right, 16):
            cv2.circle(shade, (place + 2, row + 2), 4, 0.55, -1, cv2.LINE_AA)
            cv2.circle(shade, (place, row), 4, 1.45, -1, cv2.LINE_AA)
    rust = np.clip(_clouds(random, height, width, 60) - 0.6, 0, 1)[..., None]
    steel = _tint(_clouds(random, height, width, 8), (96, 74, 60), 0.18)
    colour = (
        steel * (1 - rust) + _tint(_clouds(random, height, width, 8), (60, 84, 128), 0.2) * rust
    )
    cover = (alpha / np.float32(255))[..., None]
    painted = np.clip(colour * shade[..., None], 0, 255) * cover
    return _halved(np.dstack([painted, cover]).astype(np.float32))


if __name__ == "__main__":
    main()
