"""How well velocity, frequency and damping are told, whether their stated errors are true, and the cost.

    python -m benchmarks.vibration

makes records of displacement whose motion is known exactly, with white noise, gives them to the daemon's
own functions, and writes ``VIBRATION.md`` beside this file.
"""

import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from calibration.scale import Scale
from machine import processor
from runtime.config import Vibration
from runtime.displacement import Displacement
from runtime.vibration import VibrationWindow
from runtime.vibration.damping import FreeDecay, damping_of
from runtime.vibration.levels import levels_of
from runtime.vibration.spectrum import power_density
from runtime.vibration.tones import dominant_frequency

Floats = NDArray[np.float64]
Motion = Callable[[Floats], Floats]

RATE_HZ = 60.0
RECORDS = 100
REGIONS = 16
LEVEL_S = Vibration().level_s
LOW_HZ = Vibration().low_hz
UNIT = Scale(x_mm_per_px=1.0, y_mm_per_px=1.0, x_se_mm_per_px=0.0, y_se_mm_per_px=0.0)
REPORT = Path(__file__).with_name("VIBRATION.md")


def sine(frequency_hz: float, phase: float, amplitude_px: float = 1.0) -> Motion:
    return lambda t_s: amplitude_px * np.sin(2 * np.pi * frequency_hz * t_s + phase)


def impact(frequency_hz: float, ratio: float, begins_s: float) -> Motion:
    """A decay whose first cycle rises smoothly, as ground after a blast."""

    def moved(t_s: Floats) -> Floats:
        since_s = np.maximum(t_s - begins_s, 0)
        rising = np.sin(np.clip(since_s * frequency_hz, 0, 1) * np.pi / 2) ** 2
        falling = np.exp(-ratio * 2 * np.pi * frequency_hz * since_s)
        return np.asarray(rising * falling * np.sin(2 * np.pi * frequency_hz * since_s))

    return moved


def motions(random: np.random.Generator, ends_s: float) -> dict[str, Motion]:
    phase = random.uniform(0, 2 * np.pi)
    low, high = sine(2.0, phase), sine(5.4, 2 * phase, 0.3)
    return {
        "1.5 Hz": sine(1.5, phase),
        "3 Hz": sine(3.0, phase),
        "10 Hz": sine(10.0, phase),
        "20 Hz": sine(20.0, phase),
        "2 and 5.4 Hz": lambda t_s: low(t_s) + high(t_s),
        "impact, 2 Hz, 10 % damping, 1.5 s ago": impact(2.0, 0.1, ends_s - 1.5),
        "impact, 6 Hz, 10 % damping, 1 s ago": impact(6.0, 0.1, ends_s - 1.0),
        "impact, 6 Hz, 10 % damping, 0.4 s ago": impact(6.0, 0.1, ends_s - 0.4),
    }


def peak_rows(snr: float) -> Iterator[str]:
    """PPV, peak acceleration and range of displacement against the exact ones."""
    t_s = np.arange(round((LEVEL_S + 4) * RATE_HZ)) / RATE_HZ
    fine_s = np.linspace(t_s[-1] - LEVEL_S, t_s[-1], 20_001)
    random = np.random.default_rng(1)
    pooled: dict[str, list[list[float]]] = {}
    for _ in range(RECORDS):
        for name, motion in motions(random, float(t_s[-1])).items():
            moved, exact = motion(t_s), motion(fine_s)
            velocity = np.gradient(exact, fine_s)
            acceleration = np.gradient(velocity, fine_s)
            truth = [
                np.abs(velocity[2:-2]).max(),
                np.abs(acceleration[2:-2]).max(),
                np.ptp(exact),
            ]
            noise_px = moved[t_s >= t_s[-1] - LEVEL_S].std() / snr
            noisy = np.stack(
                [moved + random.normal(0, noise_px, len(t_s)), np.full(len(t_s), np.nan)]
            )
            levels = levels_of(
                t_s, noisy, np.full(noisy.shape, noise_px), UNIT, level_s=LEVEL_S, low_hz=LOW_HZ
            )
            row = []
            for value, se, true in zip(
                (
                    levels.ppv_mm_s,
                    levels.acceleration_peak_mm_s2,
                    levels.displacement_peak_to_peak_mm,
                ),
                (
                    levels.ppv_se_mm_s,
                    levels.acceleration_peak_se_mm_s2,
                    levels.displacement_peak_to_peak_se_mm,
                ),
                truth,
                strict=True,
            ):
                assert value is not None
                assert se is not None
                row += [value / true - 1, abs(value - true) / se]
            pooled.setdefault(name, []).append(row)
    for name, rows in pooled.items():
        table = np.array(rows)
        cells = []
        for off, ratio in (
            (table[:, 0], table[:, 1]),
            (table[:, 2], table[:, 3]),
            (table[:, 4], table[:, 5]),
        ):
            cells.append(f"{100 * off.mean():+.1f} / {100 * np.sqrt(np.mean(off**2)):.1f} %")
            cells.append(f"{100 * np.mean(ratio < 1):.0f} / {100 * np.mean(ratio < 2):.0f} %")
        yield f"| {name} | {' | '.join(cells)} |"


