"""The shipped Mosquitto configuration, in a real Mosquitto: who gets in, and who may do what."""

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from broker import Listener, wait_until
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from shipped_broker import ShippedMosquitto
from videos import burst, moving, region, write_video

from runtime.config import Magnification, Mqtt
from runtime.delivery.outbox import Outbox
from runtime.messages import AlertMessage, Reply, State
from runtime.mqtt.publisher import Publisher

Join = Callable[..., "Guest"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture(scope="module")
def broker(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[ShippedMosquitto]:
    broker = ShippedMosquitto(tmp_path_factory.mktemp("broker"), authority)
    broker.start()
    yield broker
    broker.stop()


class Guest:
    """Somebody who tries what the broker lets him do, and notes what the broker says to it."""

    def __init__(self, broker: ShippedMosquitto, user: str | None, **options: Any) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.answer: str | None = None
        self.disconnections = 0
        self._said: dict[int, str] = {}
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.get("client_id", f"guest-{id(self)}"),
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        if user is not None:
            self._client.username_pw_set(user, options.get("password", broker.users.get(user)))
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = lambda _c, _d, m: self.heard.append((m.topic, bytes(m.payload)))
        self._client.on_publish = lambda _c, _d, mid, reason, _p: self._said.update(
            {mid: str(reason)}
        )
        port = broker.port
        if options.get("tls"):
            assert broker.authority is not None
            context = ssl.create_default_context(cafile=broker.authority.certificate)
            if "certificate" in options:
                context.load_cert_chain(*options["certificate"])
            self._client.tls_set_context(context)
            port = broker.tls_port
        self._client.connect(broker.host, port)
        self._client.loop_start()
        wait_until(lambda: self.answer is not None, "the broker answers")

    def publish(self, topic: str, payload: bytes = b"{}", *, retain: bool = False) -> str:
        """What the broker says to a message."""
        packet = self._client.publish(topic, payload, qos=1, retain=retain).mid
        wait_until(lambda: packet in self._said, "the broker answers to a message")
        return self._said[packet]

    def subscribe(self, topic: str) -> None:
        subscribed: list[int] = []
        self._client.on_subscribe = lambda _c, _d, packet, _r, _p: subscribed.append(packet)
        self._client.subscribe(topic, qos=1)
        wait_until(lambda: bool(subscribed), "the broker answers to a subscription")

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, _client: Client, _data: Any, _flags: Any, reason: Any, _p: Any) -> None:
        self.answer = str(reason)

    def _disconnected(self, *_: Any) -> None:
        self.disconnections += 1


@pytest.fixture
def join(broker: ShippedMosquitto) -> Iterator[Join]:
    guests: list[Guest] = []

    def one(user: str | None, **options: Any) -> Guest:
        guests.append(Guest(broker, user, **options))
        return guests[-1]

    yield one
    for each in guests:
        each.leave()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("user", "password"),
    [(None, None), ("operator", "guessed"), ("operator", ""), ("nobody", "of nobody")],
)
def test_nobody_comes_in_without_a_user_and_its_password(
    join: Join, user: str | None, password: str | None, tls: bool
) -> None:
    operator = join("operator")
    operator.subscribe("#")
    guest = join(user, password=password, tls=tls)
    assert guest.answer in ("Not authorized", "Bad user name or password")
    guest._client.publish("tremorscope/bridge/alerts", b"forged", qos=1)
    assert operator.publish("tremorscope/bridge/command/snapshot") == "Success"
    assert b"forged" not in [payload for _, payload in operator.heard]
    assert guest.heard == []


def test_as_shipped_only_this_machine_can_reach_it(tmp_path: Path) -> None:
    alone = ShippedMosquitto(tmp_path)
    alone.start()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", alone.port)) == 0
    with socket.socket() as probe:  # whoever listens at every address listens at this one
        assert probe.connect_ex(("127.0.0.2", alone.port)) != 0
    alone.stop()


def test_a_camera_writes_below_its_own_name_only(join: Join) -> None:
    bridge, reader = join("bridge"), join("reader")
    reader.subscribe("tremorscope/#")
    own = ["state", "alerts", "telemetry/deck", "history/telemetry/deck", "event-picture", "reply"]
    for topic in own:
        assert bridge.publish(f"tremorscope/bridge/{topic}", b"mine") == "Success"
    foreign = [
        "tremorscope/tower/alerts",
        "tremorscope/tower/command/magnification",
        "tremorscope/bridge-2/state",
        "tremorscope/state",
        "homeassistant/device/x/config",
    ]
    for topic in foreign:
        assert bridge.publish(topic, b"not mine", retain=True) == "Not authorized"
    wait_until(lambda: len(reader.heard) == len(own), "the reader hears of all that was allowed")
    assert {payload for _, payload in reader.heard} == {b"mine"}


