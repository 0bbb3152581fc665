"""The long run: what it notes of a real daemon, and what it says of slopes and drops."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import endurance
from benchmarks.endurance import Sample
from benchmarks.endurance_page import marks, slope_per_hour


def samples(mb_per_hour: float = 0.0, lost: int = 0) -> list[Sample]:
    """Two hours, a look each minute; memory fills for ten minutes, and is once high for a moment."""
    every = []
    for minute in range(121):
        t_s = 60.0 * minute
        rss_mb = 300 + 20 * min(minute, 10) + mb_per_hour * minute / 60 + 90 * (minute == 70)
        sent = 3600 * minute
        values = {
            "t_s": t_s,
            "rss_mb": rss_mb,
            "files": 24,
            "threads": 18,
            "processor_s": 0.3 * t_s,
        }
        values |= {"sent": sent, "captured": sent - (lost if minute > 60 else 0), "measured": sent}
        others = dict.fromkeys(Sample.__dataclass_fields__, 0)
        every.append(Sample(**(others | values)))  # type: ignore[arg-type]
    return every


def test_a_leak_fails_and_warming_up_is_none() -> None:
    assert [mark.holds for mark in marks(samples())] == [True] * 5
    leaking = samples(mb_per_hour=2.0)
    assert slope_per_hour(leaking[20:], "rss_mb")[0] == pytest.approx(2.0, abs=0.01)
    assert [mark.holds for mark in marks(leaking)] == [False, True, True, True, True]


def test_frames_that_were_sent_and_not_captured_are_counted() -> None:
    mark = marks(samples(lost=40))[2]
    assert not mark.holds
    assert mark.found.startswith("40 of 432000 ")


def test_gaps_that_the_daemon_counts_are_a_mark_of_their_own() -> None:
    every = samples()
    every[-1] = replace(every[-1], lost=1)
    assert [mark.holds for mark in marks(every)] == [True, True, True, False, True]


def test_it_is_told_which_were_lost_while_the_camera_itself_was_late() -> None:
    every = [
        replace(one, sent_late=minute > 50, lost=2 * (minute > 51) + 3 * (minute > 90))
        for minute, one in enumerate(samples())
    ]
    assert marks(every)[3].found.startswith("5; 2 of them ")


def test_a_real_daemon_is_watched_and_its_page_can_be_written_again(tmp_path: Path) -> None:
    endurance.main(minutes=0.1, size="640x480", rate=20, every_s=0.5, out=tmp_path)
    looks = endurance.noted(tmp_path / "endurance.csv")
    assert looks[-1].captured > looks[0].captured
    assert looks[-1].sent >= looks[-1].captured
    assert looks[-1].rss_mb > 50
    page = (tmp_path / "ENDURANCE.md").read_text()
    assert "sent and not captured" in page
    assert (tmp_path / "endurance.png").stat().st_size > 0
    (tmp_path / "ENDURANCE.md").unlink()
    endurance.main(size="640x480", rate=20, out=tmp_path, again=True)
    assert (tmp_path / "ENDURANCE.md").read_text() == page
