"""What an event leaves behind: real pictures, measured and kept without threads."""

import csv
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from events import GIRDER, SOON, SWAY, Film, config, film, frames_in, pictures_in
from videos import RATE_HZ, burst

from benchmarks.clips import Scene
from runtime.config import Config, Region
from runtime.evidence.clip import outlines
from runtime.evidence.folder import EventFile, EventFolder
from runtime.evidence.group import Group
from runtime.evidence.strip import HEIGHT_PX
from runtime.messages import AlertMessage

LEFT = Region(name="left", x=2, y=12, width=28, height=40)
RIGHT = Region(name="right", x=34, y=12, width=28, height=40)


def events_of(settings: Config) -> dict[str, EventFile]:
    found = {}
    for path in settings.evidence_folder.iterdir():
        file = EventFolder(path).read()
        assert file is not None
        found[path.name] = file
    return found


def samples_of(settings: Config, event_id: str) -> list[dict[str, str]]:
    with (settings.evidence_folder / event_id / "samples.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_event_leaves_clip_snapshot_samples_messages_and_settings(tmp_path: Path) -> None:
    settings = config(tmp_path)
    one = Film(settings)
    one.play(film(burst(8.0, 3.0, 5.0)))
    [(event_id, file)] = events_of(settings).items()
    new, *_, end = one.messages
    assert (new.type, end.type) == ("new", "end")
    assert event_id == new.event_id
    assert list(file.messages) == one.messages
    assert not file.recording
    assert file.notes == ()
    assert file.settings["config"]["alerts"][0]["name"] == "sway"
    folder = settings.evidence_folder / event_id
    assert {path.name for path in folder.iterdir()} == {
        "clip.mp4",
        "event.json",
        "samples.csv",
        "snapshot.jpg",
    }
    # From before it began until after it ended, every frame.
    begins_s, ends_s = new.started_t_s - 1.0, end.t_s + 0.5
    rows = samples_of(settings, event_id)
    times_s = np.array([float(row["t_monotonic_s"]) for row in rows])
    assert times_s[0] == pytest.approx(begins_s, abs=1.01 / RATE_HZ)
    assert times_s[-1] == pytest.approx(ends_s, abs=1.01 / RATE_HZ)
    np.testing.assert_allclose(np.diff(times_s), 1 / RATE_HZ, atol=2e-6)
    moved = np.array([float(row["girder_x_px"]) for row in rows])
    moves = (times_s >= 3.0) & (times_s < 5.0)
    truth = 0.3 * np.sin(2 * np.pi * 5.0 * times_s) * moves
    errors = np.array([float(row["girder_x_se_px"]) for row in rows])
    assert np.abs(moved - truth).max() < 5 * errors.max() < 0.1
    assert file.clip is not None
    shown = pictures_in(folder / "clip.mp4")
    assert len(shown) == file.clip.pictures == len(rows) == file.samples
    assert file.clip.begins_t_s == pytest.approx(begins_s, abs=1.01 / RATE_HZ)
    assert file.clip.ends_t_s == pytest.approx(ends_s, abs=1.01 / RATE_HZ)
    assert shown[0].shape == (64 + HEIGHT_PX, 64, 3)
    snapshot = cv2.imread(str(folder / "snapshot.jpg"))
    assert snapshot is not None
    assert snapshot.shape == (64, 64, 3)


WIDE = Scene(320, 96)
"""Wide enough for what is written into the pictures to leave something to be looked at."""


def test_the_clip_shows_when_the_alert_was_open_and_the_waveform(tmp_path: Path) -> None:
    settings = config(tmp_path)
    one = Film(settings)
    one.play(film(burst(7.5, 3.0, 4.5), scene=WIDE))
    [event_id] = events_of(settings)
    shown = pictures_in(settings.evidence_folder / event_id / "clip.mp4")
    quiet, loud = (shown[number][96:].astype(int) for number in (5, frames_in(2.0)))
    red = [(strip[..., 2] > strip[..., 1] + 40).sum() for strip in (quiet, loud)]
    assert red[0] == 0
    assert red[1] > 100, "the time of the alert is shaded"
    blue = [strip[:, 140:, 0] > strip[:, 140:, 2] + 40 for strip in (quiet, loud)]
    height = [np.ptp(np.flatnonzero(trace.any(axis=1))) for trace in blue]
    assert height[1] > 2 * height[0] > 0, "the waveform rises and falls"


def test_magnified_pictures_stand_beside_the_raw_ones(tmp_path: Path) -> None:
    settings = config(tmp_path)
    one = Film(settings, engine="engine of a test")
    for frame in film(burst(5.0, 1.0, 2.0), scene=WIDE):
        if frame.index >= frames_in(1.0) and frame.index % 3 == 0:
            one.ring.add("magnified", frame.t_capture_ns, 255 - frame.image)
        one.play([frame])
    [event_id] = events_of(settings)
    shown = pictures_in(settings.evidence_folder / event_id / "clip.mp4")
    assert {picture.shape for picture in shown} == {(96 + HEIGHT_PX, 640, 3)}
    early, late = (shown[number][20:70].astype(float) for number in (2, frames_in(1.5)))
    np.testing.assert_allclose(early[:, 460:620], early[:, 140:300], atol=25)
    np.testing.assert_allclose(late[:, 460:620], 255 - late[:, 140:300], atol=25)


def test_events_that_overlap_have_one_clip_and_each_its_own_samples(tmp_path: Path) -> None:
    settings = config(tmp_path, regions=(LEFT, RIGHT))
    one = Film(settings)
    one.play(film(burst(6.0, 1.5, 3.0)))
    events = events_of(settings)
    assert len(events) == 2
    clips = [settings.evidence_folder / name / "clip.mp4" for name in events]
    assert clips[0].stat().st_ino == clips[1].stat().st_ino
    for name, file in events.items():
        assert file.clip is not None
        assert set(file.clip.shared_by) == set(events)
        region = file.messages[0].region
        columns = samples_of(settings, name)[0]
        assert f"{region}_x_px" in columns
        assert sum(column.endswith("_x_px") for column in columns) == 1
        assert [step.type for step in file.messages][-1] == "end"


def test_an_event_that_begins_when_the_clip_is_nearly_full_gets_one_of_its_own(
    tmp_path: Path,
) -> None:
    evidence = SOON.model_copy(update={"longest_s": 3.0})
    late = SWAY.model_copy(update={"name": "late", "raise_above": 0.25})
    settings = config(tmp_path, alerts=(SWAY, late), evidence=evidence)
    one = Film(settings)
    moved = burst(9.0, 1.5, 7.5) + burst(9.0, 4.5, 6.5, 0.4)
    one.play(film(moved))
    files = {file.messages[0].rule: file for file in events_of(settings).values()}
    clips = {rule: file.clip for rule, file in files.items()}
    assert clips["sway"] is not None
    assert clips["late"] is not None
    assert clips["sway"].ends_t_s - clips["sway"].begins_t_s == pytest.approx(3.0, abs=0.1)
    began_s = files["late"].messages[0].started_t_s
    assert clips["late"].begins_t_s == pytest.approx(began_s - 1.0, abs=0.05)
    assert clips["sway"].shared_by != clips["late"].shared_by


def test_a_long_event_keeps_its_beginning_and_all_its_messages(tmp_path: Path) -> None:
    settings = config(tmp_path, evidence=SOON.model_copy(update={"longest_s": 2.5}))
    one = Film(settings)
    one.play(film(burst(9.0, 1.5, 7.0)))
    [file] = events_of(settings).values()
    assert file.clip is not None
    assert file.clip.ends_t_s - file.clip.begins_t_s == pytest.approx(2.5, abs=0.1)
    assert file.samples == pytest.approx(frames_in(2.5), abs=1)
    assert [step.type for step in file.messages][-1] == "end"
    assert file.messages[-1].t_s > file.clip.ends_t_s + 3


def test_a_region_that_cannot_be_measured_has_rows_that_say_why(tmp_path: Path) -> None:
    rule = SWAY.model_copy(update={"missing_after_s": 1.5})
    settings = config(tmp_path, alerts=(rule,))
    one = Film(settings)
    frames = list(film(np.zeros(200)))
    dark = np.zeros((64, 64, 3), np.uint8)
    one.play(
        type(frame)(
            frame.index, frame.t_capture_ns, dark if 80 <= frame.index < 150 else frame.image
        )
        for frame in frames
    )
    one.keeper.finish("the film is over", within_s=10.0)
    [event_id] = [m.event_id for m in one.messages if (m.kind, m.type) == ("missing", "new")]
    reasons = {row["girder_reason"] for row in samples_of(settings, event_id)}
    assert reasons == {"", "too dark: raise the exposure or add light"}


def test_a_health_alert_keeps_the_samples_of_every_region(tmp_path: Path) -> None:
    settings = config(tmp_path, regions=(LEFT, RIGHT), alerts=())
    one = Film(settings)
    one.play(film(np.zeros(60)))
    one.keeper.take_message(health("new"))
    one.play(film(np.zeros(60), begins_s=2.0))
    one.keeper.take_message(health("end"))
    one.play(film(np.zeros(60), begins_s=4.0))
    columns = samples_of(settings, "a" * 32)[0]
    assert {"left_x_px", "right_x_px"} <= set(columns)


def health(step: str, event_id: str = "a" * 32, t_s: float = 2.0) -> AlertMessage:
    content = {
        "event_id": event_id,
        "type": step,
        "sequence": 0 if step == "new" else 1,
        "kind": "health",
        "rule": "offline",
        "region": None,
        "quantity": "frame_age_s",
        "value": 1.0,
        "threshold": 1.0,
        "peak_value": None,
        "dominant_hz": None,
        "time_utc": "2026-01-01T00:00:00.000Z",
        "t_s": t_s,
        "started_t_s": t_s - 0.5,
        "duration_s": 0.5,
    }
    return AlertMessage.model_validate(content)


def test_a_camera_that_falls_silent_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path)
    one = Film(settings)
    one.play(film(np.zeros(60)))
    one.keeper.take_message(health("new", t_s=2.5))
    now_s = time.monotonic()
    one.keeper.work()
    assert events_of(settings)["a" * 32].recording
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 26.0)
    while one.keeper.work():
        pass
    file = events_of(settings)["a" * 32]
    assert not file.recording
    assert file.clip is not None
    assert file.clip.ends_t_s == pytest.approx(59 / RATE_HZ)


