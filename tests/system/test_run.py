"""``tremorscope run`` as a user starts it: a process of its own, a real broker, a real clip."""

import ctypes
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from broker import Listener, Mosquitto, wait_until
from videos import BURST_HZ, BURST_PX, burst, moving, region, write_video

import tremorscope
from export.artifact import sidecar_path
from runtime.engine.onnx_runtime import SHIPPED
from runtime.messages import AlertMessage, State, Telemetry

Listen = Callable[..., Listener]
Start = Callable[[Path], subprocess.Popen[str]]
Refused = Callable[[Path], str]

SETTINGS = """
[vibration]
level_s = 0.6
report_every_s = 0.5
[magnification]
threads = 1
[[alerts]]
name = "sway"
quantity = "displacement_rms_px"
raise_above = 0.05
clear_below = 0.02
raise_after_s = 0.3
clear_after_s = 0.3
"""


def written(folder: Path, port: int | None, settings: str = SETTINGS, name: str = "bridge") -> Path:
    """A configuration file for the clip of the same name beside it; without a port, no MQTT."""
    broker = "enabled = false" if port is None else f"port = {port}"
    config = folder / f"{name}.toml"
    config.write_text(
        f'name = "{name}"\n[camera]\nsource = "{name}.mkv"\n{region()}'
        f'[storage]\ndirectory = "state"\n[mqtt]\nhost = "127.0.0.1"\n{broker}\n{settings}'
    )
    return config