def frequency_rows() -> Iterator[str]:
    """Dominant frequency of 20 s, for a sinusoid and for a resonance under random force."""
    count = round(20 * RATE_HZ)
    t_s = np.arange(count) / RATE_HZ
    random = np.random.default_rng(2)
    for hz in (0.93, 3.017, 8.41, 21.7):
        pairs = []
        for _ in range(RECORDS):
            moved = sine(hz, random.uniform(0, 6))(t_s) + random.normal(0, np.sqrt(0.5) / 10, count)
            pairs.append(_frequency(t_s, moved, hz))
        yield _frequency_row(f"sinusoid, {hz:g} Hz, signal to noise 10", pairs, hz)
    for hz, ratio in ((3.0, 0.005), (3.0, 0.01), (3.0, 0.03), (8.0, 0.02)):
        pole = np.exp((-ratio + 1j * np.sqrt(1 - ratio**2)) * 2 * np.pi * hz / RATE_HZ)
        pairs = []
        for _ in range(RECORDS):
            force = random.normal(size=count + 6000)
            moved = np.real(signal.lfilter([1], [1, -pole], force))[-count:]
            moved = moved / moved.std() + random.normal(0, 0.1, count)
            pairs.append(_frequency(t_s, moved, hz * np.sqrt(1 - ratio**2)))
        yield _frequency_row(f"wind on {hz:g} Hz, {100 * ratio:g} % damping", pairs, hz)


def _frequency(t_s: Floats, moved_px: Floats, true_hz: float) -> tuple[float, float]:
    tone = dominant_frequency(t_s, moved_px)
    assert tone is not None
    return tone.frequency_hz - true_hz, tone.frequency_se_hz


def _frequency_row(name: str, pairs: list[tuple[float, float]], hz: float) -> str:
    off, se = np.array(pairs).T
    ratio = np.abs(off) / se
    return (
        f"| {name} | {100 * np.sqrt(np.mean(off**2)) / hz:.4f} % | {100 * np.abs(off).max() / hz:.4f} % "
        f"| {100 * np.mean(ratio < 1):.0f} / {100 * np.mean(ratio < 2):.0f} % |"
    )


def damping_rows() -> Iterator[str]:
    """Free decays, and what must be refused."""
    t_s = np.arange(round(10 * RATE_HZ)) / RATE_HZ
    random = np.random.default_rng(3)
    for hz, ratio in ((3.0, 0.01), (3.0, 0.02), (3.0, 0.05), (8.0, 0.01), (2.0, 0.03)):
        found: list[FreeDecay] = []
        for _ in range(RECORDS):
            since_s = np.maximum(t_s - random.uniform(0, 3), 0)
            moved = (
                0.25 * np.exp(-ratio * 2 * np.pi * hz * since_s) * np.sin(2 * np.pi * hz * since_s)
            )
            result = _damping(t_s, moved + random.normal(0, 0.01, len(t_s)))
            found += [result] if result is not None else []
        off = np.array([one.ratio - ratio for one in found])
        within = np.abs(off) / [one.ratio_se for one in found]
        yield (
            f"| free decay, {hz:g} Hz, {100 * ratio:g} % | {len(found)}/{RECORDS} "
            f"| {100 * np.sqrt(np.mean(off**2)) / ratio:.1f} % "
            f"| {100 * np.mean(within < 1):.0f} / {100 * np.mean(within < 2):.0f} % |"
        )
    forced = {
        "steady sinusoid": np.ones(len(t_s)),
        "a source that fades evenly": np.clip(1 - t_s / 9, 0, 1),
        "a beat": np.abs(np.cos(2 * np.pi * 0.04 * t_s)),
        "a passing train": np.clip(np.minimum(t_s / 2, (8 - t_s) / 3), 0, 1),
        "a decay onto forced vibration": 0.3 + 0.7 * np.exp(-t_s / 1.5),
    }
    for name, envelope in forced.items():
        told = 0
        for _ in range(RECORDS):
            moved = 0.2 * envelope * sine(3.0, random.uniform(0, 6))(t_s)
            told += _damping(t_s, moved + random.normal(0, 0.01, len(t_s))) is not None
        yield f"| {name} | {told}/{RECORDS} | - | - |"
    told = 0
    pole = np.exp((-0.01 + 1j) * 2 * np.pi * 3.0 / RATE_HZ)
    for _ in range(RECORDS):
        moved = np.real(signal.lfilter([1], [1, -pole], random.normal(size=len(t_s) + 6000)))[6000:]
        moved = 0.1 * moved / moved.std() + random.normal(0, 0.01, len(t_s))
        told += _damping(t_s, moved) is not None
    yield f"| wind on 3 Hz, 1 % damping | {told}/{RECORDS} | - | - |"


