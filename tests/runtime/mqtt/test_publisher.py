import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from broker import Mosquitto, wait_until
from publishers import Listen, Publish, connected, drained, event_ids
from sample_messages import alert, shape, telemetry

import runtime
from runtime.delivery.outbox import Outbox
from runtime.messages import AlertMessage, Message, ModeShape, State, Telemetry
from runtime.mqtt.connection import MqttConnection

M = TypeVar("M", bound=Message)


def without_stamp(model: type[M], payload: bytes) -> M:
    return model.model_validate_json(payload).model_copy(update={"stamp": None})


def test_an_alert_is_delivered_and_not_retained(listen: Listen, publisher: Publish) -> None:
    listener = listen()
    one = publisher()
    one.publish_alert(alert(1))
    drained(one)
    wait_until(lambda: len(listener.payloads("/alerts")) == 1, "the alert arrives")
    (message,) = [m for m in listener.messages if m.topic == "tremorscope/cam/alerts"]
    assert without_stamp(AlertMessage, bytes(message.payload)) == alert(1)
    assert (message.qos, message.retain) == (1, False)
    counts = one.counts()
    assert (counts.acknowledged, counts.errors, counts.problem) == (1, 0, None)
    assert counts.last_ack_age_s is not None
    assert counts.last_ack_age_s < 5


def test_alerts_raised_while_the_broker_is_down_follow_in_order_and_once(
    mosquitto: Mosquitto, listen: Listen, publisher: Publish
) -> None:
    mosquitto.persistent = True
    mosquitto.stop()
    mosquitto.start()
    listener = listen()  # its session makes sure that the broker has a subscriber
    mosquitto.stop()
    one = publisher()
    for number in range(40):
        one.publish_alert(alert(number))
    wait_until(lambda: one.counts().problem is not None, "the publisher tells the problem")
    assert "cannot be reached" in str(one.counts().problem)
    mosquitto.start()
    wait_until(lambda: len(event_ids(listener)) >= 40, "40 alerts arrive", 20)
    drained(one)
    assert event_ids(listener) == [f"event-{number}" for number in range(40)]
    assert one.counts().acknowledged == 40


def test_no_alert_is_lost_when_the_broker_is_killed_in_the_middle(
    mosquitto: Mosquitto, listen: Listen, publisher: Publish
) -> None:
    mosquitto.persistent = True
    mosquitto.stop()
    mosquitto.start()
    listener = listen()
    one = publisher(timing={"unheard_retry_s": 0.5})
    connected(one)
    for number in range(50):
        one.publish_alert(alert(number))
        if number == 25:
            mosquitto.kill()
    wait_until(lambda: not one.counts().connected, "the loss of the broker is noticed")
    assert one.counts().queued > 0
    mosquitto.start()
    drained(one, 20)
    expected = {f"event-{number}" for number in range(50)}
    wait_until(lambda: set(event_ids(listener)) == expected, "all 50 alerts arrive", 20)
    assert one.counts().reconnects == 1


def test_a_broker_that_loses_what_it_has_just_acknowledged_gets_it_again(
    mosquitto: Mosquitto, listen: Listen, publisher: Publish
) -> None:
    """It acknowledges before its disk has the message."""
    mosquitto.settings += [
        "persistence true",
        f"persistence_location {mosquitto.folder}/",
        "autosave_interval 600",
    ]
    mosquitto.stop()
    mosquitto.start()
    away = listen()
    mosquitto.stop()  # saves the session of the listener
    away.close()
    mosquitto.start()
    one = publisher()
    one.publish_alert(alert(1))
    wait_until(lambda: one.counts().acknowledged == 1, "the alert is acknowledged")
    assert one.counts().queued == 0
    mosquitto.kill()
    wait_until(lambda: not one.counts().connected, "the loss of the broker is noticed")
    mosquitto.start()
    wait_until(lambda: one.counts().acknowledged == 2, "the alert is acknowledged again")
    away.return_()
    wait_until(lambda: event_ids(away) == ["event-1"], "the alert arrives")