def test_a_clock_that_goes_back_ends_what_was_open_and_says_so(tmp_path: Path) -> None:
    settings = config(tmp_path)
    one = Film(settings)
    one.play(film(burst(2.5, 1.0, 2.5), begins_s=100.0))
    [file] = events_of(settings).values()
    assert file.recording
    one.play(film(np.zeros(60)))
    [file] = events_of(settings).values()
    assert not file.recording
    assert "the camera's clock went back, so what came after it is not kept" in file.notes


def test_too_little_memory_shortens_the_clip_and_is_noted(tmp_path: Path) -> None:
    settings = config(tmp_path)
    one = Film(settings, memory=50_000)
    one.play(film(burst(7.0, 2.0, 4.0)))
    [file] = events_of(settings).values()
    assert file.clip is not None
    assert file.clip.begins_t_s > file.messages[0].started_t_s - 0.8
    assert any("evidence.memory_mb" in note for note in file.notes)
    assert file.samples == pytest.approx(
        frames_in(file.messages[-1].t_s + 0.5 - file.messages[0].started_t_s + 1.0), abs=2
    )


def test_a_message_that_is_told_again_is_kept_once(tmp_path: Path) -> None:
    settings = config(tmp_path)
    one = Film(settings)
    one.play(film(burst(6.0, 1.5, 3.0)))
    for message in one.messages:
        one.keeper.take_message(message)
    one.keeper.work()
    [file] = events_of(settings).values()
    assert list(file.messages) == one.messages
    assert not file.recording, "and nothing is recorded anew"


