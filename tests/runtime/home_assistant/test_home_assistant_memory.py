"""Discovery through a real broker: announced, told again, and taken back."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import Listener, Mosquitto, wait_until

from runtime.config import Camera, Config, HomeAssistant, Mqtt, Region
from runtime.delivery.outbox import Outbox
from runtime.home_assistant.memory import FILE, announce
from runtime.messages import State
from runtime.mqtt.publisher import Publisher

TOPIC = "homeassistant/device/tremorscope-tremorscope-cam/config"
PAGE = Path(__file__).parents[3] / "docs" / "home-assistant.md"
STATE = State(state="online", version="1", source="test")

Listen = Callable[..., Listener]
Appear = Callable[..., Publisher]


def configured(broker: Mosquitto, enabled: bool, *regions: str, prefix: str) -> Config:
    return Config(
        name="cam",
        camera=Camera(source="csi:0"),
        regions=tuple(Region(name=one, x=0, y=0, width=32, height=32) for one in regions),
        mqtt=Mqtt(host=broker.host, port=broker.port),
        home_assistant=HomeAssistant(enabled=enabled, discovery_prefix=prefix),
    )


@pytest.fixture
def appear(mosquitto: Mosquitto, outbox: Outbox, tmp_path: Path) -> Iterator[Appear]:
    """Starts a daemon's publisher, after the one before has ended."""
    made: list[Publisher] = []

    def make(*regions: str, enabled: bool = True, prefix: str = "homeassistant") -> Publisher:
        for one in made:
            one.close(timeout_s=1.0)
        config = configured(mosquitto, enabled, *(regions or ("deck",)), prefix=prefix)
        publisher = Publisher(config.mqtt, name="cam", outbox=outbox, state=STATE)
        made.append(publisher)
        publisher.start()
        announce(config, publisher, tmp_path)
        wait_until(lambda: publisher.counts().connected, "it connects")
        return publisher

    yield make
    for one in made:
        one.close(timeout_s=1.0)


def retained(listen: Listen, topic: str = TOPIC) -> dict[str, Any] | None:
    """What the broker keeps there."""
    listener = listen(topic="#")
    wait_until(lambda: bool(listener.payloads("cam/state")), "what is retained has come")
    listener.close()
    # What is still on its way when the listener comes is told to it once more, as not retained.
    found = [m for m in listener.messages if m.topic == topic and m.retain]
    return json.loads(found[0].payload) if found else None


def test_a_camera_appears_and_stays_while_it_is_offline(listen: Listen, appear: Appear) -> None:
    appear()
    watching = listen()
    wait_until(lambda: bool(watching.payloads("cam/config")), "it is announced")
    appear().close(timeout_s=1.0)
    told = retained(listen)
    assert told is not None
    assert "deck-displacement_rms_px" in told["components"]


def test_it_is_told_again_when_home_assistant_says_that_it_is_there(
    listen: Listen, appear: Appear, mosquitto: Mosquitto
) -> None:
    listener = listen()
    appear()
    wait_until(lambda: len(listener.payloads("cam/config")) == 1, "it is announced")
    listener.send("homeassistant/status", b"offline")
    listener.send("homeassistant/status", b"online")
    wait_until(lambda: len(listener.payloads("cam/config")) == 2, "it is told again")
    first, second = listener.payloads("cam/config")
    assert first == second
    mosquitto.kill()
    mosquitto.start()
    wait_until(lambda: len(listener.payloads("cam/config")) == 3, "told at a new connection", 20)
    listener.send("homeassistant/status", b"online")
    wait_until(lambda: len(listener.payloads("cam/config")) == 4, "and it still listens", 20)


def test_a_camera_that_is_switched_off_disappears(listen: Listen, appear: Appear) -> None:
    listener = listen()
    appear()
    wait_until(lambda: len(listener.payloads("cam/config")) == 1, "it is announced")
    appear(enabled=False)
    wait_until(lambda: listener.payloads("cam/config")[-1] == b"", "it is taken back")
    assert retained(listen) is None


