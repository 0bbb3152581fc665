"""A daemon whose evidence goes to a small file system that refuses.

unshare -rm python refusing_disk.py FOLDER full|"filled while it is written"|read-only
"""

import logging
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[3]), str(HERE.parents[2]), str(HERE.parent)]

from events import SOON, config, frames_in  # noqa: E402
from test_keeper import events_of  # noqa: E402
from videos import burst, moving, write_video  # noqa: E402

from runtime.config import Camera  # noqa: E402
from runtime.daemon import Daemon  # noqa: E402
from runtime.evidence import EvidenceRecorder, keeper  # noqa: E402
from runtime.messages import AlertMessage  # noqa: E402

folder, disk = Path(sys.argv[1]), sys.argv[2]
mounted = folder / "disk"
mounted.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(mounted)], check=True)
keeper.TIDY_EVERY_S = 0.5


def fill() -> None:
    """Take all room that there is."""
    with suppress(OSError), (mounted / "filler").open("wb") as file:
        while True:
            file.write(bytes(4096))  # a page: less room than that is none
            file.flush()


class Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        print(record.getMessage())


log = Log()
logging.getLogger().addHandler(log)
logging.getLogger().setLevel(logging.INFO)
seconds = 9.0
moved = burst(seconds, 2.0, 2.7) + burst(seconds, 5.9, 6.6)
video = write_video(folder / "clip.mkv", moving(moved))
settings = config(folder, evidence=SOON.model_copy(update={"folder": mounted}))
settings = settings.model_copy(update={"camera": Camera(source=str(video))})
raised: list[AlertMessage] = []
recorder = EvidenceRecorder(settings)
daemon = Daemon(settings, magnifier=None, publisher=None, raised=raised.append, evidence=recorder)
if disk == "full":
    fill()
if disk == "read-only":
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
thread = threading.Thread(target=daemon.run)
thread.start()
while not raised:
    time.sleep(0.01)
if disk == "filled while it is written":
    time.sleep(0.4)
    fill()
while len(raised) < 2:
    time.sleep(0.01)
noticed_by_s = time.monotonic() + 2.0  # by its own thread, which may still be about to write
while recorder.problem is None and time.monotonic() < noticed_by_s:
    time.sleep(0.01)
problem = recorder.problem
# Somebody mends it: what comes after is kept again.
if disk == "read-only":
    subprocess.run(["mount", "-o", "remount,rw", str(mounted)], check=True)
else:
    (mounted / "filler").unlink()
thread.join()

assert [message.type for message in raised] == ["new", "end"] * 2, raised
assert daemon.counters.measured == frames_in(seconds), daemon.counters
assert problem is not None
assert str(mounted) in problem, problem
told = [line for line in log.lines if line.startswith("evidence is not kept")]
assert len(told) == 1, told
assert sum("evidence is kept again" in line for line in log.lines) == 1, log.lines
assert recorder.counters.incomplete == 1, recorder.counters
assert raised[2].evidence == raised[2].event_id
events = events_of(settings)
second = events[raised[2].event_id]
assert second.clip is not None
assert not second.recording
left = {path.name for path in (settings.evidence_folder / raised[2].event_id).iterdir()}
assert left == {"clip.mp4", "event.json", "samples.csv", "snapshot.jpg"}, left
first = settings.evidence_folder / raised[0].event_id
unfinished = [path for path in first.glob("*") if "unfinished" in path.name]
assert not unfinished, unfinished
print("as it should be")
