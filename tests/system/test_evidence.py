"""``tremorscope run`` killed while it writes evidence, and what the next one makes of that."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from broker import wait_until
from videos import burst, moving, region, write_video

SETTINGS = """
name = "bridge"
[camera]
source = "{video}"
{regions}
[magnification]
enabled = false
[vibration]
level_s = 0.6
[[alerts]]
name = "sway"
quantity = "displacement_rms_px"
raise_above = 0.1
raise_after_s = 0.2
clear_after_s = 0.3
[mqtt]
enabled = false
[storage]
directory = "state"
[evidence]
before_s = 1
after_s = 1
"""


def daemon(folder: Path, video: str) -> subprocess.Popen[bytes]:
    config = folder / f"{video}.toml"
    regions = region("left", 2, 28) + region("right", 34, 28)
    config.write_text(SETTINGS.format(video=f"{video}.mkv", regions=regions))
    return subprocess.Popen(
        [sys.executable, "-m", "tremorscope", "run", "--config", str(config)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


# After the first, the clip has one, two and three of its parts on the disk; then all is closed.
@pytest.mark.parametrize("later_s", [0.0, 1.0, 2.2, 3.1])
def test_a_daemon_killed_while_it_writes_loses_only_what_was_not_written(
    tmp_path: Path, later_s: float
) -> None:
    write_video(tmp_path / "moves.mkv", moving(burst(20.0, 0.7, 2.2)))
    write_video(tmp_path / "still.mkv", moving(burst(1.5, 0.0, 0.0)))
    events = tmp_path / "state" / "bridge" / "events"
    killed = daemon(tmp_path, "moves")
    try:
        wait_until(lambda: len(list(events.glob("*/event.json"))) == 2, "two events begin", 30)
        time.sleep(later_s)
    finally:
        killed.kill()
        killed.communicate()
    first = daemon(tmp_path, "still")
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 0, errors
    folders = sorted(events.iterdir())
    assert len(folders) == 2
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        assert names <= {"clip.mp4", "event.json", "samples.csv", "snapshot.jpg"}
        content = json.loads((folder / "event.json").read_text())
        assert not content["recording"]
        assert content["messages"][0]["type"] == "new"
        if "samples.csv" in names:
            with (folder / "samples.csv").open(newline="") as file:
                rows = list(csv.reader(file))
            assert len({len(row) for row in rows}) == 1, "no row is torn"
        if later_s >= 1.0:
            assert names >= {"samples.csv", "snapshot.jpg"}
        if later_s >= 2.2:
            with av.open(str(folder / "clip.mp4")) as clip:
                assert sum(1 for _ in clip.decode(video=0)) >= 15