def _damping(t_s: Floats, moved_px: Floats) -> FreeDecay | None:
    tone, density = dominant_frequency(t_s, moved_px), power_density(t_s, moved_px)
    assert tone is not None
    assert density is not None
    found = damping_of(t_s, moved_px, tone.frequency_hz, density.floor_px_per_root_hz)
    return found if isinstance(found, FreeDecay) else None


def costs() -> tuple[float, float]:
    """Milliseconds of processor time for levels and for reports of all regions, medians."""
    random = np.random.default_rng(4)
    windows = [VibrationWindow(10.0, LEVEL_S) for _ in range(REGIONS)]
    for index in range(round(11 * RATE_HZ)):
        t_s = index / RATE_HZ + random.uniform(-0.001, 0.001)
        for window in windows:
            x_px, y_px = random.normal(0, 0.01, 2)
            x_px += 0.1 * np.sin(2 * np.pi * 3.1 * t_s) + 0.03 * np.sin(2 * np.pi * 7.3 * t_s)
            window.add(Displacement("region", round(t_s * 1e9), x_px, y_px, 0.01, 0.01, valid=True))
    scales = [UNIT] * REGIONS
    levels_ms = _processor_ms(lambda: VibrationWindow.levels_together(windows, scales), 50)
    return levels_ms, _processor_ms(lambda: [window.report() for window in windows], 10)


def _processor_ms(call: Callable[[], object], times: int) -> float:
    taken_s = []
    for _ in range(times):
        before_s = time.thread_time()
        call()
        taken_s.append(time.thread_time() - before_s)
    return 1e3 * float(np.median(taken_s))


def report() -> Iterator[str]:
    yield "# Accuracy of velocity, frequency and damping\n"
    yield "Made by `python -m benchmarks.vibration`; change that, not this file.\n"
    yield (
        f"{processor()}, Python {platform.python_version()}, numpy {np.__version__}. Records at "
        f"{RATE_HZ:g} frames a second with exact motion and white noise, {RECORDS} for each row. Pairs "
        "are: mean error / RMS error; share of records within one / two stated standard errors, where "
        "68 / 95 % would be perfect.\n"
    )
    for snr in (10.0, 40.0):
        yield f"## Peaks over {LEVEL_S:g} s, RMS displacement {snr:g} times the noise\n"
        yield "| motion | PPV | within | peak acceleration | within | peak to peak | within |"
        yield "|---|---:|---:|---:|---:|---:|---:|"
        yield from peak_rows(snr)
        yield ""
    yield "## Dominant frequency of 20 s\n"
    yield "| motion | RMS error | largest error | within |\n|---|---:|---:|---:|"
    yield from frequency_rows()
    yield (
        "\nOf a wide resonance that wind drives, 20 s hold few independent swings; the stated error is "
        "then too small by up to about two.\n"
    )
    yield "## Damping ratio from 10 s\n"
    yield "| motion | told | RMS error of it | within |\n|---|---:|---:|---:|"
    yield from damping_rows()
    levels_ms, reports_ms = costs()
    share = (10 * levels_ms + reports_ms) / 10
    yield (
        f"\n## Cost\n\n{REGIONS} regions, windows of 10 s, two tones: levels of all, ten times a second, "
        f"{levels_ms:.1f} ms each time; reports of all, once a second, {reports_ms:.0f} ms: together "
        f"{share:.0f} % of one core."
    )


if __name__ == "__main__":
    REPORT.write_text("\n".join(report()) + "\n")
    print(f"wrote {REPORT.name}")
