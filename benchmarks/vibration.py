"""How well velocity, frequency and damping are told, whether their stated errors are true, and the cost.

Records of displacement whose motion is known exactly, with white noise, go to the daemon's own functions.
A part of ``python -m benchmarks.marks``.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from benchmarks.verdicts import Mark, percent, rms
from calibration.scale import Scale
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
MARK_SNR = 10.0
SNRS = (MARK_SNR, 40.0)
PPV_TOLERANCE, FREQUENCY_TOLERANCE = 0.05, 0.001
SINUSOID = "sinusoid"
FAINT_HZ, FAINT = (3.0, 10.0, 20.0), (0.5, 1.0, 2.0, 4.0)


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


def peaks(snr: float) -> dict[str, Floats]:
    """PPV, peak acceleration and range of displacement of each motion against the exact ones.

    (RECORDS, 6) for each: relative error and error over the stated one, of each of the three by turns.
    """
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
    return {name: np.array(rows) for name, rows in pooled.items()}


def _peak_rows(pooled: dict[str, Floats]) -> Iterator[str]:
    for name, table in pooled.items():
        cells = []
        for off, ratio in zip(table.T[::2], table.T[1::2], strict=True):
            cells.append(f"{100 * off.mean():+.1f} / {100 * rms(off):.1f} %")
            cells.append(f"{100 * np.mean(ratio < 1):.0f} / {100 * np.mean(ratio < 2):.0f} %")
        yield f"| {name} | {' | '.join(cells)} |"


def faint() -> dict[tuple[float, float], Floats]:
    """PPV of sinusoids near the noise, by frequency and amplitude over noise; (RECORDS, 2) as above."""
    t_s = np.arange(round((LEVEL_S + 4) * RATE_HZ)) / RATE_HZ
    random = np.random.default_rng(5)
    noise_px = 0.01
    found: dict[tuple[float, float], Floats] = {}
    for hz, amplitude in product(FAINT_HZ, FAINT):
        true = 2 * np.pi * hz * amplitude * noise_px
        rows = []
        for _ in range(RECORDS):
            moved = sine(hz, random.uniform(0, 6), amplitude * noise_px)(t_s)
            noisy = np.stack(
                [moved + random.normal(0, noise_px, len(t_s)), np.full(len(t_s), np.nan)]
            )
            levels = levels_of(
                t_s, noisy, np.full(noisy.shape, noise_px), UNIT, level_s=LEVEL_S, low_hz=LOW_HZ
            )
            assert levels.ppv_mm_s is not None
            assert levels.ppv_se_mm_s is not None
            off = levels.ppv_mm_s - true
            rows.append((off / true, abs(off) / levels.ppv_se_mm_s))
        found[hz, amplitude] = np.array(rows)
    return found


def frequencies() -> dict[str, Floats]:
    """Dominant frequency of 20 s, for a sinusoid and for a resonance under random force.

    (RECORDS, 2) for each: relative error and error over the stated one.
    """
    count = round(20 * RATE_HZ)
    t_s = np.arange(count) / RATE_HZ
    random = np.random.default_rng(2)
    found: dict[str, Floats] = {}
    for hz in (0.93, 3.017, 8.41, 21.7):
        pairs = []
        for _ in range(RECORDS):
            moved = sine(hz, random.uniform(0, 6))(t_s) + random.normal(0, np.sqrt(0.5) / 10, count)
            pairs.append(_frequency(t_s, moved, hz))
        found[f"{SINUSOID}, {hz:g} Hz, signal to noise 10"] = np.array(pairs)
    for hz, ratio in ((3.0, 0.005), (3.0, 0.01), (3.0, 0.03), (8.0, 0.02)):
        pole = np.exp((-ratio + 1j * np.sqrt(1 - ratio**2)) * 2 * np.pi * hz / RATE_HZ)
        pairs = []
        for _ in range(RECORDS):
            force = random.normal(size=count + 6000)
            moved = np.real(signal.lfilter([1], [1, -pole], force))[-count:]
            moved = moved / moved.std() + random.normal(0, 0.1, count)
            pairs.append(_frequency(t_s, moved, hz * np.sqrt(1 - ratio**2)))
        found[f"wind on {hz:g} Hz, {100 * ratio:g} % damping"] = np.array(pairs)
    return found


def _frequency(t_s: Floats, moved_px: Floats, true_hz: float) -> tuple[float, float]:
    tone = dominant_frequency(t_s, moved_px)
    assert tone is not None
    off_hz = tone.frequency_hz - true_hz
    return off_hz / true_hz, abs(off_hz) / tone.frequency_se_hz


def _frequency_rows(found: dict[str, Floats]) -> Iterator[str]:
    for name, table in found.items():
        off, ratio = table.T
        yield (
            f"| {name} | {percent(rms(off), 4)} | {percent(np.abs(off).max(), 4)} "
            f"| {100 * np.mean(ratio < 1):.0f} / {100 * np.mean(ratio < 2):.0f} % |"
        )


def damping_rows() -> list[str]:
    """Free decays, and what must be refused."""
    rows = []
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
        rows.append(
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
        rows.append(f"| {name} | {told}/{RECORDS} | - | - |")
    told = 0
    pole = np.exp((-0.01 + 1j) * 2 * np.pi * 3.0 / RATE_HZ)
    for _ in range(RECORDS):
        moved = np.real(signal.lfilter([1], [1, -pole], random.normal(size=len(t_s) + 6000)))[6000:]
        moved = 0.1 * moved / moved.std() + random.normal(0, 0.01, len(t_s))
        told += _damping(t_s, moved) is not None
    rows.append(f"| wind on 3 Hz, 1 % damping | {told}/{RECORDS} | - | - |")
    return rows


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


def marks(at_ten: dict[str, Floats], found: dict[str, Floats]) -> Iterator[Mark]:
    """Verdicts on PPV at signal-to-noise 10 and on the frequency of sinusoids."""
    off = {name: table[:, 0] for name, table in at_ten.items()}
    worst = max(off, key=lambda name: rms(off[name]))
    outside = sum(int(np.sum(np.abs(one) > PPV_TOLERANCE)) for one in off.values())
    yield Mark(
        f"PPV at signal-to-noise {MARK_SNR:g}",
        f"within {percent(PPV_TOLERANCE, 0)}",
        f"RMS error {percent(rms(np.concatenate(list(off.values()))), 1)}, at worst "
        f"{percent(rms(off[worst]), 1)} ({worst}); {outside} of {RECORDS * len(off)} records are "
        f"farther off, at most {percent(max(np.abs(one).max() for one in off.values()), 1)}",
        rms(off[worst]) <= PPV_TOLERANCE,
    )
    largest = max(np.abs(table[:, 0]).max() for name, table in found.items() if SINUSOID in name)
    yield Mark(
        "frequency of a sinusoid in 20 s, signal-to-noise 10",
        f"within {percent(FREQUENCY_TOLERANCE, 1)}",
        f"largest error of {RECORDS} records each {percent(largest, 3)}",
        bool(largest <= FREQUENCY_TOLERANCE),
    )


def section(
    by_snr: dict[float, dict[str, Floats]],
    near_noise: dict[tuple[float, float], Floats],
    found: dict[str, Floats],
    dampings: Sequence[str],
    costs_ms: tuple[float, float],
) -> Iterator[str]:
    yield (
        f"Records at {RATE_HZ:g} frames a second with exact motion and white noise, {RECORDS} for each "
        "row. Pairs are: mean error / RMS error; share of records within one / two stated standard "
        "errors, where 68 / 95 % would be perfect.\n"
    )
    for snr, pooled in by_snr.items():
        yield f"### Peaks over {LEVEL_S:g} s, RMS displacement {snr:g} times the noise\n"
        yield "| motion | PPV | within | peak acceleration | within | peak to peak | within |"
        yield "|---|---:|---:|---:|---:|---:|---:|"
        yield from _peak_rows(pooled)
        yield ""
    yield f"### PPV of a faint sinusoid over {LEVEL_S:g} s\n"
    yield (
        "By its amplitude over the noise of one measurement: mean error / RMS error, and within. Half the "
        "noise is lost most of the time; the noise itself is told, at every frequency.\n"
    )
    yield "| amplitude | " + " | ".join(f"{hz:g} Hz | within" for hz in FAINT_HZ) + " |"
    yield "|---:|" + "---:|" * 2 * len(FAINT_HZ)
    for amplitude in FAINT:
        cells = []
        for hz in FAINT_HZ:
            off, ratio = near_noise[hz, amplitude].T
            cells.append(f"{100 * off.mean():+.0f} / {100 * rms(off):.0f} %")
            cells.append(f"{100 * np.mean(ratio < 1):.0f} / {100 * np.mean(ratio < 2):.0f} %")
        yield f"| {amplitude:g} | {' | '.join(cells)} |"
    yield ""
    yield "### Dominant frequency of 20 s\n"
    yield "| motion | RMS error | largest error | within |\n|---|---:|---:|---:|"
    yield from _frequency_rows(found)
    yield (
        "\nOf a wide resonance that wind drives, 20 s hold few independent swings; the stated error is "
        "then too small by up to about two.\n"
    )
    yield "### Damping ratio from 10 s\n"
    yield "| motion | told | RMS error of it | within |\n|---|---:|---:|---:|"
    yield from dampings
    levels_ms, reports_ms = costs_ms
    share = (10 * levels_ms + reports_ms) / 10
    yield (
        f"\n### Cost\n\n{REGIONS} regions, windows of 10 s, two tones: levels of all, ten times a second, "
        f"{levels_ms:.1f} ms each time; reports of all, once a second, {reports_ms:.0f} ms: together "
        f"{share:.0f} % of one core.\n"
    )
