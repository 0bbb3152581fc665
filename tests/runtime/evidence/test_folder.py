"""An event's folder after a process was killed at any moment, and after very many messages."""

from pathlib import Path

import numpy as np
import pytest
from events import Film, config, film, pictures_in
from test_keeper import events_of, health
from videos import burst

from runtime.clips import ClipEncoder
from runtime.evidence.folder import (
    CUT_SHORT,
    MOST_MESSAGES,
    UNFINISHED_CLIP,
    UNFINISHED_SAMPLES,
    EventFile,
    EventFolder,
    folders,
)

EVENT, OTHER = "a" * 32, "b" * 32


def event(**others: object) -> EventFile:
    content = {"event_id": EVENT, "camera": "bridge", "version": "1", "settings": {}} | others
    return EventFile.model_validate(content)


def killed(folder: Path, pictures: int = 100) -> None:
    """What is in a folder while an event is written, when everything ends there."""
    folder.mkdir()
    random = np.random.default_rng(1)
    encoder = ClipEncoder(folder / UNFINISHED_CLIP, 15.0, fragments=True)
    for number in range(pictures):
        picture = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        encoder.write(picture, number / 15)
    (folder / "copy").write_bytes((folder / UNFINISHED_CLIP).read_bytes())
    encoder.abandon()
    (folder / "copy").replace(folder / UNFINISHED_CLIP)
    (folder / UNFINISHED_SAMPLES).write_text("t_utc,t_monotonic_s\na,1.0\nb,2.0\nc,")
    (folder / ".event.4711.json").write_text("{")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_a_killed_process_left_is_finished(tmp_path: Path) -> None:
    one = EventFolder(tmp_path / EVENT)
    killed(one.path)
    one.write(event(recording=True, messages=(health("new"),)))
    one.finish_leftovers()
    assert names(one.path) == {"clip.mp4", "samples.csv", "event.json"}
    assert 30 <= len(pictures_in(one.path / "clip.mp4")) < 100
    assert (one.path / "samples.csv").read_text() == "t_utc,t_monotonic_s\na,1.0\nb,2.0\n"
    file = one.read()
    assert file is not None
    assert (file.recording, file.notes) == (False, (CUT_SHORT,))
    before = {path: path.stat().st_mtime_ns for path in one.path.iterdir()}
    one.finish_leftovers()
    assert before == {path: path.stat().st_mtime_ns for path in one.path.iterdir()}


@pytest.mark.parametrize("clip", [b"", b"no video", bytes(3000)])
def test_a_clip_without_a_picture_is_removed(tmp_path: Path, clip: bytes) -> None:
    one = EventFolder(tmp_path / EVENT)
    one.path.mkdir()
    (one.path / UNFINISHED_CLIP).write_bytes(clip)
    one.write(event(recording=True))
    one.finish_leftovers()
    assert names(one.path) == {"event.json"}


def test_a_clip_cut_at_any_byte_is_finished_or_removed(tmp_path: Path) -> None:
    source = tmp_path / OTHER
    killed(source)
    whole = (source / UNFINISHED_CLIP).read_bytes()
    found = []
    for number, size in enumerate(np.linspace(0, len(whole), 25).astype(int)):
        one = EventFolder(tmp_path / f"{number:032x}")
        one.path.mkdir()
        (one.path / UNFINISHED_CLIP).write_bytes(whole[:size])
        one.finish_leftovers()
        clip = one.path / "clip.mp4"
        found.append(len(pictures_in(clip)) if clip.exists() else 0)
        assert names(one.path) <= {"clip.mp4"}
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] >= 30


def test_events_that_shared_a_killed_clip_share_what_was_finished(tmp_path: Path) -> None:
    owner, other = EventFolder(tmp_path / OTHER), EventFolder(tmp_path / EVENT)
    killed(owner.path)
    owner.write(event(event_id=OTHER, recording=True, clip_in=OTHER))
    other.write(event(recording=True, clip_in=OTHER))
    for one in folders(tmp_path):  # the one that has no clip of its own comes first
        one.finish_leftovers()
    clips = [one.path / "clip.mp4" for one in (owner, other)]
    assert clips[0].stat().st_ino == clips[1].stat().st_ino
    assert all(not one.read().recording for one in (owner, other) if one.read() is not None)  # type: ignore[union-attr]


def test_a_folder_without_a_readable_event_is_left_in_peace(tmp_path: Path) -> None:
    one = EventFolder(tmp_path / EVENT)
    one.path.mkdir()
    (one.path / "event.json").write_text('{"format": "tremorscope event 99"}')
    one.finish_leftovers()
    assert names(one.path) == {"event.json"}


def test_very_many_messages_leave_the_first_and_the_newest() -> None:
    file = event()
    for number in range(MOST_MESSAGES + 50):
        file.add(health("new").model_copy(update={"sequence": number}))
    kept = [message.sequence for message in file.messages]
    assert len(kept) == MOST_MESSAGES
    assert kept[: MOST_MESSAGES // 2] == list(range(MOST_MESSAGES // 2))
    assert kept[-1] == MOST_MESSAGES + 49
    assert file.messages_left_out == 50


def test_on_a_file_system_without_links_a_shared_clip_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuses)
    owner, other = EventFolder(tmp_path / OTHER), EventFolder(tmp_path / EVENT)
    owner.path.mkdir()
    (owner.path / "clip.mp4").write_bytes(b"a clip")
    owner.share_clip(other)
    assert (other.path / "clip.mp4").read_bytes() == b"a clip"


def test_a_process_killed_between_two_events_of_one_clip_loses_neither(tmp_path: Path) -> None:
    """The keeper is left in the middle; another one finds what it left."""
    settings = config(tmp_path)
    first = Film(settings)
    first.play(film(burst(3.0, 1.0, 3.0)))
    [before] = events_of(settings).values()
    assert before.recording
    first.keeper.work()
    second = Film(settings)
    second.keeper.begin([before.event_id])
    second.play(film(np.zeros(30), begins_s=100.0))
    [after] = events_of(settings).values()
    assert after.messages == before.messages
    assert (after.recording, after.notes) == (False, (CUT_SHORT,))
    # What its own buffers still held went with it; a disk has the rest.
    assert (settings.evidence_folder / before.event_id / "samples.csv").exists()
