"""What is deleted and what never is."""

import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from events import SOON, Film, config, film
from test_keeper import health

from failure import Failure
from runtime.evidence.folder import EventFile, EventFolder
from runtime.evidence.retention import check_room, tidy

DAY_S = 86400.0


def event(root: Path, number: int, *, days: float, size: int = 1000, ended: bool = True) -> str:
    name = f"{number:032x}"
    folder = EventFolder(root / name)
    messages = [health("new", name)] + ([health("end", name)] if ended else [])
    folder.write(
        EventFile(
            event_id=name, camera="bridge", version="1", messages=tuple(messages), settings={}
        )
    )
    (folder.path / "clip.mp4").write_bytes(bytes(size))
    written_s = time.time() - days * DAY_S
    for path in folder.path.iterdir():
        os.utime(path, (written_s, written_s))
    return name


def left(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def test_what_is_too_old_goes_and_what_is_not_stays(tmp_path: Path) -> None:
    old, young = event(tmp_path, 1, days=31), event(tmp_path, 2, days=29)
    settings = SOON.model_copy(update={"keep_days": 30})
    assert tidy(tmp_path, settings) == 1
    assert left(tmp_path) == {young}
    assert old != young


def test_of_too_much_the_oldest_goes_first(tmp_path: Path) -> None:
    names = [event(tmp_path, number, days=10 - number, size=300_000) for number in range(6)]
    settings = SOON.model_copy(update={"keep_gb": 0.001})
    tidy(tmp_path, settings)
    assert left(tmp_path) == set(names[3:])


def test_evidence_of_an_open_alert_stays_however_old_and_large(tmp_path: Path) -> None:
    still = event(tmp_path, 1, days=900, size=2_000_000, ended=False)
    for number in range(2, 6):
        event(tmp_path, number, days=800, size=500_000)
    settings = SOON.model_copy(update={"keep_gb": 0.001, "keep_days": 30})
    assert tidy(tmp_path, settings, is_open={still}) == 4
    assert left(tmp_path) == {still}


def test_a_keeper_deletes_an_event_only_once_it_has_ended(tmp_path: Path) -> None:
    """Open when the process before ended; latched; then acknowledged, which ends it."""
    settings = config(tmp_path, evidence=SOON.model_copy(update={"keep_days": 1e-6}))
    name = event(settings.evidence_folder, 7, days=400, ended=False)
    other = event(settings.evidence_folder, 8, days=400)
    one = Film(settings)
    one.keeper.begin([name])
    one.play(film(np.zeros(3)))
    assert left(settings.evidence_folder) == {name}
    waits = health("update", name).model_copy(update={"sequence": 1, "reason": "waits"})
    one.keeper.take_message(waits)
    tidied(one)
    assert left(settings.evidence_folder) == {name}
    end = health("end", name).model_copy(update={"sequence": 2, "reason": "acknowledged"})
    one.keeper.take_message(end)
    time.sleep(0.2)
    tidied(one)
    assert left(settings.evidence_folder) == set()
    assert one.keeper.counters.deleted == 2
    assert other != name


def tidied(one: Film) -> None:
    one.keeper._tidied_s = float("-inf")
    one.keeper.work()


def test_what_is_not_an_event_is_not_touched(tmp_path: Path) -> None:
    """Somebody may have named a folder that holds other things."""
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "wedding.jpg").write_bytes(bytes(100))
    (tmp_path / "notes.txt").write_text("mine")
    elsewhere = tmp_path.parent / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ("c" * 32)).symlink_to(elsewhere)
    for path in (tmp_path / "photographs", tmp_path / "photographs" / "wedding.jpg"):
        os.utime(path, (0, 0))
    tidy(tmp_path, SOON.model_copy(update={"keep_days": 1, "keep_gb": 1e-9}))
    assert left(tmp_path) == {"photographs", "notes.txt", "c" * 32}
    assert (tmp_path / "photographs" / "wedding.jpg").exists()
    assert elsewhere.exists()


def test_a_shared_clip_is_counted_once(tmp_path: Path) -> None:
    names = [event(tmp_path, number, days=1, size=400_000) for number in range(2)]
    shared = tmp_path / names[0] / "clip.mp4"
    for number in range(2, 8):
        names.append(event(tmp_path, number, days=1))
        (tmp_path / names[-1] / "clip.mp4").unlink()
        (tmp_path / names[-1] / "clip.mp4").hardlink_to(shared)
    tidy(tmp_path, SOON.model_copy(update={"keep_gb": 0.001}))
    assert left(tmp_path) == set(names)


Usage = namedtuple("Usage", "total used free")  # as shutil's own


def test_before_the_disk_is_full_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [event(tmp_path, number, days=10 - number, size=100_000) for number in range(5)]

    def usage(_: object) -> Usage:
        used = 450_000 + sum(path.stat().st_size for path in tmp_path.glob("*/clip.mp4"))
        return Usage(1_000_000, used, 1_000_000 - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(Failure, match=r"0 of 1 MB are free, .* free some space, or set evidence"):
        check_room(tmp_path)
    tidy(tmp_path, SOON)
    assert left(tmp_path) == set(names[1:]), "a tenth of the disk is left to alerts"
    check_room(tmp_path)


def test_a_new_event_on_a_disk_that_is_nearly_full_makes_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path)
    old = event(settings.evidence_folder, 5, days=3, size=100_000)

    def usage(_: object) -> Usage:
        held = (settings.evidence_folder / old).exists()
        return Usage(1_000_000, 0, 50_000 if held else 200_000)

    one = Film(settings)
    one.play(film(np.zeros(3)))
    monkeypatch.setattr(shutil, "disk_usage", usage)
    new = health("new", f"{6:032x}", t_s=0.1)
    one.keeper.take_message(new)
    assert left(settings.evidence_folder) == {new.event_id}
    assert one.keeper.problem is None
