"""Evidence in a running daemon: real files, real threads, disks that wait and disks that refuse."""

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broker import wait_until
from events import GIRDER, SOON, config, film, frames_in, pictures_in
from test_keeper import events_of
from videos import burst, moving, write_video

import runtime.evidence.recorder
from runtime.config import Camera, Config
from runtime.daemon import Daemon
from runtime.displacement import Displacement
from runtime.evidence import EvidenceRecorder
from runtime.evidence.inbox import ROOM, Shot
from runtime.evidence.keeper import ENDED, EventKeeper
from runtime.evidence.strip import HEIGHT_PX
from runtime.messages import AlertMessage


def played(tmp_path: Path, moved_px: np.ndarray, **others: Any) -> Config:
    """For a file that is played at its own rate."""
    video = write_video(tmp_path / "clip.mkv", moving(moved_px))
    settings = config(tmp_path / "state", **others)
    return settings.model_copy(update={"camera": Camera(source=str(video))})


def run(settings: Config) -> tuple[EvidenceRecorder, Daemon, list[AlertMessage]]:
    raised: list[AlertMessage] = []
    recorder = EvidenceRecorder(settings)
    daemon = Daemon(
        settings, magnifier=None, publisher=None, raised=raised.append, evidence=recorder
    )
    daemon.run()
    assert not [one for one in threading.enumerate() if one.name.startswith("evidence")]
    return recorder, daemon, raised


def test_a_daemon_keeps_what_led_to_an_alert_and_says_where(tmp_path: Path) -> None:
    recorder, _, raised = run(played(tmp_path, burst(5.0, 1.5, 2.5)))
    assert [message.type for message in raised] == ["new", "end"]
    assert {message.evidence for message in raised} == {raised[0].event_id}
    [(name, file)] = events_of(played(tmp_path, np.zeros(1))).items()
    assert name == raised[0].event_id
    assert list(file.messages) == raised
    assert file.clip is not None
    assert file.clip.missed_pictures == recorder.pictures.lost[Shot]
    shown = pictures_in(tmp_path / "state" / "bridge" / "events" / name / "clip.mp4")
    assert len(shown) == file.clip.pictures
    assert shown[0].shape == (64 + HEIGHT_PX, 64, 3)
    assert file.clip.begins_utc is not None
    assert file.clip.begins_utc < raised[0].time_utc
    assert (recorder.counters.events, recorder.counters.incomplete) == (1, 0)


def test_at_the_end_of_a_daemon_what_is_open_is_completed(tmp_path: Path) -> None:
    settings = played(tmp_path, burst(3.0, 1.0, 3.0))
    _, _, raised = run(settings)
    assert [message.type for message in raised] == ["new"]
    [file] = events_of(settings).values()
    assert (file.recording, file.notes) == (False, (ENDED,))
    assert file.clip is not None
    assert file.clip.ends_t_s - file.clip.begins_t_s > 1.5


def test_pictures_are_thinned_out_and_samples_are_not(tmp_path: Path) -> None:
    slow = SOON.model_copy(update={"clip_rate_hz": 10.0})
    settings = played(tmp_path, burst(4.5, 1.0, 2.0), evidence=slow)
    run(settings)
    [file] = events_of(settings).values()
    assert file.clip is not None
    assert file.samples is not None
    assert file.samples == pytest.approx(3 * file.clip.pictures, abs=4)


def test_a_disk_that_waits_holds_up_neither_camera_nor_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()
    original = EventKeeper.take_message

    def take(self: EventKeeper, message: AlertMessage) -> None:
        waits.wait(30)
        original(self, message)

    monkeypatch.setattr(EventKeeper, "take_message", take)
    settings = played(tmp_path, burst(4.0, 0.5, 3.0))
    recorder = EvidenceRecorder(settings)
    daemon = Daemon(settings, magnifier=None, publisher=None, evidence=recorder)
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        wait_until(lambda: daemon.counters.measured == frames_in(4.0), "every frame is measured")
    finally:
        waits.set()
        thread.join(30)
    [file] = events_of(settings).values()
    assert file.samples is not None
    assert file.samples > frames_in(2.0), "samples waited in the meantime"


def test_pictures_that_nobody_fetches_are_dropped_and_counted(tmp_path: Path) -> None:
    recorder = EvidenceRecorder(config(tmp_path))
    for frame in film(np.zeros(30)):
        recorder.see(frame)
    assert recorder.pictures.lost[Shot] == 30 - ROOM[Shot]


def test_a_defect_in_it_is_told_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("a defect of a test")

    monkeypatch.setattr(EventKeeper, "take_message", fails)
    _, daemon, raised = run(played(tmp_path, burst(3.5, 0.5, 1.5)))
    assert daemon.counters.measured == frames_in(3.5)
    assert [message.type for message in raised] == ["new", "end"]
    assert "a defect in keeping evidence, please report it" in caplog.text
    assert "a defect of a test" in caplog.text


def test_a_folder_that_cannot_be_made_is_told_once_and_alerts_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = played(tmp_path, burst(6.0, 0.5, 1.5) + burst(6.0, 3.5, 4.5))
    settings.evidence_folder.parent.mkdir(parents=True)
    settings.evidence_folder.write_text("in the way")
    with caplog.at_level(logging.INFO):
        recorder, daemon, raised = run(settings)
    assert [message.type for message in raised] == ["new", "end"] * 2
    assert daemon.counters.measured == frames_in(6.0)
    assert caplog.text.count("evidence is not kept: ") == 1
    assert f"{settings.evidence_folder}" in caplog.text
    assert "alerts and measurement go on" in caplog.text
    assert raised[-1].evidence is None, "the message does not promise what is not there"
    assert recorder.counters.incomplete == 2


def test_files_played_as_fast_as_possible_have_no_time_of_day(tmp_path: Path) -> None:
    settings = played(tmp_path, np.zeros(1))
    fast = settings.camera.model_copy(update={"real_time": False})
    recorder = EvidenceRecorder(settings.model_copy(update={"camera": fast}))
    still = Displacement(GIRDER.name, 5, 0.0, 0.0, 0.1, 0.1, True)
    recorder.measured((still,))
    sampled = recorder.events.get(0)
    assert sampled is not None
    assert sampled.unix_s is None  # type: ignore[union-attr]


@pytest.mark.parametrize("disk", ["full", "filled while it is written", "read-only"])
def test_on_a_real_disk_that_refuses_alerts_go_on(tmp_path: Path, disk: str) -> None:
    """A file system of its own, which another process may mount only in a namespace of its own."""
    script = Path(__file__).with_name("refusing_disk.py")
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, str(script), str(tmp_path), disk],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as it should be" in done.stdout


def test_a_disk_that_hangs_does_not_keep_the_daemon_from_ending(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(EventKeeper, "finish", lambda *_, **__: answers.wait(60))
    monkeypatch.setattr(runtime.evidence.recorder, "LONGEST_WRITE_S", 0.2)
    recorder = EvidenceRecorder(config(tmp_path), finish_s=0.1)
    recorder.start()
    try:
        recorder.close()
        assert "its disk has not answered for 0.3 s" in caplog.text
    finally:
        answers.set()
