"""Two real Mosquittos with the shipped files, one a site's, one the centre, and the link between them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority
from broker import Listener, wait_until
from paho.mqtt.client import topic_matches_sub
from sample_messages import alert
from shipped_broker import ShippedMosquitto
from test_mosquitto import Guest

from benchmarks.shipped_mosquitto import SHIPPED
from runtime.config import Mqtt
from runtime.delivery.outbox import Outbox
from runtime.messages import State
from runtime.mqtt.publisher import Publisher
from runtime.mqtt.topics import TOPICS

BRIDGE = (SHIPPED / "bridge.conf").read_text()


class Centre(ShippedMosquitto):
    """Knows the bridge, with the lines that the shipped rules have in comments."""

    def configuration(self) -> Path:
        path = super().configuration()
        rules = path.parent / "acl"
        shipped = rules.read_text()
        allowed = re.sub(
            r"#(user bridge-site-1|topic .* tremorscope/[#+].*)\n", r"\1\n", shipped, count=3
        )
        assert allowed.count("\nuser bridge-site-1\n") == 1
        rules.write_text(allowed)
        return path


class Sites:
    def __init__(self, folder: Path) -> None:
        authority = Authority(folder, "authority")
        for name in ("centre", "site"):
            (folder / name).mkdir()
        self.centre = Centre(folder / "centre", authority)
        self.centre.users["bridge-site-1"] = "of the bridge"
        self.site = ShippedMosquitto(folder / "site")
        shipped = {
            "address broker.example:8883": f"address 127.0.0.1:{self.centre.tls_port}",
            "/etc/mosquitto/certs/central-ca.pem": str(authority.certificate),
            "CHANGE-ME": "of the bridge",
        }
        self.site.more = BRIDGE
        for given, instead in shipped.items():
            assert given in BRIDGE
            self.site.more = self.site.more.replace(given, instead)


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    both = Sites(tmp_path)
    both.centre.start()
    both.site.start()
    wait_until(lambda: "u'bridge-site-1'" in both.centre.log, "the bridge connects", 30)
    yield both
    both.site.stop()
    both.centre.stop()


def test_alerts_raised_while_the_link_was_down_arrive_all_even_if_the_site_s_broker_is_killed(
    sites: Sites, outbox: Outbox, tmp_path: Path
) -> None:
    login = sites.centre.login("reader")
    listener = Listener(sites.centre, "tremorscope/+/alerts", login)
    (tmp_path / "password").write_text(sites.site.users["bridge"])
    mqtt = Mqtt(
        host=sites.site.host,
        port=sites.site.port,
        username="bridge",
        password_file=tmp_path / "password",
    )
    publisher = Publisher(
        mqtt, name="bridge", outbox=outbox, state=State(state="online", version="1", source="test")
    )
    publisher.start()

    def arrived() -> set[str]:
        return {json.loads(payload)["event_id"] for payload in listener.payloads("bridge/alerts")}

    publisher.publish_alert(alert(0))
    wait_until(lambda: arrived() == {"event-0"}, "an alert crosses the bridge", 30)
    sites.centre.stop()
    for number in range(1, 101):
        publisher.publish_alert(alert(number))
    wait_until(lambda: publisher.counts().acknowledged >= 101, "the site takes them all", 60)
    publisher.close()
    saved = tmp_path / "site" / "lib" / "mosquitto.db"
    for _ in range(2):  # saved, and once more, as the first may have begun too early
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        wait_until(lambda b=before: saved.exists() and saved.stat().st_mtime_ns > b, "it saves")  # type: ignore[misc]
    sites.site.kill()
    sites.site.start()
    sites.centre.start()
    everything = {f"event-{number}" for number in range(101)}
    wait_until(lambda: arrived() == everything, "all alerts cross the bridge", 60)
    listener.close()


def test_a_command_crosses_to_the_site_and_one_without_a_link_is_not_kept(sites: Sites) -> None:
    login = sites.site.login("bridge")
    camera = Listener(sites.site, "tremorscope/bridge/command/+", login)  # keeps its session
    operator = Guest(sites.centre, "operator")

    def heard_now() -> bool:
        operator.publish("tremorscope/bridge/command/snapshot", b"now")
        return bool(camera.messages)

    wait_until(heard_now, "a command crosses", 30)
    sites.site.stop()
    operator.publish("tremorscope/bridge/command/snapshot", b"late")
    camera.messages.clear()
    sites.site.start()
    wait_until(heard_now, "a command crosses again", 30)
    assert set(camera.payloads("snapshot")) == {b"now"}
    camera.close()
    operator.leave()


def test_every_topic_crosses_one_way() -> None:
    lines = re.findall(r"^topic (\S+) (in|out) (\d)$", BRIDGE, re.MULTILINE)
    for topic in TOPICS:
        address = f"tremorscope/bridge/{topic.address}".replace("{region}", "deck")
        ways = {(way, qos) for rule, way, qos in lines if topic_matches_sub(rule, address)}
        assert {way for way, _ in ways} == {"in" if topic.is_command else "out"}, address
        if topic.qos == 1 and not topic.is_command:
            assert ways == {("out", "1")}, address
