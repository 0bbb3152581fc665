"""A dashboard in the terminal that knows only what the broker tells it."""

import json
import threading
from types import TracebackType
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from rich.table import Table
from typing_extensions import Self


class Dashboard:
    """Subscribes to one camera's topics on a broker of this machine."""

    def __init__(self, port: int, topic: str, camera: str) -> None:
        self.alerts: list[dict[str, Any]] = []
        """Every alert message, as received."""
        self._prefix = f"{topic}/{camera}"
        self._port = port
        self._newest: dict[str, dict[str, Any]] = {}
        self._strongest: dict[str, dict[str, Any]] = {}
        self._state = "no message yet"
        self._came_online = threading.Event()
        self._offline = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id="tremorscope-dashboard",
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.subscribe(f"{self._prefix}/#", qos=1)
        self._client.loop_start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_until_offline(self, timeout_s: float) -> None:
        """Wait for the daemon's farewell: what it sent before has then arrived."""
        self._offline.wait(timeout_s)

    def strongest(self, region: str) -> dict[str, Any] | None:
        """Of all telemetry of a region, the one with the largest dominant amplitude."""
        return self._strongest.get(region)

    def table(self) -> Table:
        """The newest telemetry of every region."""
        table = Table(title=f"{self._prefix}: {self._state}", title_justify="left")
        for heading in ("region", "x (px)", "y (px)", "RMS (px)", "dominant", "alert"):
            table.add_column(heading, justify="left" if heading == "region" else "right")
        for name, row in sorted(self._newest.items()):
            alert = "[bold red]ALERT[/]" if row["alert"] else "[green]quiet[/]"
            table.add_row(name, *_cells(row), alert)
        return table

    def lines(self) -> list[str]:
        """The same as plain text."""
        headings = ("x", "y", "RMS", "dominant")
        return [
            f"{name:<10} "
            + "  ".join(
                f"{heading} {cell}" for heading, cell in zip(headings, _cells(row), strict=True)
            )
            + ("  ALERT" if row["alert"] else "  quiet")
            for name, row in sorted(self._newest.items())
        ]

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        kind = message.topic.removeprefix(f"{self._prefix}/").partition("/")[0]
        if kind not in ("telemetry", "alerts", "state"):
            return
        content = json.loads(message.payload)
        if kind == "telemetry":
            self._newest[content["region"]] = content
            best = self._strongest.get(content["region"])
            if best is None or _amplitude(content) > _amplitude(best):
                self._strongest[content["region"]] = content
        elif kind == "alerts":
            self.alerts.append(content)
        else:
            self._state = content["state"]
            if self._state == "online":
                self._came_online.set()
            elif self._came_online.is_set():
                self._offline.set()


def _amplitude(telemetry: dict[str, Any]) -> float:
    return telemetry["dominant_amplitude_px"] or 0.0


def _cells(row: dict[str, Any]) -> list[str]:
    def displacement(axis: str) -> str:
        value, error = row[f"{axis}_px"], row[f"{axis}_se_px"]
        return "missing" if value is None else f"{value:+.3f} ± {error:.3f}"

    rms = row["displacement_rms_px"]
    frequency_hz, amplitude_px = row["dominant_hz"], row["dominant_amplitude_px"]
    return [
        displacement("x"),
        displacement("y"),
        "missing" if rms is None else f"{rms:.3f}",
        "none" if frequency_hz is None else f"{frequency_hz:.3f} Hz, {amplitude_px:.3f} px",
    ]
