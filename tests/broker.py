"""A real MQTT broker for tests, and somebody who listens to it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Wait until ``condition`` holds; fail the test, telling ``what`` did not happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.02)


class Mosquitto:
    """A Mosquitto of the test's own on a free port of localhost; its settings may be changed
    between ``stop`` and ``start``."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            pytest.fail("these tests need a real broker: install Debian's mosquitto")
        self.program: str = program
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = free_port()
        self.persistent = False
        self._served = False
        self.settings = ["allow_anonymous true"]
        self._process: subprocess.Popen[bytes] | None = None

    def configuration(self) -> Path:
        """Written anew for each start."""
        lines = [f"listener {self.port} {self.host}", f"user {getpass.getuser()}", *self.settings]
        if self.persistent:
            lines += [
                "persistence true",
                f"persistence_location {self.folder}/",
                "autosave_interval 1",
                "autosave_on_changes true",
            ]
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(lines) + "\n")
        return configuration

    def start(self) -> None:
        configuration = self.configuration()
        for _ in range(5):
            self._launch(configuration)
            if self._has_started():
                return
            # Between being found free and being used, another program may have taken the port.
            self.port = free_port()
            configuration = self.configuration()
        pytest.fail("no port is free for long enough")

    def _launch(self, configuration: Path) -> None:
        log = (self.folder / "mosquitto.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [self.program, "-c", str(configuration)], stdout=log, stderr=log
            )

    def _has_started(self) -> bool:
        """False where its port is another's; any other failure fails the test."""
        assert self._process is not None
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                told = (self.folder / "mosquitto.log").read_text()
                if self._served or "Address already in use" not in told:
                    pytest.fail(told)
                return False
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    self._served = self._process.poll() is None
                    if self._served:
                        return True
            time.sleep(0.02)
        pytest.fail("not within 10 s: Mosquitto answers")

    def kill(self) -> None:
        """End it without warning, as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def rule(self, rules: str) -> Path:
        """Start again with these access rules; the file that they are in."""
        file = self.folder / "rules"
        file.write_text(rules)
        file.chmod(0o600)
        self.stop()
        self.settings.append(f"acl_file {file}")
        self.start()
        return file

    def reload(self) -> None:
        """Have it read its access rules again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


class Listener:
    """Subscribes to everything below a topic, keeps its session, and remembers what came."""

    def __init__(
        self,
        broker: Mosquitto,
        topic: str = "#",
        login: tuple[str, str] | None = None,
        client_id: str | None = None,
    ) -> None:
        self.messages: list[MQTTMessage] = []
        self.ready = threading.Event()
        self._topic = topic
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or f"listener-{os.getpid()}-{id(self)}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        if login is not None:
            self._client.username_pw_set(*login)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.SessionExpiryInterval = 600
        self._client.connect_async(
            broker.host, broker.port, clean_start=False, properties=properties
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.loop_start()
        assert self.ready.wait(10), "the listener could not subscribe"

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        reply_to: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
        if reply_to is not None:
            properties.ResponseTopic = reply_to
        if correlation is not None:
            properties.CorrelationData = correlation
        self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)

    def payloads(self, ending: str) -> list[bytes]:
        """The payloads of the messages whose topic ends so, in order of arrival."""
        return [bytes(m.payload) for m in list(self.messages) if m.topic.endswith(ending)]

    def return_(self) -> None:
        """Connect again after ``close``, with the same session."""
        self._client.reconnect()
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
