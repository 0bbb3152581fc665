"""Whatever a camera, a file or a person gives: what is told is finite, or it is one clear sentence."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.clips import Floats, Scene, render, sine
from failure import Failure
from runtime.config import Camera, Config, Region, Vibration
from runtime.config.file import parse
from runtime.displacement import LEARNED_PICTURES, Displacement, DisplacementMeter
from runtime.frame import Frame
from runtime.measurement import Measured, Measurement
from runtime.replay.region_proposal import propose_regions
from runtime.vibration import dominant_frequency

WHERE = Path("/nowhere/bridge.toml")
BASE = '[camera]\nsource = "gst: videotestsrc"\n[[regions]]\nname = "deck"\n'
PLACE = "x = 12\ny = 12\nwidth = 40\nheight = 40\n"
DECK = Region(name="deck", x=12, y=12, width=40, height=40)


@cache
def swaying() -> tuple[Frame, ...]:
    x_px = sine(60, 30.0, 3.0, 0.2)
    return tuple(render(Scene(), x_px, 0.5 * x_px))


def of_one_length(steps_s: list[float]) -> list[Frame]:
    """Pictures of a swaying scene, each so much later than the one before."""
    pictures = swaying()
    times_ns = (1e9 * np.cumsum(steps_s)).astype(np.int64).tolist()
    return [
        Frame(number, t_ns, pictures[number % len(pictures)].image)
        for number, t_ns in enumerate(times_ns)
    ]


def is_told_in_numbers(measured: Measured) -> None:
    """Everything that would go over MQTT is JSON, which has no NaN and no infinity."""
    for message in (*measured.telemetry, *measured.alerts, *measured.suppressed, *measured.shapes):
        json.dumps(message.model_dump(mode="json"), allow_nan=False)
    for one in measured.displacements:
        is_sound(one)


def is_sound(one: Displacement) -> None:
    values = (one.x_px, one.y_px, one.x_se_px, one.y_se_px, one.x_noise_px, one.y_noise_px)
    known = [value for value in values if value is not None]
    assert np.isfinite(known).all()
    assert one.valid == (one.x_px is not None or one.y_px is not None)
    assert one.valid or one.reason
    for value, se in ((one.x_px, one.x_se_px), (one.y_px, one.y_se_px)):
        assert (value is None) == (se is None)
        assert se is None or se > 0


STEPS_S = st.one_of(
    st.floats(0.8 / 30, 1.2 / 30),  # jitter
    st.floats(1e-6, 1e-3),  # two frames at nearly the same time
    st.sampled_from([1.0, 1 / 240, 1001 / 30_000, 60.0, 86_400.0]),  # other rates, gaps
    st.sampled_from([0.0, -0.04, -3600.0]),  # a camera that began anew
)


@settings(max_examples=40, deadline=None)
@given(
    start_s=st.sampled_from([0.0, 1e-3, 3e7, 3e9]),
    pieces=st.lists(st.tuples(STEPS_S, st.integers(1, 40)), min_size=1, max_size=5),
)
def test_whatever_the_clock_does_the_measurement_goes_on(
    start_s: float, pieces: list[tuple[float, int]]
) -> None:
    steps_s = [start_s] + [step for step, count in pieces for _ in range(count)]
    measurement = Measurement(Config(camera=Camera(source="clip"), regions=(DECK,)))
    for number, frame in enumerate(of_one_length(steps_s), 1):
        measured = measurement.process(frame)
        is_told_in_numbers(measured)
        assert measured.displacements[0].valid == (number >= LEARNED_PICTURES)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    hz=st.floats(2.0, 9.0),
    jitter=st.floats(0, 0.4),
    rates_hz=st.lists(st.sampled_from([25.0, 29.97, 60.0, 120.0]), min_size=1, max_size=2),
    gaps=st.sets(st.integers(2, 600), max_size=30),
)
def test_a_frequency_is_right_whatever_the_frames_times_are(
    seed: int, hz: float, jitter: float, rates_hz: list[float], gaps: set[int]
) -> None:
    random = np.random.default_rng(seed)
    # Most frames are of the newest rate: of a few behind 300 faster ones each step would be a long gap.
    counts = [700] if len(rates_hz) == 1 else [300, 400]
    steps_s = np.repeat([1 / rate_hz for rate_hz in rates_hz], counts)
    t_s: Floats = np.cumsum(steps_s) + jitter * steps_s * random.uniform(-0.5, 0.5, len(steps_s))
    t_s = np.delete(t_s, sorted(gaps))
    x_px = 0.1 * np.sin(2 * np.pi * hz * t_s + seed) + random.normal(0, 0.01, len(t_s))
    tone = dominant_frequency(t_s, x_px)
    assert tone is not None
    assert tone.frequency_hz == pytest.approx(hz, abs=max(5 * tone.frequency_se_hz, 1e-3 * hz))


def test_where_most_frames_came_faster_the_few_newest_tell_no_frequency() -> None:
    steps_s = np.repeat(
        [1 / 120, 1 / 25], [349, 300]
    )  # the slow ones are long gaps, each a new record
    t_s: Floats = np.cumsum(steps_s)
    assert dominant_frequency(t_s, 0.1 * np.sin(4 * np.pi * t_s)) is None


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    region=st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(8, 60)] * 2),
    contrast=st.sampled_from([0.0, 2.0, 28.0, 200.0]),
)
def test_whatever_the_pictures_size_regions_are_measured_or_refused_in_one_sentence(
    width: int, height: int, region: tuple[int, int, int, int], contrast: float
) -> None:
    scene = Scene(width, height, contrast_grey=contrast)
    frames = list(render(scene, np.array([0.0, 0.1, 0.3]), np.array([0.0, -0.1, 0.2])))
    wished = Region(name="wished", **dict(zip(("x", "y", "width", "height"), region, strict=True)))
    regions = [[wished]]
    try:
        regions.append(list(propose_regions(frames).regions))
    except Failure as failure:
        is_one_sentence(failure)
    for some in regions:
        try:
            meter = DisplacementMeter(some)
            for frame in frames:
                for one in meter.measure(frame):
                    is_sound(one)
        except Failure as failure:
            is_one_sentence(failure)
            assert some == [wished], "what is proposed can be measured"


def is_one_sentence(failure: Failure) -> None:
    text = str(failure)
    assert "\n" not in text
    assert 20 < len(text) < 400


def keys_of(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, list[str]]:
    """Every table of a configuration, as its header in TOML, with its keys."""
    found: dict[str, list[str]] = {}
    for name, entry in schema["properties"].items():
        reference = entry.get("$ref") or entry.get("items", {}).get("$ref")
        if reference is None:
            continue
        inner = definitions[reference.rpartition("/")[2]]
        header = f"[[{name}]]" if "items" in entry else f"[{name}]"
        found[header] = [key for key in inner["properties"] if key != "name"]
    return found


SCHEMA = Config.model_json_schema()
TABLES = keys_of(SCHEMA, SCHEMA["$defs"])
SCALARS = st.one_of(
    st.integers(-5, 200),
    st.floats(-10, 500),
    st.sampled_from([float("nan"), float("inf"), 1e308, -0.0, 2**63 - 1]),
    st.booleans(),
    st.text(max_size=8),
    st.sampled_from(["deck", "ppv_mm_s", "ppv_px_s", "sta_lta", "din4150-3-line2", "band-pass"]),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3)


def as_toml(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=True) if not isinstance(value, list) else (
        f"[{', '.join(map(as_toml, value))}]"
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_a_configuration_says_it_can_be_run_or_each_mistake_has_its_line(
    data: st.DataObject,
) -> None:
    text = BASE + PLACE
    for header in data.draw(st.lists(st.sampled_from(sorted(TABLES)), max_size=3, unique=True)):
        if header in ("[camera]", "[[regions]]"):
            continue
        keys = data.draw(st.lists(st.sampled_from(TABLES[header]), max_size=3, unique=True))
        entries = {key: data.draw(VALUES) for key in keys}
        if header == "[[alerts]]":
            entries = {"name": "rule", "raise_above": 1.0} | entries
        text += header + "\n" + "".join(f"{k} = {as_toml(v)}\n" for k, v in entries.items())
    try:
        config = parse(text, WHERE)
    except Failure as failure:
        for line in str(failure).splitlines():
            assert line.startswith(f"{WHERE}:")
            assert "Traceback" not in line
        return
    measurement = Measurement(config)
    for frame in swaying()[:20]:
        is_told_in_numbers(measurement.process(frame))


@settings(max_examples=15, deadline=None)
@given(
    window_s=st.floats(0.1, 3600),
    level_s=st.floats(0.05, 600),
    low_hz=st.floats(0.01, 100),
    width_hz=st.none() | st.floats(0.01, 400),
    rate_hz=st.floats(0.5, 500),
)
def test_whatever_the_windows_and_bands_what_is_told_is_finite(
    window_s: float, level_s: float, low_hz: float, width_hz: float | None, rate_hz: float
) -> None:
    vibration = Vibration(
        window_s=window_s,
        level_s=level_s,
        low_hz=low_hz,
        high_hz=None if width_hz is None else min(low_hz + width_hz, 500.0),
    )
    camera = Camera(source="clip")
    measurement = Measurement(Config(camera=camera, regions=(DECK,), vibration=vibration))
    for frame in of_one_length([1 / rate_hz] * 70):
        is_told_in_numbers(measurement.process(frame))
