"""The broker, met as the daemon meets it: let in, allowed to publish, and told of commands.

Under a name of its own, since a broker ends the connection of whoever comes with a name that it knows. What
is published is a reply to no command, which no consumer takes for an alert.
"""

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from runtime.config import Config, Mqtt
from runtime.doctor.finding import Finding
from runtime.messages import Reply
from runtime.mqtt.client import client_for, connect_properties, properties_for
from runtime.mqtt.stamps import Stamps

WAIT_S = 10.0
_BACK_S = 2.0
_RULES = "let this user write below {prefix}/, and read {prefix}/command/#"


def broker_findings(config: Config, *, wait_s: float = WAIT_S) -> Iterator[Finding]:
    """Connect, subscribe, publish, and read back what was published, under the broker's own rules."""
    mqtt = config.mqtt
    if not mqtt.enabled:
        yield Finding("broker", "warning", "mqtt.enabled = false: nobody is told of alerts")
        return
    prefix = f"{mqtt.topic}/{config.name}"
    where = f"{mqtt.host}:{mqtt.port}"
    visit = _Visit(mqtt, prefix, wait_s)
    try:
        problem = visit.connect()
        if problem is not None:
            yield Finding("broker", "failed", f"{where}: {problem}")
            return
        kind = "TLS" if mqtt.tls else "no TLS"
        user = "without a user" if mqtt.username is None else f"as {mqtt.username}"
        yield Finding("broker", "good", f"{where}: connected {user}, {kind}, MQTT {mqtt.protocol}")
        rules = _RULES.format(prefix=prefix)
        refusal = visit.subscribe(f"{prefix}/command/+")
        if refusal is None:
            yield Finding("commands", "good", f"{prefix}/command/+ can be read")
        else:
            yield Finding("commands", "warning", f"{prefix}/command/+: {refusal}", rules)
        visit.subscribe(f"{prefix}/reply")
        refusal = visit.publish(f"{prefix}/reply")
        if refusal is not None:
            yield Finding("publishing", "failed", f"{prefix}/reply: {refusal}", rules)
        else:
            # Strict rules let a camera write there and not read: some brokers say so, others are silent.
            back = "came back" if visit.came_back() else "may not be read back by this user"
            yield Finding("publishing", "good", f"{prefix}/reply was accepted, and {back}")
    finally:
        visit.end()


class _Visit:
    """One short connection; every answer of the broker's is waited for."""

    def __init__(self, mqtt: Mqtt, prefix: str, wait_s: float) -> None:
        self._mqtt, self._wait_s = mqtt, wait_s
        self._answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._correlation = uuid4().hex
        client = self._client = client_for(mqtt, prefix, role="doctor")
        client.on_connect = lambda *args: self._answers.put(("connect", args[3]))
        client.on_subscribe = lambda *args: self._answers.put(("subscribe", args[3][0]))
        client.on_publish = lambda *args: self._answers.put(("publish", args[3]))
        client.on_message = lambda *args: self._answers.put(("message", bytes(args[2].payload)))

    def connect(self) -> str | None:
        """Why it was not possible, if it was not."""
        mqtt = self._mqtt
        try:
            self._client.connect(
                mqtt.host, mqtt.port, mqtt.keepalive_s, properties=connect_properties(mqtt)
            )
        except OSError as error:
            tls = ", mqtt.tls and mqtt.ca_file" if mqtt.tls else ""
            reason = getattr(error, "verify_message", None) or error.strerror or error
            return f"cannot be reached ({reason}); check mqtt.host, mqtt.port{tls}"
        self._client.loop_start()
        reason = self._wait("connect")
        if reason is None:
            return "does not answer as an MQTT broker; check mqtt.port and mqtt.tls"
        if reason.is_failure:
            return f"refuses this client: {reason}; check mqtt.username and mqtt.password_file"
        return None

    def subscribe(self, topic: str) -> str | None:
        """Why it was refused, if it was."""
        self._client.subscribe(topic, qos=1)
        return self._refusal(self._wait("subscribe"))

    def publish(self, topic: str) -> str | None:
        """Why it was refused, if it was."""
        reply = Reply(command="doctor", request_id=self._correlation, accepted=True)
        self._client.publish(
            topic, Stamps().payload("reply", reply), qos=1, properties=properties_for(self._mqtt)
        )
        return self._refusal(self._wait("publish"))

    def came_back(self) -> bool:
        """Whether the message that was published has arrived here."""
        return (
            self._wait("message", lambda payload: self._correlation.encode() in payload) is not None
        )

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _refusal(self, reason: Any) -> str | None:
        if reason is None:
            return f"no answer for {self._wait_s:g} s"
        return str(reason) if reason.is_failure else None

    def _wait(
        self,
        what: str,
        is_it: Callable[[Any], bool] = lambda _: True,
        most_s: float | None = None,
    ) -> Any:
        """The next answer of this kind; None when none comes in time. Others that came before are kept."""
        until_s = time.monotonic() + (most_s or self._wait_s)
        others = []
        try:
            while (left_s := until_s - time.monotonic()) > 0:
                kind, answer = self._answers.get(timeout=left_s)
                if kind == what and is_it(answer):
                    return answer
                others.append((kind, answer))
        except queue.Empty:
            pass
        finally:
            for other in others:
                self._answers.put(other)
        return None
