"""What is put together from a configuration, and what alerts leave behind on the disk."""

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import pytest
from broker import Listener, Mosquitto, wait_until
from videos import burst, moving, region, write_video

from failure import Failure
from runtime.assembly import assembled, magnifier_for
from runtime.config import Alert, Config, Rectangle
from runtime.config.file import parse
from runtime.messages import AlertMessage, Present, Reply, State

RULE = (
    '[[alerts]]\nname = "sway"\nquantity = "displacement_rms_px"\nraise_above = 0.05\n'
    "raise_after_s = 0.1\n"
)


def config(
    folder: Path, magnification: str = "threads = 1", mqtt: str = "enabled = false"
) -> Config:
    """For a clip that begins to move after half a second, played at its own rate."""
    write_video(folder / "clip.mkv", moving(burst(2.0, 0.5, 2.0)))
    text = (
        f'[camera]\nsource = "clip.mkv"\n{region()}{RULE}[mqtt]\n{mqtt}\n'
        f'[vibration]\nlevel_s = 0.6\n[storage]\ndirectory = "state"\n'
        f"[magnification]\n{magnification}\n"
    )
    return parse(text, folder / "bridge.toml")


def test_an_alert_leaves_evidence_of_raw_beside_magnified(tmp_path: Path) -> None:
    with assembled(config(tmp_path)) as daemon:
        daemon.run()
    [event] = (tmp_path / "state" / "camera" / "events").iterdir()
    picture = cv2.imread(str(event / "snapshot.jpg"))
    assert picture is not None
    assert picture.shape == (64, 128, 3)
    with av.open(str(event / "clip.mp4")) as clip:
        assert clip.streams.video[0].width == 128


def test_evidence_tells_the_magnification_that_held(tmp_path: Path) -> None:
    with assembled(config(tmp_path)) as daemon:
        daemon.controls.change({"gain": 50, "mode": "dynamic"})
        daemon.run()
    [event] = (tmp_path / "state" / "camera" / "events").iterdir()
    told = json.loads((event / "event.json").read_text())["settings"]["config"]["magnification"]
    assert (told["gain"], told["mode"]) == (50, "dynamic")


