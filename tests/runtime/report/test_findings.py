"""What a replay's page says, on records whose content is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signals import decay, tone

from calibration.scale import Scale
from runtime.camera.video_file import VideoFacts
from runtime.config import Config
from runtime.config.file import parse
from runtime.replay.replay import RegionHistory, Replay
from runtime.report import plots
from runtime.report.findings import findings_of
from runtime.report.page import _pm
from runtime.report.settings import settings_rows
from runtime.vibration.damping import FreeDecay

NOISE_PX = 0.01
T_S = np.arange(1200) / 60


def history(name: str, x_px: Any, y_px: Any | None = None, **others: Any) -> RegionHistory:
    """A region with white noise on it; NaN is missing."""
    random = np.random.default_rng(len(name))
    rows = [np.asarray(x_px, float), np.zeros(len(T_S)) if y_px is None else y_px]
    x, y = (
        [
            None if np.isnan(value) else float(value)
            for value in row + random.normal(0, NOISE_PX, len(row))
        ]
        for row in rows
    )
    noise = [NOISE_PX] * len(T_S)
    return RegionHistory(
        name,
        t_s=others.pop("t_s", T_S).tolist(),
        x_px=x,
        y_px=y,
        x_se_px=list(noise),
        y_se_px=list(noise),
        x_noise_px=list(noise),
        y_noise_px=list(noise),
        **others,
    )


def replay(*regions: RegionHistory, codec: str = "ffv1", damage: str | None = None) -> Replay:
    facts = VideoFacts("Matroska", codec, "gray", None, 1000, 60.0, 0)
    return Replay(
        "a.mkv", (64, 64), list(regions), [], damage, facts, np.zeros((64, 64, 3), np.uint8)
    )


def config(count: int = 1, more: str = "") -> Config:
    regions = "".join(
        f'[[regions]]\nname = "r{number}"\nx = 8\ny = 8\nwidth = 32\nheight = 32\n'
        for number in range(count)
    )
    return parse(f'[camera]\nsource = "x"\n{regions}{more}', Path("x.toml"))


def test_tones_of_both_axes_and_the_noise_floor_are_told() -> None:
    x_px = decay(T_S, 4.0, 0.02, 1.0, 1.0)
    y_px = tone(T_S, 9.0, 0.2)
    [one] = findings_of(replay(history("r0", x_px, y_px)), config()).regions
    hz = {round(found.frequency_hz, 1): found.axis for found in one.tones}
    assert (hz[4.0], hz[9.0]) == ("x", "y")
    # White noise of s px has a mean of 6 s² / n in a Hann periodogram of squared amplitudes.
    expected_px = NOISE_PX * np.sqrt(6 / len(T_S))
    assert one.floor_px[1] == pytest.approx(expected_px, rel=0.15)
    assert one.noise_px == (NOISE_PX, NOISE_PX)
    assert one.measured_share == 1.0


def test_the_damping_of_a_free_decay_is_told() -> None:
    x_px = decay(T_S, 4.0, 0.02, 1.0, 1.0)
    [one] = findings_of(replay(history("r0", x_px)), config()).regions
    assert isinstance(one.damping, FreeDecay)
    assert one.damping.ratio == pytest.approx(0.02, rel=0.05)


def test_shapes_their_mac_and_whether_they_repeat() -> None:
    first, second = tone(T_S, 3.0), tone(T_S, 8.0, phase=1.1)
    regions = [
        history("r0", 1.0 * first + 0.3 * second),
        history("r1", 0.5 * first - 0.6 * second),
        history("r2", 0.25 * first + 0.2 * second),
    ]
    found = findings_of(replay(*regions), config(3))
    low, high = sorted(found.shapes, key=lambda one: one.shape.frequency_hz)
    assert low.shape.frequency_hz == pytest.approx(3.0, abs=0.01)
    x = [number for number, (_, axis) in enumerate(low.points) if axis == "x"]
    np.testing.assert_allclose(low.shape.ratio[x].real, [1, 0.5, 0.25], atol=0.02)
    np.testing.assert_allclose(high.shape.ratio[x].real, [-0.5, 1, -1 / 3], atol=0.02)
    assert low.repeats == pytest.approx(1.0, abs=1e-3)
    [[own, other], _] = found.macs
    assert own == pytest.approx(1.0)
    # 0.3 of r0, -0.3 of r1, 0.05 of r2 over both shapes' sizes.
    one, two = np.array([1, 0.5, 0.25]), np.array([0.3, -0.6, 0.2])
    expected = np.dot(one, two) ** 2 / (np.dot(one, one) * np.dot(two, two))
    assert other == pytest.approx(expected, abs=0.02)


def test_a_shape_that_changes_does_not_repeat() -> None:
    motion = tone(T_S, 3.0)
    early = T_S < 10
    regions = [history("r0", motion), history("r1", np.where(early, motion, -motion))]
    [one] = findings_of(replay(*regions), config(2)).shapes
    assert one.repeats == pytest.approx(0.0, abs=0.05)


def warnings(*regions: RegionHistory, count: int = 1, more: str = "", **others: Any) -> str:
    return " ".join(findings_of(replay(*regions, **others), config(count, more)).warnings)


def test_warnings_tell_what_cannot_be_trusted() -> None:
    still = history("r0", np.zeros(len(T_S)))
    assert warnings(still) == ""
    assert "H.264 predicts pictures from others" in warnings(still, codec="h264")
    assert "The file is damaged: cut." in warnings(still, damage="cut")
    near = warnings(history("r0", tone(T_S, 28.0, 0.2)))
    assert "may be the alias of a faster vibration" in near
    dark = history("r0", np.where((T_S > 3) & (T_S < 4), np.nan, 0.0))
    dark.reasons.add("too dark: raise the exposure")
    assert "not measured in" in warnings(dark)
    assert "too dark: raise the exposure" in warnings(dark)
    profile = '[[alerts]]\nname = "houses"\nquantity = "displacement_rms_px"\nraise_above = 1\n'
    assert warnings(still, more=profile) == ""


def test_frames_that_are_missing_are_told_with_their_place() -> None:
    kept = (T_S < 5) | (T_S > 6)
    lost = history("r0", tone(T_S, 3.0))
    for name in ("t_s", "x_px", "y_px", "x_se_px", "y_se_px", "x_noise_px", "y_noise_px"):
        values = getattr(lost, name)
        setattr(lost, name, [value for value, stays in zip(values, kept, strict=True) if stays])
    assert "Frames are missing: 4.98 to 6.02 s." in warnings(lost)


def test_regions_that_move_alike_are_told_to_be_perhaps_the_camera() -> None:
    shake = tone(T_S, 1.3, 2.0)
    alike = [history("r0", shake, shake), history("r1", shake, shake)]
    assert "All regions move alike, by 1.4 px RMS" in warnings(*alike, count=2)
    apart = [history("r0", shake, shake), history("r1", np.zeros(len(T_S)))]
    assert "All regions move alike" not in warnings(*apart, count=2)
    quiet = [history("r0", np.zeros(len(T_S))), history("r1", np.zeros(len(T_S)))]
    assert "All regions move alike" not in warnings(*quiet, count=2)


def test_a_short_video_says_what_it_cannot_tell() -> None:
    assert "The video is only" not in warnings(history("r0", np.zeros(len(T_S))))
    long = warnings(history("r0", np.zeros(len(T_S))), more="[vibration]\nwindow_s = 30\n")
    assert "differ by less than 0.05 Hz are one, and below 0.1 Hz none is told" in long


def test_a_thinned_line_shows_every_extreme() -> None:
    x = np.arange(100_000.0)
    y = np.zeros(100_000)
    y[12_345], y[77_777] = 5.0, -7.0
    shown_x, shown_y = plots.thinned(x, y, 500)
    assert len(shown_x) == len(shown_y) == 1000
    assert (shown_y.max(), shown_y.min()) == (5.0, -7.0)
    assert abs(shown_x[np.argmax(shown_y)] - 12_345) < 200
    y[40_000:60_000] = np.nan
    _, shown_y = plots.thinned(x, y, 500)
    assert np.isnan(shown_y).sum() == pytest.approx(200, abs=4), "a gap stays one"


@pytest.mark.parametrize(
    ("value", "se", "told"),
    [
        (2.29987, 0.00123, "2.2999 ± 0.0012"),
        (123.4, 5.6, "123.4 ± 5.6"),
        (12345.0, 678.0, "12345 ± 678"),
        (0.00123, 0.5, "0.00 ± 0.50"),
        (1.0, 0.0, "1"),
    ],
)
def test_a_value_has_the_digits_that_its_error_leaves(value: float, se: float, told: str) -> None:
    assert _pm(value, se) == told


def test_every_setting_stands_there_and_what_differs_stands_out() -> None:
    rows = {key: value for key, value, _ in settings_rows(config(2, "[magnification]\ngain = 7\n"))}
    assert rows["magnification.gain"] == "<b>7.0</b>"
    assert rows["magnification.mode"] == "static"
    assert rows["regions[1].name"] == "<b>r1</b>"
    assert rows["alerts[0].quantity"] == "signal_to_noise"
    assert rows["health.offline.raise_after_s"] == "1.5"
    assert not any(key.startswith(("mqtt", "storage", "evidence")) for key in rows)


def test_the_second_axis_has_the_scale() -> None:
    scale = Scale(x_mm_per_px=2, y_mm_per_px=2, x_se_mm_per_px=0.1, y_se_mm_per_px=0.1)
    [plain] = findings_of(replay(history("r0", tone(T_S, 3.0))), config()).regions
    [scaled] = findings_of(replay(history("r0", tone(T_S, 3.0), scale=scale)), config()).regions
    assert b">mm<" not in plots.waveform(plain, ())
    assert b">mm<" in plots.waveform(scaled, ())
