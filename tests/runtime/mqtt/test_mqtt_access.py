"""Who is let in and what they may do, by a real broker's own rules."""

import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest
from broker import Mosquitto, wait_until
from publishers import STATE, Listen, Publish, connected, drained, event_ids
from sample_messages import alert

from failure import Failure
from runtime.config import Mqtt
from runtime.delivery.outbox import Outbox
from runtime.mqtt.publisher import Publisher


def test_an_alert_that_access_rules_forbid_is_parked_with_the_reason(
    mosquitto: Mosquitto, publisher: Publish, outbox: Outbox
) -> None:
    mosquitto.rule("topic write tremorscope/cam/state\n")
    one = publisher()
    one.publish_alert(alert(1))
    wait_until(lambda: one.counts().parked == 1, "the alert is parked")
    ((row, reason),) = outbox.parked(10)
    assert json.loads(row.payload)["event_id"] == "event-1"
    assert reason == "Not authorized"
    counts = one.counts()
    assert (counts.acknowledged, counts.queued) == (0, 0)
    assert "refuses tremorscope/cam/alerts: Not authorized" in str(counts.problem)


def test_a_refused_alert_follows_by_itself_once_the_rules_are_mended(
    mosquitto: Mosquitto, listen: Listen, publisher: Publish
) -> None:
    """Nothing else may come to send for weeks."""
    rules = mosquitto.rule("topic write tremorscope/cam/state\ntopic read #\n")
    listener = listen()
    one = publisher(timing={"refused_retry_s": 0.5})
    one.publish_alert(alert(1))
    wait_until(lambda: one.counts().parked == 1, "the alert is parked")
    rules.write_text("topic readwrite #\n")
    mosquitto.reload()
    wait_until(lambda: event_ids(listener) == ["event-1"], "the alert arrives")
    drained(one)
    assert (one.counts().parked, one.counts().reconnects) == (0, 0)


def with_password(mosquitto: Mosquitto) -> None:
    file = mosquitto.folder / "passwords"
    program = str(Path(mosquitto.program).with_name("mosquitto_passwd"))
    if not Path(program).exists():
        program = "mosquitto_passwd"
    subprocess.run([program, "-b", "-c", str(file), "board", "right"], check=True)
    mosquitto.stop()
    mosquitto.settings = ["allow_anonymous false", f"password_file {file}"]
    mosquitto.start()


def test_a_wrong_password_is_told_and_never_logged(
    mosquitto: Mosquitto, publisher: Publish, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with_password(mosquitto)
    secret = tmp_path / "secret"
    secret.write_text("wrong-password\n")
    one = publisher(username="board", password_file=secret)
    wait_until(lambda: one.counts().problem is not None, "the refusal is told")
    assert "refuses this client: Not authorized" in str(one.counts().problem)
    assert "mqtt.password_file" in caplog.text
    assert "wrong-password" not in caplog.text
    assert not one.counts().connected


def test_the_password_is_read_without_its_newline(
    mosquitto: Mosquitto, publisher: Publish, tmp_path: Path
) -> None:
    with_password(mosquitto)
    secret = tmp_path / "secret"
    secret.write_text("right\n")
    connected(publisher(username="board", password_file=secret))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"username": "u", "password_file": Path("missing")}, "No such file"),
        ({"username": "u", "password_file": Path()}, "Is a directory"),
        ({"password_file": Path("missing")}, "without mqtt.username"),
        ({"host": "no..host"}, "is not a host name"),
    ],
)
def test_impossible_settings_are_told_before_connecting(
    settings: dict[str, Any], told: str, outbox: Outbox
) -> None:
    with pytest.raises(Failure, match=told):
        Publisher(Mqtt(**settings), name="cam", outbox=outbox, state=STATE)
