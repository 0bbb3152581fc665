"""Encrypted connections to a real broker: who it is, and who this machine is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from broker import Mosquitto, wait_until
from pydantic import ValidationError
from sample_messages import alert

from failure import Failure
from runtime.config import Mqtt
from runtime.delivery.outbox import Outbox
from runtime.messages import State
from runtime.mqtt.publisher import Publisher

Publish = Callable[..., Publisher]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture
def broker(mosquitto: Mosquitto, authority: Authority) -> Mosquitto:
    """Speaks TLS only; its certificate is for 127.0.0.1."""
    certificate, key = authority.signed("broker", host="IP:127.0.0.1")
    mosquitto.stop()
    mosquitto.settings = ["allow_anonymous true", f"certfile {certificate}", f"keyfile {key}"]
    mosquitto.start()
    return mosquitto


@pytest.fixture
def publisher(outbox: Outbox) -> Iterator[Publish]:
    publishers: list[Publisher] = []

    def make(broker: Mosquitto, **settings: Any) -> Publisher:
        mqtt = Mqtt(**{"host": broker.host, "port": broker.port, "tls": True, **settings})
        state = State(state="online", version="1", source="test")
        publishers.append(Publisher(mqtt, name="cam", outbox=outbox, state=state))
        publishers[-1].start()
        return publishers[-1]

    yield make
    for one in publishers:
        one.close(timeout_s=1.0)


def problem_of(one: Publisher) -> str:
    wait_until(lambda: one.counts().problem is not None, "the problem is told")
    assert not one.counts().connected
    return str(one.counts().problem)


def test_an_alert_reaches_a_broker_that_the_authority_vouches_for(
    broker: Mosquitto, authority: Authority, publisher: Publish
) -> None:
    one = publisher(broker, ca_file=authority.certificate)
    one.publish_alert(alert(1))
    wait_until(lambda: "nobody has subscribed" in str(one.counts().problem), "it is answered")
    assert one.counts().connected


def test_a_broker_that_another_authority_vouches_for_gets_nothing(
    broker: Mosquitto, publisher: Publish, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    told = problem_of(publisher(broker, ca_file=other.certificate))
    assert "its certificate is refused" in told
    assert "mqtt.ca_file" in told


def test_without_ca_file_this_machines_own_authorities_decide(
    broker: Mosquitto, publisher: Publish
) -> None:
    assert "its certificate is refused" in problem_of(publisher(broker))


def test_a_certificate_of_another_host_is_told(
    broker: Mosquitto, authority: Authority, publisher: Publish
) -> None:
    told = problem_of(publisher(broker, host="localhost", ca_file=authority.certificate))
    assert "'localhost'" in told
    assert "mqtt.host" in told


def test_a_broker_that_asks_who_this_machine_is_is_shown_its_certificate(
    broker: Mosquitto, authority: Authority, publisher: Publish
) -> None:
    broker.stop()
    broker.settings += [f"cafile {authority.certificate}", "require_certificate true"]
    broker.settings += ["use_identity_as_username true"]
    broker.start()
    certificate, key = authority.signed("board-7")
    one = publisher(
        broker, ca_file=authority.certificate, certificate_file=certificate, key_file=key
    )
    wait_until(lambda: one.counts().connected, "it is let in")
    assert "u'board-7'" in (broker.folder / "mosquitto.log").read_text()
    one.close()


def test_a_broker_without_tls_is_told(
    mosquitto: Mosquitto, authority: Authority, publisher: Publish
) -> None:
    told = problem_of(publisher(mosquitto, ca_file=authority.certificate))
    assert "check mqtt.host, mqtt.port, mqtt.tls" in told


@pytest.mark.parametrize("content", [None, "no certificate"])
@pytest.mark.parametrize("name", ["ca_file", "certificate_file"])
def test_files_that_cannot_be_used_are_told_before_connecting(
    name: str, content: str | None, outbox: Outbox, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    files = {name: file, **({"key_file": file} if name == "certificate_file" else {})}
    mqtt = Mqtt.model_validate({"tls": True, **files})
    state = State(state="online", version="1", source="test")
    with pytest.raises(Failure, match=rf"mqtt\.{name}.*{file}.*PEM form"):
        Publisher(mqtt, name="cam", outbox=outbox, state=state)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ca_file": "a"}, "ca_file is given without tls = true"),
        ({"tls": True, "key_file": "a"}, "key_file is given without certificate_file"),
        ({"tls": True, "certificate_file": "a"}, "certificate_file is given without key_file"),
    ],
)
def test_half_a_configuration_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Mqtt(**settings)


def test_tls_has_its_own_port_unless_another_is_given() -> None:
    assert Mqtt.model_validate({"tls": True}).port == 8883
    assert Mqtt.model_validate({"tls": True, "port": 1884}).port == 1884
    assert Mqtt.model_validate({}).port == 1883


@pytest.mark.parametrize(
    ("settings", "noticed"),
    [
        ({"host": "broker.example"}, True),
        ({"host": "broker.example", "tls": True}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "localhost"}, False),
    ],
)
def test_a_password_that_everybody_on_the_way_can_read_is_noticed(
    settings: dict[str, Any], noticed: bool
) -> None:
    mqtt = Mqtt.model_validate({"username": "a", "password_file": "p", **settings})
    assert bool(mqtt.notices()) == noticed
