"""Clips whose motion is known exactly, for the accuracy benchmark and the tests.

A texture is a formula (plane waves, or blocks seen through a lens), evaluated at the moved pixel
centres for every frame: truth has no interpolation in it. ``cv2.warpAffine`` and ``cv2.remap`` would
not do: they round positions to 1/32 px, which is far above what is measured here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import chain
from typing import Protocol

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from scipy.special import ndtr

from runtime.frame import Frame

Floats = NDArray[np.float64]


class Texture(Protocol):
    """Something that can be looked at from anywhere."""

    def at(self, x_px: float, y_px: float) -> Floats:
        """The texture moved right by x_px and down by y_px, (height, width) grey levels, no noise."""
        ...


@dataclass(frozen=True)
class Scene:
    """A random texture of plane waves with wavelengths between finest_px and coarsest_px.

    Its standard deviation is ``contrast_grey`` about ``mean_grey``. A finest wavelength of 2 px
    would be the Nyquist limit; a lens hardly passes anything below 4 px.
    """

    width_px: int = 64
    height_px: int = 64
    mean_grey: float = 120.0
    contrast_grey: float = 28.0
    finest_px: float = 5.0
    coarsest_px: float = 40.0
    seed: int = 1

    def at(self, x_px: float, y_px: float) -> Floats:
        """The scene moved right by x_px and down by y_px, (height, width) grey levels, no noise."""
        wave_x, wave_y, down, across = self._waves
        phase = np.exp(-1j * (wave_x * x_px + wave_y * y_px))
        texture: Floats = ((down * phase) @ across).real
        return self.mean_grey + self.contrast_grey * texture

    def turned(self, x_px: float, y_px: float, turn_rad: float) -> Floats:
        """The scene turned clockwise about the picture's middle, then moved, as ``at`` has it."""
        wave_x, wave_y, down, across = self._waves
        amplitude = down[0]
        turned_x = wave_x * np.cos(turn_rad) - wave_y * np.sin(turn_rad)
        turned_y = wave_x * np.sin(turn_rad) + wave_y * np.cos(turn_rad)
        middle_x, middle_y = (self.width_px - 1) / 2, (self.height_px - 1) / 2
        phase = np.angle(amplitude) + wave_x * middle_x + wave_y * middle_y
        phase -= turned_x * (middle_x + x_px) + turned_y * (middle_y + y_px)
        # Half as many bits, and no imaginary part, for minutes of it: wrong by less than 1e-4 px.
        down = np.outer(np.arange(self.height_px), turned_y).astype(np.float32)
        across = (np.outer(turned_x, np.arange(self.width_px)) + phase[:, None]).astype(np.float32)
        left = np.concatenate([np.cos(down), -np.sin(down)], axis=1)
        texture = left @ np.concatenate([np.cos(across), np.sin(across)])
        size = self.contrast_grey * float(np.abs(amplitude[0]))
        turned: Floats = self.mean_grey + size * texture.astype(np.float64)
        return turned

    @cached_property
    def _waves(self) -> tuple[Floats, Floats, NDArray[np.complex128], NDArray[np.complex128]]:
        rng = np.random.default_rng(self.seed)
        count = 200
        wave = 2 * np.pi * rng.uniform(1 / self.coarsest_px, 1 / self.finest_px, count)
        angle, phase = rng.uniform(0, 2 * np.pi, (2, count))
        # Equal amplitudes at evenly spread wave numbers: energy falls with the wave number, as it
        # does in photographs, because the ring of waves that share it grows.
        amplitude = np.sqrt(2 / count) * np.exp(1j * phase)
        wave_x, wave_y = wave * np.cos(angle), wave * np.sin(angle)
        down = np.exp(1j * np.outer(np.arange(self.height_px), wave_y)) * amplitude
        across = np.exp(1j * np.outer(wave_x, np.arange(self.width_px)))
        return wave_x, wave_y, down, across


