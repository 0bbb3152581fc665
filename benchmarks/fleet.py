"""Many devices at one broker: ``python -m benchmarks.fleet``.

Each device is a real ``Publisher`` with an outbox on the disk, as the daemon has it, and a user of its own;
the broker is a real Mosquitto with the shipped configuration. What is missing of a device is its camera: it
sends the example of docs/messages.md for each region. Several devices share a process, and all of them this
machine with the broker, so the figures are of all of that together. A consumer that subscribes to everything
with QoS 1 counts what arrives, by the numbers in the stamps.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks import fleet_page
from benchmarks.mosquitto import free_port
from benchmarks.shipped_mosquitto import install, program
from failure import Failure
from runtime.config import Mqtt
from runtime.delivery.outbox import Outbox
from runtime.messages import AlertMessage, State, Telemetry
from runtime.mqtt.publisher import Publisher
from runtime.mqtt.topics import TOPICS

PAGE = Path(__file__).parent / "FLEET.md"
PASSWORD = "of the fleet"
_ALERT_EVERY = 30
"""Reports."""
_GO = b"go\n"


def example(name: str) -> dict[str, Any]:
    """What docs/messages.md shows of a topic, without its stamp."""
    [topic] = [topic for topic in TOPICS if topic.name == name]
    return {key: value for key, value in topic.example.items() if key != "stamp"}


def devices(
    names: list[str], port: int, folder: Path, regions: int, seconds: float
) -> dict[str, int]:
    """Be several devices for a while, from the word on standard input; gives what each stream has sent."""
    telemetry = Telemetry.model_validate(example("telemetry"))
    alert = AlertMessage.model_validate(example("alerts"))
    reports = [telemetry.model_copy(update={"region": f"region-{n}"}) for n in range(regions)]
    (folder / "password").write_text(PASSWORD)
    sent: dict[str, int] = {}
    with ExitStack() as open_ones:
        publishers = {}
        for name in names:
            outbox = Outbox(folder / f"{name}.sqlite")
            open_ones.callback(outbox.close)
            mqtt = Mqtt(
                host="127.0.0.1", port=port, username=name, password_file=folder / "password"
            )
            state = State(state="online", version="0", source="none")
            publishers[name] = Publisher(mqtt, name=name, outbox=outbox, state=state)
            publishers[name].start()
        while not all(one.counts().connected for one in publishers.values()):
            time.sleep(0.05)
        print("ready", flush=True)
        sys.stdin.buffer.readline()
        started = time.monotonic()
        spread = np.linspace(0, 1, len(names), endpoint=False)
        due = [  # devices do not beat in step
            (started + float(spread[i]) + n, name, (n + i) % _ALERT_EVERY == 0)
            for i, name in enumerate(names)
            for n in range(int(seconds))
        ]
        for at, name, alarmed in sorted(due):
            time.sleep(max(0.0, at - time.monotonic()))
            one = publishers[name]
            for report in reports:
                one.publish_telemetry(report)
                stream = f"tremorscope/{name}/telemetry/{report.region}"
                sent[stream] = sent.get(stream, 0) + 1
            stream = f"tremorscope/{name}/alerts"
            if alarmed:
                sent[stream] = sent.get(stream, 0) + 1
                one.publish_alert(alert.model_copy(update={"event_id": f"{name}-{sent[stream]}"}))
        closing = [threading.Thread(target=one.close, args=(20.0,)) for one in publishers.values()]
        for each in closing:
            each.start()
        for each in closing:
            each.join()
    return sent


class Consumer:
    """Hears everything with QoS 1; for each stream which numbers came, and when."""

    def __init__(self, port: int) -> None:
        self.numbers: dict[str, list[int]] = {}
        self.latency_s: list[float] = []
        self.payload_bytes: dict[str, list[int]] = {"telemetry": [], "alerts": []}
        ready = threading.Event()
        client = self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id="fleet-consumer",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        client.username_pw_set("reader", PASSWORD)
        client.on_message = self._on_message
        client.on_subscribe = lambda *_: ready.set()
        client.connect("127.0.0.1", port)
        client.subscribe("tremorscope/#", qos=1)
        client.loop_start()
        if not ready.wait(10):
            raise Failure("the consumer could not subscribe; is Mosquitto's log of any help?")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def missing(self, sent: dict[str, int]) -> int:
        """Messages of these streams that have not come."""
        came = {stream: set(numbers) for stream, numbers in list(self.numbers.items())}
        return sum(
            len(set(range(1, count + 1)) - came.get(stream, set()))
            for stream, count in sent.items()
        )

    def twice(self) -> int:
        return sum(len(numbers) - len(set(numbers)) for numbers in self.numbers.values())

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        now_s = time.monotonic()
        stream = message.topic.replace("/history/", "/")
        kind = "alerts" if stream.endswith("/alerts") else "telemetry"
        if kind == "telemetry" and "/telemetry/" not in stream:
            return
        stamp = json.loads(message.payload)["stamp"]
        self.numbers.setdefault(stream, []).append(stamp["number"])
        self.latency_s.append(now_s - stamp["monotonic_s"])  # one machine, one steady clock
        self.payload_bytes[kind].append(len(message.payload))


@dataclass(frozen=True, slots=True)
class Found:
    """What a run says."""

    devices: int
    processes: int
    regions: int
    seconds: float
    sent: int
    alerts: int
    missing: int
    twice: int
    telemetry_bytes: float
    """Payload of one message."""
    alert_bytes: float
    p50_ms: float
    p99_ms: float
    most_ms: float
    broker_cpu_percent: float
    """Of one core."""
    broker_mb: float
    """Resident, at its most."""

    @property
    def rate_hz(self) -> float:
        """Messages a second into the broker; as many go out to the one consumer."""
        return self.sent / self.seconds


@contextmanager
def broker(folder: Path, names: list[str]) -> Iterator[tuple[int, int]]:
    """A Mosquitto as shipped, which knows these devices: its port and process id."""
    port = free_port()
    users = dict.fromkeys([*names, "reader"], PASSWORD)
    configuration = install(folder, users, port=port)
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen(
            [program("mosquitto"), "-c", configuration], stdout=log, stderr=log
        )
        try:
            time.sleep(1.0)
            if process.poll() is not None:
                raise Failure(f"Mosquitto does not start: {(folder / 'mosquitto.log').read_text()}")
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _most_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def measure(count: int, *, processes: int, regions: int, seconds: float) -> Found:
    """Run a fleet; raises Failure where Mosquitto is missing or a process of devices fails."""
    names = [f"device-{number:04}" for number in range(count)]
    shares = [names[first::processes] for first in range(processes)]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with broker(folder / "broker", names) as (port, pid):
            consumer = Consumer(port)
            workers = []
            for number, share in enumerate(shares):
                work = folder / f"devices-{number}"
                work.mkdir()
                given = json.dumps([share, port, str(work), regions, seconds])
                workers.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "benchmarks.fleet", "--as-devices", given],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                    )
                )
            for worker in workers:
                assert worker.stdout is not None
                if worker.stdout.readline() != b"ready\n":
                    raise Failure("a process of devices did not come up; see what it says above")
            before_s, began = _cpu_s(pid), time.monotonic()
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write(_GO)
                worker.stdin.flush()
            time.sleep(seconds)
            used_s, passed_s = _cpu_s(pid) - before_s, time.monotonic() - began
            sent: dict[str, int] = {}
            for worker in workers:
                told, _ = worker.communicate(timeout=120)
                sent |= json.loads(told)
            deadline = time.monotonic() + 20
            while consumer.missing(sent) and time.monotonic() < deadline:
                time.sleep(0.1)
            consumer.close()
            latency_ms = 1000 * np.array(consumer.latency_s)
            sizes = {kind: float(np.mean(n)) for kind, n in consumer.payload_bytes.items() if n}
            return Found(
                devices=count,
                processes=processes,
                regions=regions,
                seconds=seconds,
                sent=sum(sent.values()),
                alerts=sum(n for stream, n in sent.items() if stream.endswith("/alerts")),
                missing=consumer.missing(sent),
                twice=consumer.twice(),
                telemetry_bytes=sizes.get("telemetry", float("nan")),
                alert_bytes=sizes.get("alerts", float("nan")),
                p50_ms=float(np.percentile(latency_ms, 50)),
                p99_ms=float(np.percentile(latency_ms, 99)),
                most_ms=float(latency_ms.max()),
                broker_cpu_percent=100 * used_s / passed_s,
                broker_mb=_most_mb(pid),
            )


def main(
    count: Annotated[int, typer.Option("--devices", min=1, help="How many.")] = 200,
    processes: Annotated[int, typer.Option(min=1, help="That share them.")] = 4,
    regions: Annotated[int, typer.Option(min=1, help="Of each device.")] = 2,
    seconds: Annotated[float, typer.Option(min=2, help="How long.")] = 60.0,
    out: Annotated[Path, typer.Option(help="Page to write.")] = PAGE,
    as_devices: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Write how one broker takes a fleet."""
    if as_devices is not None:
        names, port, folder, each, lasting = json.loads(as_devices)
        typer.echo(json.dumps(devices(names, port, Path(folder), each, lasting)))
        return
    try:
        found = measure(count, processes=processes, regions=regions, seconds=seconds)
    except Failure as failure:
        typer.echo(str(failure), err=True)
        raise typer.Exit(1) from None
    fleet_page.write(out, found)
    typer.echo(f"wrote {out}")
    if found.missing:
        typer.echo(f"lost: {found.missing} messages", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