def test_a_camera_hears_its_own_commands_and_nothing_else(join: Join) -> None:
    bridge, tower, operator = join("bridge"), join("tower"), join("operator")
    bridge.subscribe("#")
    assert tower.publish("tremorscope/tower/alerts").startswith(("Success", "No matching"))
    operator.publish("tremorscope/tower/command/snapshot")
    operator.publish("tremorscope/bridge/command/snapshot", b"for the bridge")
    wait_until(lambda: bool(bridge.heard), "its own command arrives")
    assert bridge.heard == [("tremorscope/bridge/command/snapshot", b"for the bridge")]


@pytest.mark.parametrize("user", ["reader", "telegraf", "tower"])
def test_only_an_operator_commands(join: Join, user: str) -> None:
    bridge, operator, other = join("bridge"), join("operator"), join(user)
    bridge.subscribe("tremorscope/bridge/command/+")
    assert other.publish("tremorscope/bridge/command/snapshot", b"forged") == "Not authorized"
    assert operator.publish("tremorscope/bridge/command/snapshot", b"ordered") == "Success"
    wait_until(lambda: bool(bridge.heard), "the operator's command arrives")
    assert [payload for _, payload in bridge.heard] == [b"ordered"]
    # An operator commands, and speaks for no camera.
    assert operator.publish("tremorscope/bridge/alerts") == "Not authorized"


@pytest.mark.parametrize("user", ["reader", "telegraf-alerts", "operator"])
def test_whoever_may_read_reads_all_cameras(join: Join, user: str) -> None:
    one = join(user)
    one.subscribe("tremorscope/+/alerts")
    for camera in ("bridge", "tower"):
        assert join(camera).publish(f"tremorscope/{camera}/alerts") == "Success"
    wait_until(lambda: len(one.heard) == 2, "both cameras are heard")


def test_no_camera_can_take_another_s_place_by_its_client_id(join: Join) -> None:
    bridge = join("bridge", tls=True, client_id="tremorscope-tremorscope-bridge")
    tower = join("tower", tls=True, client_id="tremorscope-tremorscope-bridge")
    assert tower.publish("tremorscope/tower/state").startswith(("Success", "No matching"))
    assert bridge.publish("tremorscope/bridge/state").startswith(("Success", "No matching"))
    assert (bridge.disconnections, tower.disconnections) == (0, 0)


def test_a_message_larger_than_any_picture_is_not_taken(join: Join) -> None:
    reader, bridge = join("reader"), join("bridge")
    reader.subscribe("tremorscope/bridge/picture")
    assert bridge.publish("tremorscope/bridge/picture", bytes(200_000)) == "Success"
    wait_until(lambda: len(reader.heard) == 1, "the picture arrives")
    bridge._client.publish("tremorscope/bridge/picture", bytes(300_000), qos=1)
    wait_until(lambda: bridge.disconnections > 0, "whoever sends too much is cut off")
    assert len(reader.heard) == 1


def test_what_was_accepted_for_a_collector_that_is_away_outlives_a_killed_broker(
    tmp_path: Path,
) -> None:
    broker = ShippedMosquitto(tmp_path)
    broker.start()
    login = broker.login("telegraf-alerts")
    away = Listener(broker, "tremorscope/+/alerts", login, client_id="telegraf")
    away.close()
    guest = Guest(broker, "bridge")
    count = 1500  # more than the 1000 that Mosquitto keeps by default
    for number in range(count):
        guest._client.publish("tremorscope/bridge/alerts", str(number).encode(), qos=1)
    wait_until(lambda: len(guest._said) == count, "all are accepted", 30)
    assert set(guest._said.values()) == {"Success"}
    guest.leave()
    saved = tmp_path / "lib" / "mosquitto.db"
    # The file is whole when it replaces the former; twice, since the first may have begun too early.
    for _ in range(2):
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        wait_until(lambda b=before: saved.exists() and saved.stat().st_mtime_ns > b, "it saves")  # type: ignore[misc]
    broker.kill()
    broker.start()
    back = Listener(broker, "tremorscope/+/alerts", login, client_id="telegraf")
    wait_until(lambda: len(back.messages) >= count, "what waited arrives", 30)
    assert {int(payload) for payload in back.payloads("alerts")} == set(range(count))
    back.close()
    broker.stop()


