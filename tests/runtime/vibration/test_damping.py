"""Damping is told from free decays and from nothing else."""

import numpy as np
import pytest
from signals import Floats, decay, resonance, times, tone

from runtime.vibration.damping import FreeDecay, NoDecay, damping_of
from runtime.vibration.spectrum import power_density
from runtime.vibration.tones import dominant_frequency

T_S = times(600, 60.0)


def damping(t_s: Floats, moved_px: Floats) -> FreeDecay | NoDecay:
    strongest, density = dominant_frequency(t_s, moved_px), power_density(t_s, moved_px)
    assert strongest is not None
    assert density is not None
    return damping_of(t_s, moved_px, strongest.frequency_hz, density.floor_px_per_root_hz)


@pytest.mark.parametrize(
    ("frequency_hz", "ratio"), [(3.0, 0.01), (3.0, 0.02), (3.0, 0.05), (8.0, 0.01), (2.0, 0.03)]
)
def test_a_free_decay_tells_its_damping_and_how_sure_that_is(
    frequency_hz: float, ratio: float
) -> None:
    rng = np.random.default_rng(1)
    off, relative = [], []
    for begins_s in np.linspace(0, 3, 30):
        moved = decay(T_S, frequency_hz, ratio, 0.25, begins_s) + rng.normal(0, 0.01, 600)
        result = damping(T_S, moved)
        assert isinstance(result, FreeDecay)
        assert result.frequency_hz == pytest.approx(frequency_hz, rel=0.005)
        off.append((result.ratio - ratio) / result.ratio_se)
        relative.append(result.ratio / ratio - 1)
    assert abs(np.mean(relative)) < 0.02
    assert np.std(relative) < 0.06
    assert 0.6 < np.std(off) < 1.5


def test_jitter_and_lost_frames_do_not_change_it() -> None:
    rng = np.random.default_rng(2)
    t_s = np.delete(T_S + rng.uniform(-0.002, 0.002, 600), [100, 101, 300])
    result = damping(t_s, decay(t_s, 3.0, 0.02, 0.25, 1.0) + rng.normal(0, 0.005, len(t_s)))
    assert isinstance(result, FreeDecay)
    assert abs(result.ratio - 0.02) < 3 * result.ratio_se
    assert result.ratio_se < 0.001


ENVELOPES = {
    "steady": np.ones(600),
    "a source that fades evenly": np.clip(1 - T_S / 9, 0, 1),
    "a beat": np.abs(np.cos(2 * np.pi * 0.04 * T_S)),
    "a source turned down": np.where(T_S < 4, 1.0, 0.3),
    "a decay onto forced vibration": 0.3 + 0.7 * np.exp(-T_S / 1.5),
    "a passing train": np.clip(np.minimum(T_S / 2, (8 - T_S) / 3), 0, 1),
}


@pytest.mark.parametrize("kind", ENVELOPES)
def test_forced_vibration_has_no_damping(kind: str) -> None:
    rng = np.random.default_rng(3)
    for phase in range(10):
        moved = 0.2 * ENVELOPES[kind] * tone(T_S, 3.0, 1.0, phase) + rng.normal(0, 0.01, 600)
        result = damping(T_S, moved)
        assert isinstance(result, NoDecay)
        assert result.reason


def test_wind_on_a_resonance_has_no_damping() -> None:
    rng = np.random.default_rng(4)
    accepted = 0
    for _ in range(100):
        moved = 0.1 * resonance(600, 60.0, 3.0, 0.01, rng) + rng.normal(0, 0.01, 600)
        accepted += isinstance(damping(T_S, moved), FreeDecay)
    assert accepted <= 2


def test_what_refuses_is_said() -> None:
    assert damping_of(T_S[:20], T_S[:20], 3.0, 0.001) == NoDecay(
        "too few samples without a long gap"
    )
    steady = damping_of(T_S, tone(T_S, 3.0, 0.2), 3.0, 0.001)
    assert isinstance(steady, NoDecay)
    assert "does not fall by half" in steady.reason
    beat = damping_of(T_S, ENVELOPES["a beat"] * tone(T_S, 3.0, 0.2), 3.0, 0.001)
    assert isinstance(beat, NoDecay)
    assert "forced" in beat.reason
    slow = damping_of(T_S, tone(T_S, 0.2), 0.2, 0.001)
    assert slow == NoDecay("the record is too short for this frequency")
    blip = damping_of(T_S, decay(T_S, 3.0, 0.3, 0.2, 4.0), 3.0, 0.01)
    assert isinstance(blip, NoDecay)
    assert "cycles" in blip.reason


def test_pictures_that_repeat_exactly_tell_none() -> None:
    """A frozen camera leaves a record of zeros, without any noise."""
    assert isinstance(damping_of(T_S, np.zeros(600), 5.0, 0.0), NoDecay)
    stopped = decay(T_S, 5.0, 0.02, 0.25, 0.0) * (T_S[0] + 3 > T_S)
    assert isinstance(damping_of(T_S, stopped, 5.0, 0.0), NoDecay)