def run_publisher(mosquitto: Mosquitto, outbox: Path, then: str) -> subprocess.Popen[str]:
    """A publisher in a process of its own; ``then`` is what it does after starting."""
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from publishers import STATE
from runtime.config import Mqtt
from runtime.mqtt.publisher import Publisher
from runtime.delivery.outbox import Outbox
from sample_messages import alert
mqtt = Mqtt(host={mosquitto.host!r}, port={mosquitto.port})
one = Publisher(mqtt, name="cam", outbox=Outbox(Path({str(outbox)!r})), state=STATE)
one.start()
{then}
print("ready", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(next(iter(runtime.__path__))).parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_restarted_publisher_delivers_what_a_killed_one_left(
    mosquitto: Mosquitto, listen: Listen, publisher: Publish, outbox: Outbox
) -> None:
    mosquitto.stop()
    then = "for number in range(5): one.publish_alert(alert(number))"
    kill(run_publisher(mosquitto, outbox.path, then))
    mosquitto.start()
    listener = listen()
    one = publisher()
    drained(one)
    wait_until(lambda: len(event_ids(listener)) == 5, "5 alerts arrive")
    assert event_ids(listener) == [f"event-{number}" for number in range(5)]


def test_the_broker_tells_offline_for_a_killed_publisher(
    mosquitto: Mosquitto, listen: Listen, tmp_path: Path
) -> None:
    listener = listen(topic="tremorscope/cam/state")
    then = "while not one.counts().connected: time.sleep(0.01)"
    process = run_publisher(mosquitto, tmp_path / "other.sqlite", then)
    wait_until(lambda: len(listener.messages) == 1, "online arrives")
    kill(process)
    wait_until(lambda: len(listener.messages) == 2, "offline arrives")
    states = [State.model_validate_json(payload).state for payload in listener.payloads("/state")]
    assert states == ["online", "offline"]


def test_closing_says_offline_and_the_state_is_retained(listen: Listen, publisher: Publish) -> None:
    one = publisher()
    connected(one)
    one.announce(engine="onnxruntime")
    one.close()
    listener = listen(topic="tremorscope/cam/state")
    wait_until(lambda: len(listener.messages) == 1, "the retained state arrives")
    state = State.model_validate_json(listener.messages[0].payload)
    assert (state.state, state.engine) == ("offline", "onnxruntime")
    assert listener.messages[0].retain


def test_closing_does_not_wait_for_a_broker_that_is_down(
    mosquitto: Mosquitto, publisher: Publish
) -> None:
    mosquitto.stop()
    one = publisher()
    one.publish_alert(alert(1))
    wait_until(lambda: one.counts().problem is not None, "the publisher tells the problem")
    one.close(timeout_s=30.0)  # the test's whole run would be over time
    assert one.counts().queued == 1


def test_an_exception_in_a_callback_does_not_stop_delivery(
    listen: Listen, publisher: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, failures = (
        MqttConnection._on_publish,
        iter([RuntimeError("first"), ValueError("second")]),
    )

    def failing(self: MqttConnection, *arguments: Any) -> None:
        for error in failures:
            raise error
        original(self, *arguments)

    monkeypatch.setattr(MqttConnection, "_on_publish", failing)
    listener = listen()
    one = publisher()
    for number in range(10):
        one.publish_alert(alert(number))
    drained(one)
    expected = {f"event-{number}" for number in range(10)}
    wait_until(lambda: set(event_ids(listener)) == expected, "all alerts arrive")
    assert one.counts().errors == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_network_thread_is_started_again(listen: Listen, publisher: Publish) -> None:
    listener = listen()
    one = publisher()
    connected(one)
    guarded = one._client.on_publish

    def fatal(*_: Any) -> None:
        one._client.on_publish = guarded
        raise RuntimeError("past every guard")

    one._client.on_publish = fatal
    one.publish_alert(alert(1))
    drained(one)
    wait_until(lambda: "event-1" in event_ids(listener), "the alert arrives")
    assert one.counts().errors == 1


def test_telemetry_arrives_and_expires(listen: Listen, publisher: Publish) -> None:
    listener = listen()
    one = publisher()
    connected(one)
    one.publish_telemetry(telemetry())
    one.publish_telemetry(shape())
    wait_until(lambda: bool(listener.payloads("/telemetry/mast")), "the telemetry arrives")
    wait_until(lambda: bool(listener.payloads("/shapes")), "the shape arrives")
    (payload,) = listener.payloads("tremorscope/cam/shapes")
    assert without_stamp(ModeShape, payload) == shape()
    (payload,) = listener.payloads("tremorscope/cam/telemetry/mast")
    assert without_stamp(Telemetry, payload) == telemetry()
    (message,) = [m for m in listener.messages if m.topic.endswith("/mast")]
    assert message.properties is not None
    assert 0 < vars(message.properties)["MessageExpiryInterval"] <= 86_400
    assert "UserProperty" not in vars(message.properties)
    assert one.counts().dropped_telemetry == 0


def test_telemetry_without_a_connection_is_kept_and_follows_marked_as_replayed(
    mosquitto: Mosquitto, listen: Listen, publisher: Publish
) -> None:
    mosquitto.stop()
    one = publisher()
    for number in range(7):
        one.publish_telemetry(telemetry().model_copy(update={"t_s": float(number)}))
    wait_until(lambda: one.counts().waiting_telemetry == 7, "it is on the disk")
    mosquitto.start()
    listener = listen()
    wait_until(lambda: len(listener.payloads("/telemetry/mast")) == 7, "it arrives")
    arrived = [m for m in listener.messages if m.topic.endswith("/mast")]
    assert [json.loads(m.payload)["t_s"] for m in arrived] == list(range(7))
    for message in arrived:
        assert vars(message.properties)["UserProperty"] == [("replayed", "true")]
    wait_until(lambda: one.counts().waiting_telemetry == 0, "it is off the disk")
    assert one.counts().dropped_telemetry == 0


def test_alerts_that_nobody_heard_are_kept_and_follow_in_order(
    listen: Listen, publisher: Publish
) -> None:
    one = publisher(timing={"unheard_retry_s": 0.2})
    for number in range(30):
        one.publish_alert(alert(number))
    wait_until(lambda: "nobody has subscribed" in str(one.counts().problem), "it is told")
    assert (one.counts().queued, one.counts().acknowledged) == (30, 0)
    listener = listen()
    drained(one)
    wait_until(lambda: len(event_ids(listener)) >= 30, "30 alerts arrive")
    assert event_ids(listener) == [f"event-{number}" for number in range(30)]


def test_an_alert_that_the_disk_cannot_take_is_sent_all_the_same(
    listen: Listen, publisher: Publish, outbox: Outbox
) -> None:
    assert outbox._database is not None
    outbox._database.execute("PRAGMA query_only = 1")
    listener = listen()
    one = publisher()
    one.publish_alert(alert(1))
    wait_until(lambda: event_ids(listener) == ["event-1"], "the alert arrives")
    drained(one)
    assert one.counts().outbox_problem is not None
    assert (one.counts().dropped_alerts, one.counts().acknowledged) == (0, 1)


def test_a_disk_that_cannot_forget_an_alert_does_not_repeat_it(
    listen: Listen, publisher: Publish, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, failures = outbox.done, iter(range(2))

    def full(row_ids: Iterable[int]) -> bool:
        return next(failures, None) is None and original(row_ids)

    monkeypatch.setattr(outbox, "done", full)
    listener = listen()
    one = publisher(timing={"keep_accepted_s": 0.0})
    one.publish_alert(alert(1))
    wait_until(lambda: outbox.counts().pending == 0, "it is forgotten")
    assert event_ids(listener) == ["event-1"]


def test_paho_still_resends_in_order_what_was_in_flight(
    mosquitto: Mosquitto, listen: Listen, publisher: Publish
) -> None:
    """Our order after a lost connection rests on it."""
    mosquitto.persistent = True
    mosquitto.stop()
    mosquitto.start()
    listener = listen()
    one = publisher()
    connected(one)
    mosquitto.kill()
    one._online = True  # as if the loss had not been noticed yet
    for number in range(20):
        one.publish_alert(alert(number))
    mosquitto.start()
    drained(one)
    wait_until(lambda: len(set(event_ids(listener))) == 20, "20 alerts arrive")
    first = list(dict.fromkeys(event_ids(listener)))
    assert first == [f"event-{number}" for number in range(20)]