def test_a_command_that_the_broker_kept_is_not_carried_out(
    broker: ShippedMosquitto, join: Join, outbox: Outbox, authority: Authority, tmp_path: Path
) -> None:
    operator = join("operator")
    operator.subscribe("tremorscope/bridge/reply")
    operator.publish("tremorscope/bridge/command/snapshot", b"kept", retain=True)
    operator.publish("tremorscope/bridge/command/acknowledge", b"kept, too", retain=True)
    (tmp_path / "password").write_text(broker.users["bridge"])
    mqtt = Mqtt(
        host=broker.host,
        port=broker.tls_port,
        tls=True,
        ca_file=authority.certificate,
        username="bridge",
        password_file=tmp_path / "password",
    )
    state = State(state="online", version="1", source="test")
    publisher = Publisher(mqtt, name="bridge", outbox=outbox, state=state)
    carried_out: list[bytes] = []

    def answer(name: str, payload: bytes) -> Reply:
        carried_out.append(payload)
        return Reply(command=name, request_id=None, accepted=True)

    publisher.start()
    publisher.serve(answer)
    publisher.tell_controls(Magnification())
    controls = join("operator")
    controls.subscribe("tremorscope/bridge/controls")
    try:
        wait_until(lambda: bool(controls.heard), "it serves commands")
        operator.publish("tremorscope/bridge/command/snapshot", b"now")
        wait_until(lambda: bool(operator.heard), "the command after them is answered")
        assert carried_out == [b"now"]
    finally:
        publisher.close()
        for name in ("snapshot", "acknowledge"):
            operator.publish(f"tremorscope/bridge/command/{name}", b"", retain=True)


@pytest.mark.parametrize(
    ("asked", "answered"), [("answers/bridge", True), ("answers/tower", False)]
)
def test_a_response_topic_of_its_own_is_where_a_camera_may_answer(
    join: Join, asked: str, answered: bool
) -> None:
    operator, bridge = join("operator"), join("bridge")
    operator.subscribe("answers/+")
    assert (bridge.publish(asked) == "Success") == answered
    assert (bridge.publish("answers/bridge", b"last")) == "Success"
    wait_until(lambda: ("answers/bridge", b"last") in operator.heard, "the answer arrives")
    assert (("answers/tower", b"{}") in operator.heard) is False


def test_a_daemon_comes_in_over_tls_and_its_alert_comes_out(
    tmp_path: Path, broker: ShippedMosquitto, authority: Authority, join: Join
) -> None:
    write_video(tmp_path / "bridge.mkv", moving(burst(4.8, 1.2, 3.2)))
    (tmp_path / "password").write_text(broker.users["bridge"] + "\n")
    config = tmp_path / "bridge.toml"
    config.write_text(
        f'name = "bridge"\n[camera]\nsource = "bridge.mkv"\n{region()}'
        '[storage]\ndirectory = "state"\n'
        "[vibration]\nlevel_s = 0.6\n[magnification]\nenabled = false\n"
        '[[alerts]]\nname = "sway"\nquantity = "displacement_rms_px"\nraise_above = 0.05\n'
        "clear_below = 0.02\nraise_after_s = 0.3\nclear_after_s = 0.3\n"
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.tls_port}\ntls = true\n'
        f"ca_file = {json.dumps(str(authority.certificate))}\n"
        'username = "bridge"\npassword_file = "password"\npictures = true\n'
    )
    reader = join("reader")
    reader.subscribe("tremorscope/bridge/#")
    done = subprocess.run(
        [sys.executable, "-m", "tremorscope", "run", "--config", str(config)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wait_until(
        lambda: (
            [
                State.model_validate_json(payload).state
                for topic, payload in reader.heard
                if topic.endswith("/state")
            ][-1:]
            == ["offline"]
        ),
        "it says goodbye",
    )
    told = [AlertMessage.model_validate_json(p) for t, p in reader.heard if t.endswith("/alerts")]
    assert [told[0].type, told[-1].type] == ["new", "end"]
    assert any(topic.endswith("/event-picture") and payload for topic, payload in reader.heard)


def test_with_certificates_a_camera_is_who_its_certificate_says(tmp_path: Path) -> None:
    """What tls.conf has in comments."""

    class Certified(ShippedMosquitto):
        def configuration(self) -> Path:
            path = super().configuration()
            tls = path.parent / "conf.d" / "tls.conf"
            text = tls.read_text()
            for setting in ("require_certificate true", "use_identity_as_username true"):
                assert f"\n#{setting}\n" in text
                text = text.replace(f"\n#{setting}\n", f"\n{setting}\n")
            tls.write_text(text)
            return path

    authority = Authority(tmp_path, "authority")
    (tmp_path / "broker").mkdir()
    broker = Certified(tmp_path / "broker", authority)
    broker.start()
    try:
        shown = authority.signed("tower")
        tower = Guest(broker, None, tls=True, certificate=shown)
        assert tower.answer == "Success"
        assert tower.publish("tremorscope/tower/state").startswith(("Success", "No matching"))
        assert tower.publish("tremorscope/bridge/state") == "Not authorized"
        tower.leave()
        with pytest.raises((ssl.SSLError, ConnectionError, pytest.fail.Exception)):
            Guest(broker, "bridge", tls=True)
    finally:
        broker.stop()
