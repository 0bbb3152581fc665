"""The newest seconds of one region, and what they say."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.scale import Scale
from runtime.displacement import Displacement
from runtime.vibration.damping import FreeDecay, NoDecay, damping_of
from runtime.vibration.levels import AXES, Levels, levels_of, levels_of_regions, margin_s
from runtime.vibration.record import Floats
from runtime.vibration.samples import Samples
from runtime.vibration.sampling import rate_of, warnings_of
from runtime.vibration.spectrum import Spectrum, amplitude_spectra, power_densities
from runtime.vibration.tones import Tone, tones_of_axes

MOST_SAMPLES = 16384
"""What a window keeps at most, whatever its length in time."""
LOW_HZ = 0.5
"""Where the band of velocity and acceleration begins when nothing is said."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a window says about frequencies.

    ``resolution_hz`` is one over the record's length: frequencies nearer to each other are one.
    ``tones`` of both axes, strongest first. ``noise_floor_px_per_root_hz`` is the larger of the axes.
    ``damping`` is of the strongest tone, None without one.
    """

    rate_hz: float | None
    resolution_hz: float
    tones: tuple[Tone, ...]
    noise_floor_px_per_root_hz: float | None
    damping: FreeDecay | NoDecay | None
    warnings: tuple[str, ...]

    @property
    def nyquist_hz(self) -> float | None:
        return None if self.rate_hz is None else self.rate_hz / 2

    @property
    def dominant(self) -> Tone | None:
        return self.tones[0] if self.tones else None


@dataclass(frozen=True, slots=True)
class Record:
    """A copy of a window: times (n,) before the newest (s, negative), x and y (2, n) in pixels and the
    standard errors of each measurement (2, n), NaN where missing."""

    t_s: Floats
    moved_px: Floats
    noise_px: Floats


class VibrationWindow:
    """The newest ``window_s`` seconds of one region's displacement; memory is bounded.

    Samples older than the window, or beyond ``most_samples``, are forgotten. A sample that is not
    later than the one before (a file that starts over, a camera that came back) empties the window.
    What it says is what the functions of this package say about the same samples.
    """

    def __init__(
        self,
        window_s: float,
        level_s: float,
        *,
        low_hz: float = LOW_HZ,
        high_hz: float | None = None,
        exposure_s: float | None = None,
        most_samples: int = MOST_SAMPLES,
    ) -> None:
        self._window_ns = round(window_s * 1e9)
        self._level_s = level_s
        self._low_hz, self._high_hz = low_hz, high_hz
        self._exposure_s = exposure_s
        self._level_ns = round((level_s + margin_s(low_hz)) * 1e9)
        self._samples = Samples(4, max(self._window_ns, self._level_ns), most_samples)

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, displacement: Displacement) -> None:
        """Take one measurement; an invalid one counts as a frame whose values are missing."""
        x, x_noise = _known(displacement.x_px, displacement.x_noise_px, displacement.x_se_px)
        y, y_noise = _known(displacement.y_px, displacement.y_noise_px, displacement.y_se_px)
        self._samples.append(displacement.t_capture_ns, (x, y, x_noise, y_noise))

    def clear(self) -> None:
        """Forget all: what comes next does not go on with it."""
        self._samples.clear()

    @property
    def rate_hz(self) -> float | None:
        """Frames a second while none is lost; None for fewer than three."""
        return rate_of(self._newest(self._window_ns)[0])

    def levels(self, scale: Scale | None = None) -> Levels:
        """Levels over the newest ``level_s`` seconds; in millimetres, too, with a ``scale``."""
        t_s, values = self._newest(self._level_ns)
        return levels_of(
            t_s,
            values[:2],
            values[2:],
            scale,
            level_s=self._level_s,
            low_hz=self._low_hz,
            high_hz=self._high_hz,
        )

    @staticmethod
    def levels_together(
        windows: Sequence["VibrationWindow"],
        scales: Sequence[Scale | None],
        *,
        motion: bool = True,
    ) -> list[Levels]:
        """What ``levels`` says of each window, faster, for windows of one camera.

        They have the same settings and got the same frames. Without ``motion``, there is no peak to peak,
        velocity and acceleration.
        """
        if not windows:
            return []
        one = windows[0]
        within_ns = one._level_ns if motion else round(one._level_s * 1e9)
        t_s, _ = one._newest(within_ns)
        values = np.stack([window._newest(within_ns)[1] for window in windows])
        return levels_of_regions(
            t_s,
            values[:, :2],
            values[:, 2:],
            scales,
            level_s=one._level_s,
            low_hz=one._low_hz,
            high_hz=one._high_hz,
            motion=motion,
        )

    def record(self) -> tuple[Floats, Floats]:
        """Times (n,) before the newest (s, negative), x and y (2, n) in pixels, NaN where missing."""
        t_s, values = self._newest(self._window_ns)
        return t_s, values[:2].copy()

    def copy(self) -> Record:
        """What the window holds, for another thread; cheap beside measuring a frame."""
        t_s, values = self._newest(self._window_ns)
        return Record(t_s.copy(), values[:2].copy(), values[2:].copy())

    def spectrum(self) -> Spectrum | None:
        """Amplitude spectra over the window, for plotting; None when the record is too short."""
        return amplitude_spectra(*self.record())

    def tones(self) -> list[Tone]:
        """The sinusoids of both axes that stand above the noise, strongest first."""
        t_s, (x_px, y_px) = self.record()
        return tones_of_axes(t_s, x_px, y_px, stretch="newest")

    def dominant(self) -> Tone | None:
        """The strongest sinusoid of either axis that stands above the noise, or None."""
        return next(iter(self.tones()), None)

    def report(self) -> Report:
        """Frequencies, damping, noise floor, and what of it cannot be trusted."""
        t_s, moved_px = self.record()
        length_s = -float(t_s[0]) if len(t_s) > 1 else self._window_ns / 1e9
        tones = tuple(tones_of_axes(t_s, moved_px[0], moved_px[1], stretch="newest"))
        densities = power_densities(t_s, moved_px)
        floors = [one.floor_px_per_root_hz for one in densities if one is not None]
        damping = None
        if tones and tones[0].axis is not None:
            row = AXES.index(tones[0].axis)
            density = densities[row]
            if density is not None:
                floor = density.floor_px_per_root_hz
                damping = damping_of(t_s, moved_px[row], tones[0].frequency_hz, floor)
        return Report(
            rate_hz=rate_of(t_s),
            resolution_hz=1 / length_s,
            tones=tones,
            noise_floor_px_per_root_hz=max(floors, default=None),
            damping=damping,
            warnings=warnings_of(
                t_s,
                np.isfinite(moved_px).any(axis=0),
                low_hz=self._low_hz,
                high_hz=self._high_hz,
                peaks_hz=[tone.frequency_hz for tone in tones],
                exposure_s=self._exposure_s,
            ),
        )

    def _newest(self, within_ns: int) -> tuple[Floats, Floats]:
        """Times before the newest (s, negative) and the table's values; exact for any clock."""
        t_ns, values = self._samples.newest(within_ns)
        return (t_ns - t_ns[-1]) / 1e9 if len(t_ns) else np.zeros(0), values


def _known(
    moved_px: float | None, noise_px: float | None, se_px: float | None
) -> tuple[float, float]:
    """A value and its noise, both NaN when either is missing."""
    noise_px = se_px if noise_px is None else noise_px
    return (np.nan, np.nan) if moved_px is None or noise_px is None else (moved_px, noise_px)