def tremorscope_run(config: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tremorscope", "run", "--config", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts daemons; kills what a failed test leaves running."""
    processes: list[subprocess.Popen[str]] = []

    def started(config: Path) -> subprocess.Popen[str]:
        processes.append(tremorscope_run(config))
        return processes[-1]

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def states(listener: Listener, name: str = "bridge") -> list[str]:
    return [State.model_validate_json(text).state for text in listener.payloads(f"{name}/state")]


def alerts(listener: Listener, name: str = "bridge") -> list[AlertMessage]:
    payloads = listener.payloads(f"{name}/alerts")
    return [AlertMessage.model_validate_json(text) for text in payloads]


def telemetry(listener: Listener, name: str = "bridge") -> list[Telemetry]:
    payloads = listener.payloads(f"{name}/telemetry/girder")
    return [Telemetry.model_validate_json(text) for text in payloads]


def ended(process: subprocess.Popen[str]) -> None:
    try:
        _, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # it tells where its threads are
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_a_burst_is_told_once_and_a_still_clip_of_the_same_noise_is_silent(
    tmp_path: Path, mosquitto: Mosquitto, listen: Listen, start: Start
) -> None:
    """Configuration in, frames in, alert JSON out; two cameras at one broker."""
    write_video(tmp_path / "bridge.mkv", moving(burst(4.8, 1.2, 3.2)))
    write_video(tmp_path / "still.mkv", moving(burst(4.8, 0.0, 0.0)))
    listener = listen()
    processes = [start(written(tmp_path, mosquitto.port, name=n)) for n in ("bridge", "still")]
    for process in processes:
        ended(process)
    both = [["online", "offline"]] * 2
    wait_until(
        lambda: [states(listener), states(listener, "still")] == both, "online, then offline"
    )

    new, *updates, end = alerts(listener)
    assert [step.type for step in updates] == ["update"] * len(updates)
    assert (new.type, end.type) == ("new", "end")
    for number, step in enumerate([new, *updates, end]):
        assert (step.event_id, step.sequence) == (new.event_id, number)
        assert (step.rule, step.region) == ("sway", "girder")
        assert (step.quantity, step.threshold) == ("displacement_rms_px", 0.05)
    assert new.value is not None
    assert new.value > 0.05
    assert new.t_s - new.started_t_s == pytest.approx(0.3, abs=0.15)
    # The burst's 2 s, what is left of it in the level's window, and the hold time.
    assert end.duration_s == pytest.approx(2.0 + 0.6 + 0.3, abs=0.4)
    assert end.peak_value == pytest.approx(BURST_PX / np.sqrt(2), rel=0.05)

    reports = telemetry(listener)
    assert 8 <= len(reports) <= 10, "two for each second of the clip"
    strongest = max(reports, key=lambda report: report.dominant_amplitude_px or 0.0)
    assert strongest.dominant_hz == pytest.approx(BURST_HZ, rel=0.02)
    assert {report.alert for report in reports} == {True, False}
    assert {step.evidence for step in (new, *updates, end)} == {new.event_id}
    [event] = (tmp_path / "state" / "bridge" / "events").iterdir()
    assert event.name == new.event_id
    picture = cv2.imread(str(event / "snapshot.jpg"))
    assert picture is not None
    assert picture.shape == (64, 128, 3)

    quiet = telemetry(listener, "still")
    assert len(quiet) >= 8
    assert not any(report.alert for report in quiet)
    for report in quiet:
        learning = report.reason is not None and report.reason.startswith("learning: ")
        assert report.valid or (learning and report.t_s < 1.1)
    assert alerts(listener, "still") == []
    assert not (tmp_path / "state" / "still" / "events").exists()


def test_the_state_is_retained_and_a_last_will_follows_a_killed_daemon(
    tmp_path: Path, mosquitto: Mosquitto, listen: Listen, start: Start
) -> None:
    write_video(tmp_path / "bridge.mkv", moving(burst(30.0, 0.0, 0.0)))
    process = start(written(tmp_path, mosquitto.port))
    listener = listen()
    wait_until(lambda: bool(telemetry(listener)), "it measures", 30)
    late = listen(topic="tremorscope/bridge/state")
    wait_until(lambda: states(late) == ["online"], "the retained state arrives")
    assert late.messages[0].retain
    state = State.model_validate_json(late.messages[0].payload)
    assert state.source == str(tmp_path / "bridge.mkv")
    assert state.engine is not None
    assert "twofold" in state.engine
    process.kill()
    wait_until(lambda: states(late) == ["online", "offline"], "the last will arrives")


def waiting_for_an_hour(
    tmp_path: Path, mosquitto: Mosquitto, listener: Listener, start: Start
) -> subprocess.Popen[str]:
    """A daemon that has measured, and waits for the last frame of its clip."""
    *frames, last = moving(burst(1.5, 0.0, 0.0))
    frames.append(replace(last, t_capture_ns=3600 * 10**9))
    write_video(tmp_path / "bridge.mkv", frames)
    process = start(written(tmp_path, mosquitto.port))
    wait_until(lambda: bool(telemetry(listener)), "it measures", 30)
    return process


@pytest.mark.parametrize("thread", ["any", "another"])
def test_sigterm_ends_the_daemon_and_its_state_says_so(
    tmp_path: Path, mosquitto: Mosquitto, listen: Listen, start: Start, thread: str
) -> None:
    listener = listen()
    process = waiting_for_an_hour(tmp_path, mosquitto, listener, start)
    if thread == "any":
        process.send_signal(signal.SIGTERM)
    else:  # the kernel may choose any thread of a process
        newest = max(int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir())
        kill_thread(process.pid, newest, signal.SIGTERM)
    ended(process)
    wait_until(lambda: states(listener) == ["online", "offline"], "online, then offline")


def kill_thread(process: int, thread: int, number: signal.Signals) -> None:
    """Linux's tgkill, which Python offers for its own process only."""
    tgkill = {"x86_64": 234, "aarch64": 131}[platform.machine()]
    assert ctypes.CDLL(None).syscall(tgkill, process, thread, int(number)) == 0


def test_a_daemon_that_a_watchdog_ends_tells_where_its_threads_were(
    tmp_path: Path, mosquitto: Mosquitto, listen: Listen, start: Start
) -> None:
    process = waiting_for_an_hour(tmp_path, mosquitto, listen(), start)
    process.send_signal(signal.SIGABRT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGABRT
    for station in ("in _capture", "in _measure", "in _magnify"):
        assert station in errors


def test_an_alert_from_before_the_broker_was_there_arrives_once(
    tmp_path: Path, mosquitto: Mosquitto, listen: Listen, start: Start
) -> None:
    mosquitto.persistent = True
    mosquitto.stop()
    mosquitto.start()
    listener = listen()  # its session makes sure that the broker has a subscriber
    mosquitto.stop()
    write_video(tmp_path / "bridge.mkv", moving(burst(40.0, 0.8, 2.5)))
    process = start(written(tmp_path, mosquitto.port))
    events = tmp_path / "state" / "bridge" / "events"
    wait_until(
        lambda: any(events.glob("*/snapshot.jpg")), "the alert is raised without a broker", 30
    )
    mosquitto.start()
    wait_until(lambda: [a.type for a in alerts(listener)][-1:] == ["end"], "it arrives", 30)
    process.send_signal(signal.SIGTERM)
    ended(process)
    wait_until(lambda: states(listener)[-1:] == ["offline"], "the daemon says that it is gone")
    steps = alerts(listener)
    assert [step.type for step in steps if step.type != "update"] == ["new", "end"]
    keys = [(step.event_id, step.sequence) for step in steps]
    assert keys == [(steps[0].event_id, number) for number in range(len(steps))]


def no_video(folder: Path) -> None:
    (folder / "bridge.mkv").unlink()


def nothing_in_it(folder: Path) -> None:
    (folder / "bridge.mkv").write_bytes(b"")


def text_as_video(folder: Path) -> None:
    (folder / "bridge.mkv").write_text("This is a text.\n" * 100)


def cut_in_the_first_picture(folder: Path) -> None:
    path = folder / "bridge.mkv"
    content = path.read_bytes()
    cluster = content.index(b"\x1f\x43\xb6\x75")  # Matroska's mark of the first pictures
    path.write_bytes(content[: cluster + 60])


def no_sidecar(folder: Path) -> None:
    shutil.copy(SHIPPED, folder / "own.onnx")


def changed_graph(folder: Path) -> None:
    graph = folder / "own.onnx"
    shutil.copy(sidecar_path(SHIPPED), sidecar_path(graph))
    content = bytearray(SHIPPED.read_bytes())
    content[5000] ^= 1
    graph.write_bytes(content)


def as_it_is(folder: Path) -> None:
    """Only the settings are wrong."""
    assert (folder / "bridge.mkv").exists()


OWN_GRAPH = '[magnification]\ngraph = "own.onnx"\n'
BAD_AREA = "[magnification]\narea = { x = 40, y = 0, width = 32, height = 32 }\n"
LINE = 15
"""Of the configuration file that ``written`` writes, where the settings begin."""

BAD_INPUT = [
    (no_video, "", ["bridge.mkv: there is no such file; check camera.source"]),
    (nothing_in_it, "", ["bridge.mkv: is not a video that FFmpeg can read; give another file"]),
    (text_as_video, "", ["bridge.mkv: is not a video that FFmpeg can read; give another file"]),
    (cut_in_the_first_picture, "", ["bridge.mkv: not a single frame can be decoded"]),
    (no_sidecar, OWN_GRAPH, ["own.onnx: has no sidecar own.onnx.json", "tremorscope export"]),
    (changed_graph, OWN_GRAPH, ["own.onnx: its SHA-256 is", "copy both again"]),
    (
        as_it_is,
        "[vibration]\nwindow = 3\n",
        [f'bridge.toml:{LINE + 1}: vibration.window = 3: unknown key; did you mean "window_s"?'],
    ),
    (as_it_is, region("far", 30), ['Region "far"', "64x64 px; move it inside"]),
    (
        as_it_is,
        "[magnification]\ngain = 0\n",
        [f"bridge.toml:{LINE + 1}: magnification.gain = 0: must be at least 1"],
    ),
    (
        as_it_is,
        "[magnification]\ngain = nan\n",
        [f"bridge.toml:{LINE + 1}: magnification.gain = nan: must be a finite number"],
    ),
    (as_it_is, BAD_AREA, ["magnification.area (32x32 px at 40,0)", "64x64 px; move it"]),
]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Iterator[Refused]:
    """Runs the daemon in this process, which takes no seconds to start; gives what it tells."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    def sentence(config: Path) -> str:
        monkeypatch.setattr(sys, "argv", ["tremorscope", "run", "--config", str(config)])
        with pytest.raises(SystemExit) as exit_:
            tremorscope.main()
        told = exit_.value.code
        assert isinstance(told, str), "what makes Python print it and exit with code 1"
        assert told.startswith("tremorscope: ")
        assert "\n" not in told
        return told.removeprefix("tremorscope: ")

    yield sentence
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(("spoil", "settings", "told"), BAD_INPUT)
def test_bad_input_is_told_in_one_sentence(
    tmp_path: Path,
    refused: Refused,
    spoil: Callable[[Path], None],
    settings: str,
    told: list[str],
) -> None:
    write_video(tmp_path / "bridge.mkv", moving(burst(1.0, 0.0, 0.0)))
    spoil(tmp_path)
    sentence = refused(written(tmp_path, None, settings))
    for part in told:
        assert part in sentence


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "latin"])
def test_a_password_file_that_cannot_be_read_is_told(
    tmp_path: Path, refused: Refused, kind: str
) -> None:
    secret = tmp_path / "secret"
    if kind == "folder":
        secret.mkdir()
    elif kind != "missing":
        secret.write_bytes(b"" if kind == "empty" else "caf\xe9".encode("latin-1"))
    login = 'username = "board"\npassword_file = "secret"\n'
    sentence = refused(written(tmp_path, 1, login))
    assert sentence.startswith(f"mqtt.password_file: {secret} ")
    told = {"empty": "is empty; put the password into it", "latin": "save it as UTF-8"}
    assert told.get(kind, "let the daemon's user read it") in sentence


def test_bad_input_is_told_although_the_broker_is_not_there(
    tmp_path: Path, refused: Refused
) -> None:
    # Nobody listens at port 1.
    sentence = refused(written(tmp_path, 1, ""))
    assert sentence.startswith(f"{tmp_path / 'bridge.mkv'}: there is no such file")


@pytest.mark.parametrize("number", [0, 6])
def test_what_a_user_sees_of_it_is_that_sentence(tmp_path: Path, number: int) -> None:
    spoil, settings, told = BAD_INPUT[number]
    write_video(tmp_path / "bridge.mkv", moving(burst(1.0, 0.0, 0.0)))
    spoil(tmp_path)
    returncode, out, errors = finished(written(tmp_path, None, settings))
    assert (returncode, out) == (1, "")
    *before, sentence = errors.splitlines()
    assert all(line.startswith("INFO ") for line in before)  # which engine magnifies
    assert sentence.startswith("tremorscope: ")
    assert told[0].partition(":")[0] in sentence


def test_a_missing_configuration_is_told_in_one_sentence(tmp_path: Path) -> None:
    returncode, out, errors = finished(tmp_path / "none.toml")
    assert (returncode, out) == (1, "")
    [sentence] = errors.splitlines()
    where = f"tremorscope: {tmp_path / 'none.toml'}: there is no such configuration file; write it"
    assert sentence.startswith(where)


def finished(config: Path) -> tuple[int, Any, Any]:
    process = tremorscope_run(config)
    try:
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, errors
