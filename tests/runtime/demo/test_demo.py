"""``tremorscope demo`` on the shipped clip, in a process of its own, without a terminal.

Only a part of what it magnifies is left out: the report magnifies every frame, which for the whole
deck takes most of a minute on a small machine.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

from runtime.demo.broker import embedded_broker
from runtime.demo.demo import demo_config, read_truth

SMALLER_AREA = """
import tremorscope
from runtime.demo import demo
from runtime.config import Rectangle

whole = demo.demo_config

def smaller(*arguments):
    config = whole(*arguments)
    part = {"area": Rectangle(x=288, y=160, width=64, height=56), "threads": 1}
    magnification = config.magnification.model_copy(update=part)
    return config.model_copy(update={"magnification": magnification})

demo.demo_config = smaller
tremorscope.main()
"""


@dataclass(frozen=True)
class Done:
    returncode: int
    out: str
    errors: str
    folder: Path

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("demo") / "out"
    done = subprocess.run(
        [sys.executable, "-c", SMALLER_AREA, "demo", "--out", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return Done(done.returncode, done.stdout, done.stderr, folder)


def test_it_ends_well_and_prints_plain_lines(demo: Done) -> None:
    assert demo.returncode == 0, demo.errors
    assert "Traceback" not in demo.errors
    assert "\x1b" not in demo.out + demo.errors, "no terminal, no colours"
    assert "\r" not in demo.out
    assert len(re.findall(r"(?m)^midspan +x [+-]", demo.out)) >= 5, "it tells how it goes on"


def test_it_prints_the_true_frequency_and_amplitude(demo: Done) -> None:
    truth = read_truth()
    for name, region in truth.regions.items():
        [line] = [x for x in demo.out.splitlines() if re.match(rf" +{name} +measured", x)]
        found = re.search(r"measured ([\d.]+) Hz, ([\d.]+) px +true", line)
        if not region.amplitude_y_px:
            assert "no dominant frequency" in line
            continue
        assert found is not None, line
        assert float(found[1]) == pytest.approx(truth.frequency_hz, rel=0.01)
        assert float(found[2]) == pytest.approx(region.amplitude_y_px, rel=0.1)


def test_what_moved_has_one_alert_that_was_ended(demo: Done) -> None:
    truth, alerts = read_truth(), demo.json("alerts.json")
    moving = {name for name, region in truth.regions.items() if region.amplitude_y_px}
    assert {alert["region"] for alert in alerts} == moving
    for name in moving:
        new, *updates, end = [alert for alert in alerts if alert["region"] == name]
        assert (new["type"], end["type"]) == ("new", "end")
        assert {alert["type"] for alert in updates} <= {"update"}
        assert {alert["event_id"] for alert in (new, *updates, end)} == {new["event_id"]}
        burst_s = truth.ends_s - truth.starts_s
        # The 2 s of the level's window and the hold time of 1 s come after the burst.
        assert burst_s < end["duration_s"] < burst_s + 3.5
    assert f"{len(moving)} alerts raised" in demo.out


def test_it_leaves_a_report_of_every_frame(demo: Done) -> None:
    truth, report = read_truth(), demo.json("replay.json")
    assert (report["frames"], report["damage"]) == (480, None)
    for measured in report["regions"]:
        moves = truth.regions[measured["name"]].amplitude_y_px
        found = measured["dominant_hz"]
        assert (found == pytest.approx(truth.frequency_hz, rel=0.01)) if moves else found is None
    with av.open(str(demo.folder / "side-by-side.mp4")) as container:
        [stream] = container.streams.video
        assert (stream.width, stream.height) == (1280, 360)
        assert sum(1 for _ in container.decode(stream)) == 480
    assert "footbridge.mp4" in (demo.folder / "report.html").read_text()
    evidence = demo.folder / "state" / "footbridge" / "events"
    assert {path.name for path in evidence.glob("*/*.mp4")} == {"clip.mp4"}
    for name in ("side-by-side.mp4", "report.html", "alerts.json"):
        assert str(demo.folder / name) in demo.out


@pytest.fixture
def port() -> Iterator[int]:
    with embedded_broker() as port:
        yield port


def test_its_broker_listens_to_this_machine_only(port: int) -> None:
    config = demo_config(read_truth(), port, Path("unused"))
    assert (config.mqtt.host, config.mqtt.port) == ("127.0.0.1", port)
    hexadecimal = f"{port:04X}"
    listening = [
        fields[1]
        for name in ("tcp", "tcp6")
        for fields in map(str.split, Path("/proc/net", name).read_text().splitlines()[1:])
        if fields[1].endswith(f":{hexadecimal}") and fields[3] == "0A"
    ]
    assert listening == [f"0100007F:{hexadecimal}"]