@dataclass(frozen=True)
class Masonry:
    """Flat blocks of random shades between darker joints, seen through a lens of ``blur_px``.

    All that can be measured lies on edges. A block is a rectangle that a Gaussian has blurred, so its
    grey level is a product of normal distribution functions.
    """

    width_px: int = 64
    height_px: int = 64
    joint_grey: float = 70.0
    block_grey: tuple[float, float] = (100.0, 180.0)
    blur_px: float = 0.8
    seed: int = 1

    def at(self, x_px: float, y_px: float) -> Floats:
        """The wall moved right by x_px and down by y_px, (height, width) grey levels, no noise."""
        left, right, top, bottom, shade = self._blocks
        across = self._inside(self.width_px, x_px, left, right)
        down = self._inside(self.height_px, y_px, top, bottom)
        wall: Floats = (down.T * shade) @ across
        return self.joint_grey + wall

    def _inside(self, count: int, moved_px: float, begin: Floats, end: Floats) -> Floats:
        """(blocks, count) how much of each pixel's light comes from between two edges."""
        place = np.arange(count) - moved_px
        begins, ends = ((place - edge[:, None]) / self.blur_px for edge in (begin, end))
        return np.asarray(ndtr(begins) - ndtr(ends), dtype=np.float64)

    @cached_property
    def _blocks(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Left, right, top, bottom and shade above the joints of every block."""
        rng = np.random.default_rng(self.seed)
        rows, margin = [], 24.0
        top = -margin - rng.uniform(0, 10)
        while top < self.height_px + margin:
            high, left = rng.uniform(9, 13), -margin - rng.uniform(0, 16)
            while left < self.width_px + margin:
                wide = rng.uniform(12, 20)
                shade = rng.uniform(*self.block_grey) - self.joint_grey
                rows.append((left, left + wide, top, top + high, shade))
                left += wide + 2
            top += high + 2
        left_px, right_px, top_px, bottom_px, shades = np.array(rows).T
        return left_px, right_px, top_px, bottom_px, shades


def sine(count: int, rate_hz: float, frequency_hz: float, amplitude_px: float) -> Floats:
    """``amplitude_px * sin(2 pi f t)`` at ``count`` frame times; 0 at frame 0."""
    moved: Floats = amplitude_px * np.sin(2 * np.pi * frequency_hz * np.arange(count) / rate_hz)
    return moved


def shake(count: int, rate_hz: float, low_hz: float, high_hz: float, seed: int) -> Floats:
    """Random motion between two frequencies, evenly over them, of standard deviation 1."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=count))
    frequency_hz = np.fft.rfftfreq(count, 1 / rate_hz)
    spectrum[(frequency_hz < low_hz) | (frequency_hz > high_hz)] = 0
    moved = np.fft.irfft(spectrum, count)
    even: Floats = moved / moved.std()
    return even


def render(
    scene: Texture,
    x_px: Floats,
    y_px: Floats,
    *,
    rate_hz: float = 30.0,
    noise_grey: float = 1.5,
    seed: int = 0,
    gain: Sequence[float] | Floats | None = None,
) -> Iterator[Frame]:
    """Frames of the texture at each (x_px, y_px), with white Gaussian noise, rounded to 8 bits.

    ``gain`` multiplies the brightness of each frame. The three channels are equal.
    """
    rng = np.random.default_rng(seed)
    still: Floats | None = None
    for index, (x, y) in enumerate(zip(x_px, y_px, strict=True)):
        if x == 0 and y == 0:
            still = scene.at(0, 0) if still is None else still
            clean = still
        else:
            clean = scene.at(float(x), float(y))
        light = 1.0 if gain is None else float(gain[index])
        grey = light * clean + rng.normal(0, noise_grey, clean.shape)
        image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
        yield Frame(index, round(index * 1e9 / rate_hz), np.repeat(image[:, :, None], 3, axis=2))


def compressed(
    frames: Iterable[Frame], *, crf: int = 18, rate_hz: int = 30, group: int = 30
) -> Iterator[Frame]:
    """The same frames after H.264 (libx264, preset medium, 4:2:0, key frame every ``group``)."""
    frames = iter(frames)
    first = next(frames)
    store = BytesIO()
    times = []
    with av.open(store, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=rate_hz)
        stream.height, stream.width = first.image.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "medium", "g": str(group), "threads": "1"}
        converter = VideoReformatter()  # one for all: making it takes longer than using it
        for frame in chain((first,), frames):
            times.append(frame.t_capture_ns)
            picture = av.VideoFrame.from_ndarray(frame.image, format="bgr24")
            out.mux(stream.encode(converter.reformat(picture, format="yuv420p")))
        out.mux(stream.encode())
    store.seek(0)
    with av.open(store, "r") as container:
        converter = VideoReformatter()
        for index, picture in enumerate(container.decode(video=0)):
            image = converter.reformat(picture, format="bgr24").to_ndarray()
            pixels = image.astype(np.uint8, copy=False)
            yield Frame(index, times[index], pixels, predicted=not picture.key_frame)
