"""An alert reaches the outbox once, whenever the process that tells it is killed.

A process of its own runs the real daemon on a camera that shows a burst again and again, and kills
itself with SIGKILL somewhere; others go on from what it left.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from runtime.delivery.outbox import Outbox
from runtime.messages import AlertMessage

POINTS = ("before keeping", "kept", "in the outbox", "kept again", "soon", "late")


def ran(folder: Path, point: str, number: int = 1, frames: int = 420) -> int:
    """The exit status of a daemon that dies at the ``number``-th passage of a point."""
    script = Path(__file__).with_name("dying_daemon.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), point, str(number), str(frames)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ".:tests"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def messages(folder: Path) -> list[AlertMessage]:
    outbox = Outbox(folder / "outbox.sqlite")
    rows = outbox.pending(1000)
    outbox.close()
    return [AlertMessage.model_validate_json(row.payload) for row in rows]


def lives(folder: Path) -> dict[str, list[str]]:
    """Steps of each event, as a consumer sees them who drops what it has already."""
    seen: dict[tuple[str, str, int], AlertMessage] = {}
    for one in messages(folder):
        before = seen.setdefault((one.event_id, one.type, one.sequence), one)
        assert before == one, "the same step must say the same"
    found: dict[str, list[str]] = {}
    for one in seen.values():
        steps = found.setdefault(one.event_id, [])
        assert one.sequence == len(steps)
        steps.append(one.type)
    return found


@pytest.mark.parametrize("point", POINTS)
def test_a_daemon_killed_anywhere_raises_each_event_once(point: str, tmp_path: Path) -> None:
    assert ran(tmp_path, point) == -signal.SIGKILL
    assert ran(tmp_path, "never") == 0
    events = lives(tmp_path)
    assert [steps[0] for steps in events.values()] == ["new"]
    assert [steps[-1] for steps in events.values()] == ["end"]


def test_a_daemon_killed_again_and_again_raises_one_alert(tmp_path: Path) -> None:
    for number in (1, 2):
        for point in POINTS[1:4]:
            ran(tmp_path, point, number, frames=60)
    ran(tmp_path, "never")
    events = lives(tmp_path)
    assert Counter(steps[0] for steps in events.values()) == {"new": 1}
    [steps] = events.values()
    assert steps[-1] == "end"
    assert json.loads((tmp_path / "alerts.json").read_text())["kept"] == []