def test_commands_reach_a_running_daemon_and_are_answered(
    tmp_path: Path, mosquitto: Mosquitto, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    settings = config(tmp_path, mqtt=f'host = "127.0.0.1"\nport = {mosquitto.port}')
    write_video(tmp_path / "clip.mkv", moving(burst(20.0, 0.5, 20.0)))
    top = "tremorscope/camera/command"
    inside, beyond = ({"x": 8, "y": 8, "width": 32, "height": height} for height in (32, 99))
    with assembled(settings) as daemon:
        thread = threading.Thread(target=daemon.run)
        thread.start()
        wait_until(lambda: bool(daemon.told.open_alerts()), "an alert is open")
        [alert] = daemon.told.open_alerts()
        listener.send(f"{top}/magnification", json.dumps({"gain": 50, "area": inside}).encode())
        listener.send(f"{top}/magnification", json.dumps({"area": beyond}).encode())
        listener.send(f"{top}/acknowledge", b'{"event_id": "unknown"}')
        listener.send(f"{top}/acknowledge", json.dumps({"event_id": alert.event_id}).encode())
        wait_until(lambda: len(listener.payloads("/reply")) == 4, "every command is answered")
        wait_until(lambda: len(listener.payloads("/alerts")) == 2, "the acknowledgement is told")
        daemon.stop()
        thread.join()
    replies = [Reply.model_validate_json(text) for text in listener.payloads("/reply")]
    assert [reply.accepted for reply in replies] == [True, False, False, True]
    assert "does not lie in the picture of 64x64 px" in str(replies[1].reason)
    assert f"open are: {alert.event_id}" in str(replies[2].reason)
    assert daemon.controls.settings.gain == 50
    controls = Present.model_validate_json(listener.payloads("/controls")[-1])
    assert (controls.gain, controls.area) == (50, Rectangle(x=8, y=8, width=32, height=32))
    steps = [AlertMessage.model_validate_json(text) for text in listener.payloads("/alerts")]
    assert [step.acknowledged for step in steps] == [False, True]


def test_evidence_can_be_switched_off_and_lie_elsewhere(tmp_path: Path) -> None:
    settings = config(tmp_path, "enabled = false")
    off = settings.evidence.model_copy(update={"enabled": False})
    with assembled(settings.model_copy(update={"evidence": off})) as daemon:
        daemon.run()
    assert not (tmp_path / "state").exists()
    elsewhere = settings.evidence.model_copy(update={"folder": tmp_path / "elsewhere"})
    with assembled(settings.model_copy(update={"evidence": elsewhere})) as daemon:
        daemon.run()
    assert not (tmp_path / "state").exists()
    [event] = (tmp_path / "elsewhere" / "camera").iterdir()
    assert (event / "clip.mp4").exists()


def test_without_magnification_the_measurement_runs_all_the_same(tmp_path: Path) -> None:
    settings = config(tmp_path, "enabled = false")
    assert magnifier_for(settings) is None
    with assembled(settings) as daemon:
        daemon.run()
    assert (daemon.counters.measured, daemon.counters.magnified) == (60, 0)
    [event] = (tmp_path / "state" / "camera" / "events").iterdir()
    picture = cv2.imread(str(event / "snapshot.jpg"))
    assert picture is not None
    assert picture.shape == (64, 64, 3), "the raw one alone"


def test_an_engine_that_is_named_and_cannot_be_had_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    settings = config(tmp_path, 'engine = "tensorrt"')
    with pytest.raises(Failure, match="graph: no engine is configured"), assembled(settings):
        pass


def test_a_configured_graph_is_used_and_checked(tmp_path: Path) -> None:
    settings = config(tmp_path, 'graph = "none.onnx"')
    with pytest.raises(Failure, match=r"none\.onnx: no such graph"), assembled(settings):
        pass


def test_on_leaving_alerts_are_delivered_and_the_state_says_offline(
    tmp_path: Path,
    mosquitto: Mosquitto,
    listen: Callable[..., Listener],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    listener = listen()
    settings = config(tmp_path, mqtt=f'host = "127.0.0.1"\nport = {mosquitto.port}')
    with assembled(settings) as daemon:
        daemon.run()
    assert "mqtt-sender" not in {thread.name for thread in threading.enumerate()}
    # This process goes on, so that no last will could say it.
    wait_until(lambda: len(listener.payloads("camera/state")) == 2, "offline arrives")
    states = [State.model_validate_json(text) for text in listener.payloads("camera/state")]
    assert [state.state for state in states] == ["online", "offline"]
    assert states[0].source == str(tmp_path / "clip.mkv")
    assert states[0].engine is not None
    assert " in ONNX Runtime " in states[0].engine
    assert "not TensorRT, because " in states[0].engine
    [raised] = listener.payloads("camera/alerts")
    assert AlertMessage.model_validate_json(raised).type == "new"


def test_the_state_names_rules_whose_profile_nobody_has_confirmed(
    tmp_path: Path, mosquitto: Mosquitto, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    settings = config(tmp_path, "enabled = false", f'host = "127.0.0.1"\nport = {mosquitto.port}')
    rule = Alert.model_validate({"name": "houses", "profile": "din4150-3-line2"})
    with assembled(settings.model_copy(update={"alerts": (*settings.alerts, rule)})) as daemon:
        wait_until(lambda: bool(listener.payloads("camera/state")), "the state is there")
        daemon.run()
    state = State.model_validate_json(listener.payloads("camera/state")[0])
    assert (state.unconfirmed, state.health, state.suppressed) == (("houses",), (), 0)


def test_a_live_camera_remembers_its_alerts_and_a_file_does_not(tmp_path: Path) -> None:
    settings = config(tmp_path, "enabled = false")
    with assembled(settings) as daemon:
        daemon.run()
    assert not (tmp_path / "state" / "camera" / "alerts.json").exists()
    live = settings.camera.model_copy(update={"source": f"gst: filesrc location={tmp_path}"})
    memory = tmp_path / "state" / "camera" / "alerts.json"
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text("torn")
    with assembled(settings.model_copy(update={"camera": live})):
        assert memory.with_suffix(".damaged.json").read_text() == "torn"
