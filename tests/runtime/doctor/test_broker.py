from typing import Any

import pytest
from broker import Listener, Mosquitto, wait_until

from runtime.config import Config, Mqtt
from runtime.doctor.broker import broker_findings
from runtime.doctor.finding import Finding


def examined(broker: Mosquitto, *, wait_s: float = 5.0, **mqtt: Any) -> dict[str, Finding]:
    settings = {"host": broker.host, "port": broker.port} | mqtt
    config = Config.model_validate(
        {
            "name": "bridge",
            "camera": {"source": "csi:0"},
            "regions": [{"name": "girder", "x": 8, "y": 8, "width": 32, "height": 32}],
            "mqtt": Mqtt.model_validate(settings),
        }
    )
    return {one.what: one for one in broker_findings(config, wait_s=wait_s)}


def test_a_broker_that_lets_the_daemon_work_is_good(mosquitto: Mosquitto) -> None:
    listener = Listener(mosquitto)
    found = examined(mosquitto)
    assert {one.verdict for one in found.values()} == {"good"}
    assert "came back" in found["publishing"].text
    wait_until(lambda: bool(listener.messages), "it arrives")
    topics = {message.topic for message in listener.messages}
    listener.close()
    assert topics == {"tremorscope/bridge/reply"}, "nothing that anybody takes for an alert"


def test_rules_that_let_it_write_and_not_read_back_are_good_too(mosquitto: Mosquitto) -> None:
    mosquitto.rule("topic write tremorscope/bridge/#\ntopic read tremorscope/bridge/command/#\n")
    found = examined(mosquitto, wait_s=2.0)
    assert found["commands"].verdict == "good"
    assert found["publishing"].verdict == "good"
    assert "may not be read back" in found["publishing"].text


def test_rules_that_forbid_publishing_are_told_with_the_mend(mosquitto: Mosquitto) -> None:
    mosquitto.rule("topic read tremorscope/bridge/command/#\n")
    found = examined(mosquitto)
    assert found["publishing"].verdict == "failed"
    assert "Not authorized" in found["publishing"].text
    assert "write below tremorscope/bridge/" in str(found["publishing"].mend)


@pytest.mark.parametrize(
    ("settings", "text"),
    [({}, "refuses this client"), ({"port": 9}, "cannot be reached"), ({"tls": True}, "mqtt.tls")],
)
def test_why_it_is_not_let_in_is_told(
    mosquitto: Mosquitto, settings: dict[str, Any], text: str
) -> None:
    mosquitto.stop()
    mosquitto.settings = ["allow_anonymous false"]
    mosquitto.start()
    [found] = examined(mosquitto, **settings).values()
    assert found.verdict == "failed"
    assert text in found.text


def test_it_comes_under_a_name_of_its_own_so_that_the_daemon_is_not_cut_off(
    mosquitto: Mosquitto,
) -> None:
    examined(mosquitto)
    log = (mosquitto.folder / "mosquitto.log").read_text()
    assert "as tremorscope-tremorscope-bridge-doctor" in log


def test_no_broker_at_all_is_a_warning(mosquitto: Mosquitto) -> None:
    [found] = examined(mosquitto, enabled=False).values()
    assert found.verdict == "warning"