def test_passwords_are_not_kept(tmp_path: Path) -> None:
    settings = config(tmp_path, source="rtsp://user:geheim@camera/stream")
    one = Film(settings)
    one.play(film(burst(5.0, 1.5, 3.0)))
    [path] = settings.evidence_folder.glob("*/event.json")
    assert "geheim" not in path.read_text()
    assert "mqtt" not in json.loads(path.read_text())["settings"]["config"]


def test_a_still_camera_leaves_nothing(tmp_path: Path) -> None:
    settings = config(tmp_path)
    Film(settings).play(film(np.zeros(90)))
    assert not settings.evidence_folder.exists()


def test_regions_are_outlined_where_they_are_in_a_picture_made_smaller() -> None:
    [small] = outlines([GIRDER], 0.5)
    assert (small.x, small.y, small.width, small.height) == (6, 6, 20, 20)


def test_a_defect_ends_the_evidence_of_one_event_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> bool:
        raise ZeroDivisionError("a defect of a test")

    settings = config(tmp_path)
    one = Film(settings)
    with monkeypatch.context() as patched:
        patched.setattr(Group, "write_picture", fails)
        one.play(film(burst(4.0, 1.0, 2.0)))
    one.play(film(burst(6.0, 1.0, 2.0), begins_s=10.0))
    assert caplog.text.count("please report it") == 1
    bad, good = (events_of(settings)[message.event_id] for message in news(one))
    assert bad.clip is None
    assert bad.notes == ("a defect of tremorscope ended it; the log has more",)
    assert not bad.recording
    assert good.clip is not None
    assert good.notes == ()


def news(one: Film) -> list[AlertMessage]:
    return [message for message in one.messages if message.type == "new"]


def test_an_event_of_a_region_that_is_configured_no_longer_is_kept_all_the_same(
    tmp_path: Path,
) -> None:
    """A process before was killed before it told it; meanwhile the configuration has changed."""
    settings = config(tmp_path)
    one = Film(settings)
    lost = health("new", t_s=0.5).model_copy(update={"kind": "vibration", "region": "gone"})
    one.keeper.take_message(lost)
    one.play(film(np.zeros(90)))
    one.keeper.finish("the film is over", within_s=10.0)
    [file] = events_of(settings).values()
    assert file.samples is not None
    assert file.samples > 60
    assert "girder_x_px" in samples_of(settings, lost.event_id)[0]


def test_an_event_from_before_the_machine_started_anew_does_not_wait_for_its_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path)
    one = Film(settings)
    one.keeper.take_message(health("new", t_s=900_000.0))
    one.play(film(np.zeros(30)))
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 26.0)
    one.keeper.work()
    [file] = events_of(settings).values()
    assert not file.recording
    assert "no picture came in its time, so there is no clip" in file.notes
