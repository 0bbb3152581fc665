"""Commands over MQTT: who may be answered where, and how many may wait.

Below ``<topic>/<camera>/``, ``command/<name>`` takes a JSON object. The reply goes to the command's MQTT 5
response topic with its correlation data, else to ``reply``. What is set is retained on ``controls``.

A retained command is ignored: it would be repeated at every new connection. A command sent while there
is no connection is never carried out late: the broker keeps no session for this client.
"""

import logging
import threading
from collections.abc import Callable

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from runtime.config import Magnification, Mqtt
from runtime.messages import Present, Reply
from runtime.mqtt.client import properties_for
from runtime.mqtt.stamps import Stamps

log = logging.getLogger(__name__)

MOST_WAITING = 32
_LONGEST_TOPIC = 256
_NO_RETAINED = 2  # MQTT 5: retained messages are not sent at all

Answer = Callable[[str, bytes], Reply]


class MqttCommands:
    """The commands of one client. ``arrived`` is for the network thread, the rest for the sender's."""

    def __init__(
        self,
        client: Client,
        mqtt: Mqtt,
        prefix: str,
        work: Callable[[Callable[[], None]], None],
        stamps: Stamps,
    ) -> None:
        """``work`` hands something to do to the sender's thread."""
        self.topic = f"{prefix}/command/+"
        self.dropped = 0
        """Commands that came while MOST_WAITING waited."""
        self._client, self._mqtt, self._prefix, self._work = client, mqtt, prefix, work
        self._stamps = stamps
        self._answer: Answer | None = None
        self._settings: Magnification | None = None
        self._waiting = threading.Semaphore(MOST_WAITING)

    def serve(self, answer: Answer) -> None:
        """Answer commands from now on; ``subscribe`` tells the broker."""
        self._answer = answer

    def subscribe(self) -> None:
        """There is a connection, or somebody who answers."""
        if self._answer is None:
            return
        if self._mqtt.protocol == "5":
            options = SubscribeOptions(qos=1, retainHandling=_NO_RETAINED)
            self._client.subscribe(self.topic, options=options)
        else:
            self._client.subscribe(self.topic, qos=1)
        self._tell()

    def tell(self, settings: Magnification) -> None:
        """Publish what is set, now and at each connection."""
        self._settings = settings
        self._tell()

    def arrived(self, message: MQTTMessage) -> None:
        """Hand a command over; never waits."""
        if message.retain:
            log.warning(
                "%s: a retained command is ignored; send it without the retain flag, and clear it with "
                "an empty retained message",
                message.topic,
            )
            return
        if not self._waiting.acquire(blocking=False):
            self.dropped += 1
            if self.dropped == 1:
                log.warning(
                    "%s: too many commands at once; some are dropped, and counted", self.topic
                )
            return
        self._work(lambda: self._carry_out(message))

    def _carry_out(self, message: MQTTMessage) -> None:
        self._waiting.release()
        if self._answer is None:
            return
        name = message.topic.removeprefix(self.topic[:-1])
        reply = self._answer(name, bytes(message.payload))
        topic, correlation = self._reply_to(message.properties)
        self._client.publish(
            topic,
            self._stamps.payload("reply", reply),
            qos=0,
            properties=properties_for(self._mqtt, correlation=correlation),
        )

    def _reply_to(self, asked: Properties | None) -> tuple[str, bytes | None]:
        topic = getattr(asked, "ResponseTopic", "")
        # A sender must not write, with the daemon's rights, where alerts and states are read.
        ours = f"{topic}/".startswith(f"{self._mqtt.topic}/")
        if not topic or ours or len(topic) > _LONGEST_TOPIC or set(topic) & set("+#\0"):
            topic = f"{self._prefix}/reply"
        return topic, getattr(asked, "CorrelationData", None)

    def _tell(self) -> None:
        """QoS 0: it is told again at each connection, and takes no place from an alert."""
        settings = self._settings
        if settings is None or not self._client.is_connected():
            return
        told = Present(**settings.model_dump(include=set(Present.model_fields)))
        self._client.publish(
            f"{self._prefix}/controls",
            self._stamps.payload("controls", told),
            qos=0,
            retain=True,
            properties=properties_for(self._mqtt),
        )
