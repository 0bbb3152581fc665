"""``python -m benchmarks.endurance --minutes 60``: the real daemon for a long time, and what becomes of it.

A ``tremorscope run`` process reads a live camera (``shared_camera.py``) at full HD and 60 frames a second,
measures 16 regions, magnifies an area, publishes to a Mosquitto, and keeps evidence of an alert each minute.
Every few seconds its memory, files, threads, frames and latencies are noted. Written are
``ENDURANCE.md``, ``endurance.png`` and ``endurance.csv`` beside this file, or in ``--out``.
"""

import csv
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Annotated

import numpy as np
import typer

from atomic_file import replaced
from benchmarks.endurance_page import write_page, write_plot
from benchmarks.mosquitto import free_port, mosquitto
from benchmarks.shared_camera import MOVES_PX, description
from failure import Failure
from runtime.page.app import Now

REGIONS, SIDE_PX = 16, 64
START_S = 120.0
"""For the camera to render its pictures and the daemon to begin."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the daemon's process; counters are since its start."""

    t_s: float
    rss_mb: float
    files: int
    threads: int
    processor_s: float
    sent: int
    """Pictures that the camera has sent, as it told last."""
    sent_late: int
    captured: int
    measured: int
    not_measured: int
    lost: int
    """By gaps in the frames' times, as the daemon counts them."""
    magnified: int
    waiting: int
    lost_pictures: int
    """Of evidence."""
    alerts: int
    reopened: int
    measured_p50_ms: float
    measured_p99_ms: float
    judged_p99_ms: float
    published_p99_ms: float


class Camera:
    """The camera's process, and what it told last."""

    def __init__(self, socket: Path, width: int, height: int, rate: int) -> None:
        numbers = [str(one) for one in (width, height, rate)]
        command = [sys.executable, "-m", "benchmarks.shared_camera", str(socket), *numbers]
        self.sent = self.sent_late = 0
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        until_s = time.monotonic() + START_S
        while not socket.exists():
            if self._process.poll() is not None or time.monotonic() > until_s:
                self.close()
                raise Failure(
                    f"{' '.join(command)}: does not send; try it alone (its shmsink comes with Debian's "
                    "gstreamer1.0-plugins-bad)"
                )
            time.sleep(0.1)
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.sent, self.sent_late = (int(part) for part in line.split())

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextmanager
def running(
    folder: Path, width: int, height: int, rate: int
) -> Iterator[tuple[Camera, "subprocess.Popen[bytes]", str]]:
    """Camera, daemon, and the address of its page; ended afterwards."""
    with ExitStack() as stack:
        broker_port, page_port = stack.enter_context(mosquitto(folder)), free_port()
        if broker_port is None:
            raise Failure("Mosquitto is not installed: `apt install mosquitto`")
        camera = Camera(folder / "camera", width, height, rate)
        stack.callback(camera.close)
        config = folder / "site.toml"
        source = description(str(folder / "camera"), width, height, rate)
        config.write_text(_config(source, width, height, rate, broker_port, page_port))
        with (folder / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "tremorscope", "run", "--config", str(config)],
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        stack.callback(_ended, daemon)
        yield camera, daemon, f"http://127.0.0.1:{page_port}/api/now"


def _ended(daemon: "subprocess.Popen[bytes]") -> None:
    daemon.terminate()
    daemon.wait(60)