def test_a_camera_that_never_appeared_publishes_nothing_there(
    listen: Listen, appear: Appear, tmp_path: Path
) -> None:
    listener = listen()
    one = appear(enabled=False)
    wait_until(lambda: bool(listener.payloads("cam/state")), "it is online")
    one.close(timeout_s=1.0)
    wait_until(lambda: len(listener.payloads("cam/state")) == 2, "it says goodbye")
    assert not [m for m in listener.messages if m.topic.startswith("homeassistant")]
    assert not (tmp_path / FILE).exists()


def test_what_a_lost_region_had_is_taken_back_alone(listen: Listen, appear: Appear) -> None:
    listener = listen()
    appear("deck", "pier")
    wait_until(lambda: len(listener.payloads("cam/config")) == 1, "it is announced")
    appear("deck")
    wait_until(lambda: len(listener.payloads("cam/config")) == 2, "it is announced anew")
    both, one = (json.loads(payload)["components"] for payload in listener.payloads("cam/config"))
    assert one["pier-x_px"] == {"platform": "sensor"}
    assert one["pier-vibration"] == {"platform": "binary_sensor"}
    assert {k: v for k, v in one.items() if len(v) > 1} == {
        key: value for key, value in both.items() if not key.startswith("pier-")
    }


def test_another_prefix_takes_the_former_back(listen: Listen, appear: Appear) -> None:
    listener = listen()
    appear()
    wait_until(lambda: len(listener.payloads("cam/config")) == 1, "it is announced")
    appear(prefix="ha")
    wait_until(lambda: len(listener.payloads("cam/config")) == 3, "announced and taken back")
    assert retained(listen) is None
    assert retained(listen, TOPIC.replace("homeassistant", "ha")) is not None


def test_a_damaged_memory_is_told_and_begun_anew(
    listen: Listen, appear: Appear, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_text("[")
    listener = listen()
    appear()
    wait_until(lambda: len(listener.payloads("cam/config")) == 1, "it is announced")
    assert "delete the device" in caplog.text
    assert TOPIC in json.loads((tmp_path / FILE).read_text())


def test_the_access_rules_of_the_page_are_enough_and_no_more(
    mosquitto: Mosquitto, outbox: Outbox, tmp_path: Path
) -> None:
    [rules] = re.findall(r"```\n(user bridge\n.*?)```", PAGE.read_text(), re.DOTALL)
    acl, passwords, secret = (tmp_path / name for name in ("acl", "passwords", "secret"))
    acl.write_text(rules)
    acl.chmod(0o600)
    secret.write_text("pw")
    program = shutil.which("mosquitto_passwd") or "mosquitto_passwd"
    passwords.touch(0o600)
    for user in ("bridge", "homeassistant"):
        subprocess.run([program, "-b", str(passwords), user, "pw"], check=True)
    mosquitto.stop()
    mosquitto.settings = ["allow_anonymous false", f"password_file {passwords}", f"acl_file {acl}"]
    mosquitto.start()
    mqtt = Mqtt(host=mosquitto.host, port=mosquitto.port, username="bridge", password_file=secret)
    config = configured(mosquitto, True, "deck", prefix="homeassistant")
    config = config.model_copy(update={"name": "bridge", "mqtt": mqtt})
    listener = Listener(mosquitto, login=("homeassistant", "pw"))
    publisher = Publisher(mqtt, name="bridge", outbox=outbox, state=STATE)
    try:
        publisher.start()
        announce(config, publisher, tmp_path)
        wait_until(lambda: len(listener.payloads("bridge/config")) == 1, "it is announced")
        listener.send("homeassistant/status", b"online")
        wait_until(lambda: len(listener.payloads("bridge/config")) == 2, "it heard the birth")
        publisher.keep("homeassistant/device/another/config", b"{}")
        publisher.publish_picture("picture", b"jpeg", retain=False)
        wait_until(lambda: bool(listener.payloads("bridge/picture")), "its own topics are allowed")
        assert listener.payloads("another/config") == []
        listener.send("tremorscope/bridge/alerts", b"forged")
        listener.send("homeassistant/status", b"online")
        wait_until(lambda: len(listener.payloads("bridge/config")) == 3, "what came after")
        assert listener.payloads("bridge/alerts") == []
    finally:
        publisher.close(timeout_s=1.0)
        listener.close()
