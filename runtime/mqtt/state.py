"""The retained state of one camera, and the will that the broker publishes for a daemon that vanished."""

from typing import Any

from paho.mqtt.client import Client

from runtime.config import Mqtt
from runtime.messages import State
from runtime.mqtt.client import properties_for
from runtime.mqtt.stamps import Stamps


class RetainedState:
    """What ``<topic>/<camera>/state`` tells. For one thread; nothing is sent before ``send``."""

    def __init__(
        self, client: Client, mqtt: Mqtt, prefix: str, state: State, stamps: Stamps
    ) -> None:
        self.topic = f"{prefix}/state"
        self.unanswered: int | None = None
        """Packet id of the newest one while the broker has not acknowledged it."""
        self._client, self._mqtt, self._state = client, mqtt, state
        self._stamps = stamps
        self._set_will()

    def replace(self, news: dict[str, Any]) -> None:
        """Other values for the fields named; ``send`` tells them."""
        self._state = self._state.model_copy(update=news)
        self._set_will()

    def send(self) -> None:
        """Publish it; for a daemon that is there."""
        self._publish(self._state)

    def send_offline(self) -> None:
        """Publish what the will would."""
        self._publish(self._offline())

    def acknowledged(self, packet: int) -> bool:
        """Take in the broker's answer; whether it is about the newest state."""
        if packet != self.unanswered:
            return False
        self.unanswered = None
        return True

    def _publish(self, state: State) -> None:
        self.unanswered = self._client.publish(
            self.topic,
            self._stamps.payload("state", state),
            qos=1,
            retain=True,
            properties=properties_for(self._mqtt),
        ).mid

    def _set_will(self) -> None:
        payload = self._stamps.will(self._offline())
        self._client.will_set(self.topic, payload, qos=1, retain=True)

    def _offline(self) -> State:
        return self._state.model_copy(update={"state": "offline"})