def _config(source: str, width: int, height: int, rate: int, broker: int, page: int) -> str:
    area = f"{{ x = {(width - 384) // 2}, y = {(height - 216) // 2}, width = 384, height = 216 }}"
    regions = "".join(
        f'[[regions]]\nname = "r{place}"\nx = {width // 40 + column * width // 4}\n'
        f"y = {height // 20 + row * height // 4}\nwidth = {SIDE_PX}\nheight = {SIDE_PX}\n"
        for place, (row, column) in enumerate(np.ndindex(4, REGIONS // 4))
    )
    return f"""name = "endurance"
{regions}
[camera]
source = "{source}"
rate_hz = {rate}
[magnification]
threads = 1
area = {area}
[[alerts]]
name = "sway"
quantity = "displacement_rms_px"
regions = ["r0"]
raise_above = {MOVES_PX / 3:g}
raise_after_s = 1.0
clear_after_s = 2.0
[evidence]
keep_gb = 0.2
[mqtt]
host = "127.0.0.1"
port = {broker}
[storage]
directory = "state"
[page]
enabled = true
port = {page}
"""


def sampled(
    camera: Camera, daemon: "subprocess.Popen[bytes]", url: str, *, seconds: float, every_s: float
) -> Iterator[Sample]:
    """Look at the daemon again and again. Raises Failure when it ends."""
    begun_s = time.monotonic()
    due_s = begun_s
    answered = False
    while (now_s := time.monotonic()) < begun_s + seconds:
        if daemon.poll() is not None:
            raise Failure(f"the daemon has ended with exit code {daemon.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                now = Now.model_validate_json(answer.read())
        except OSError:
            if answered or now_s > begun_s + START_S:
                raise Failure(f"{url}: the daemon does not answer") from None
            time.sleep(0.5)
            continue
        if now.snapshot.frames.captured:
            if not answered:  # what came before is its start
                answered, begun_s = True, now_s
            yield _sample(now, camera, daemon.pid, now_s - begun_s)
        due_s = max(due_s + every_s, now_s)
        time.sleep(max(0.0, due_s - time.monotonic()))


def _sample(now: Now, camera: Camera, pid: int, t_s: float) -> Sample:
    process = Path("/proc", str(pid))
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    snapshot = now.snapshot
    frames, latencies, waiting = snapshot.frames, snapshot.latencies, snapshot.waiting

    def ms(station: str, which: str) -> float:
        spread = getattr(latencies, station)
        return float("nan") if spread is None else float(getattr(spread, which))

    return Sample(
        t_s=t_s,
        rss_mb=int(status["VmRSS"].split()[0]) * 1024 / 1e6,
        files=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        processor_s=sum(int(one) for one in ticks) / os.sysconf("SC_CLK_TCK"),
        sent=camera.sent,
        sent_late=camera.sent_late,
        captured=frames.captured,
        measured=frames.measured,
        not_measured=frames.not_measured,
        lost=snapshot.camera.lost,
        magnified=frames.magnified,
        waiting=waiting.frames_to_measure,
        lost_pictures=waiting.lost_pictures,
        alerts=0 if snapshot.evidence is None else snapshot.evidence.events,
        reopened=snapshot.camera.reopened,
        measured_p50_ms=ms("measured", "p50_ms"),
        measured_p99_ms=ms("measured", "p99_ms"),
        judged_p99_ms=ms("judged", "p99_ms"),
        published_p99_ms=ms("published", "p99_ms"),
    )


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long.")] = 60.0,
    size: Annotated[str, typer.Option(help="Of the pictures, WIDTHxHEIGHT.")] = "1920x1080",
    rate: Annotated[int, typer.Option(min=1, help="Frames a second.")] = 60,
    every_s: Annotated[float, typer.Option(min=0.5, help="Between two looks.")] = 5.0,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(__file__).parent,
    again: Annotated[
        bool, typer.Option("--again", help="Write the last run's page, of the same size and rate.")
    ] = False,
) -> None:
    """Run the daemon, and write what was seen of it."""
    if not again:
        _note(size, rate, minutes, every_s, out / "endurance.csv")
    samples = noted(out / "endurance.csv")
    write_plot(out / "endurance.png", samples)
    write_page(out / "ENDURANCE.md", samples, size, rate)


def noted(table: Path) -> list[Sample]:
    """The looks that a run wrote down."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = {one.name: float if one.type is float else int for one in fields(Sample)}
    values = ({name: kinds[name](text) for name, text in row.items()} for row in rows)
    return [Sample(**one) for one in values]  # type: ignore[arg-type]


def _note(size: str, rate: int, minutes: float, every_s: float, out: Path) -> None:
    width, height = (int(part) for part in size.split("x"))
    with TemporaryDirectory() as name:
        folder = Path(name)
        with (
            replaced(out) as scratch,
            scratch.open("w", newline="", encoding="utf-8") as file,
            running(folder, width, height, rate) as (camera, daemon, url),
        ):
            table = csv.writer(file, lineterminator="\n")
            columns = [one.name for one in fields(Sample)]
            table.writerow(columns)
            try:
                for one in sampled(camera, daemon, url, seconds=60 * minutes, every_s=every_s):
                    table.writerow([f"{getattr(one, name):.12g}" for name in columns])
                    file.flush()
                    print(
                        f"{one.t_s / 60:6.1f} min  {one.rss_mb:7.1f} MB  {one.files} files  "
                        f"{one.captured} captured  {one.lost} lost  {one.not_measured} not measured",
                        flush=True,
                    )
            except Failure:
                sys.stderr.write((folder / "daemon.log").read_text()[-4000:])
                raise


if __name__ == "__main__":
    typer.run(main)
