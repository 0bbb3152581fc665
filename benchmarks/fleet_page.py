"""FLEET.md: what was measured with one broker, and the arithmetic to far more devices."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from atomic_file import replaced
from machine import processor

if TYPE_CHECKING:
    from benchmarks.fleet import Found

_FLEETS = (200, 2_000, 10_000, 100_000)
_OVERHEAD_BYTES = 110
"""Of a message beside its payload: topic, properties and packet header of MQTT (about 60 bytes), TCP and IP."""
_PUBACK_BYTES = 44


def write(path: Path, found: "Found") -> None:
    """Replace the page."""
    with replaced(path) as written:
        written.write_text("\n".join([*_measured(found), *_arithmetic(found)]) + "\n")


def _measured(found: "Found") -> list[str]:
    verdict = (
        "every number of every stream arrived"
        if not found.missing
        else f"**{found.missing:,} messages did not arrive**"
    )
    return [
        "# A fleet at one broker",
        "",
        f"Written by `python -m benchmarks.fleet --devices {found.devices} --seconds {found.seconds:g}` "
        f"on {date.today().isoformat()}; {processor()}.",
        "",
        f"{found.devices} devices in {found.processes} processes, each a real `Publisher` with an outbox "
        f"on the disk and a user of its own; {found.regions} regions each, one report a second, an alert "
        "every 30 s; without cameras. One real Mosquitto with the shipped configuration, without TLS; "
        "one consumer of everything with QoS 1. All of them share this machine, so the latencies are of "
        "a machine that is busy being a fleet.",
        "",
        "| what | found |",
        "| --- | --- |",
        f"| messages in {found.seconds:g} s | {found.sent:,}, of which {found.alerts:,} alerts |",
        f"| a second, into the broker and out of it | {found.rate_hz:,.0f} |",
        f"| lost | {found.missing:,}: {verdict} |",
        f"| twice, as QoS 1 may | {found.twice:,} |",
        f"| from the stamp to the consumer, p50 / p99 / most | {found.p50_ms:.1f} / {found.p99_ms:.0f} "
        f"/ {found.most_ms:.0f} ms |",
        f"| payload of telemetry / of an alert | {found.telemetry_bytes:,.0f} / "
        f"{found.alert_bytes:,.0f} bytes |",
        f"| Mosquitto: processor | {found.broker_cpu_percent:.1f} % of one core |",
        f"| Mosquitto: memory, at most | {found.broker_mb:.1f} MB |",
        "",
    ]


def _arithmetic(found: "Found") -> list[str]:
    per_device_hz = found.rate_hz / found.devices
    message_bytes = found.telemetry_bytes + _OVERHEAD_BYTES
    core_share = found.broker_cpu_percent / 100
    full_hz = found.rate_hz / core_share if core_share else float("nan")
    lines = [
        "## Arithmetic, not measurement",
        "",
        f"A device sends {per_device_hz:.2f} messages a second. Each is taken as the measured payload, "
        f"{_OVERHEAD_BYTES} bytes around it (MQTT, TCP, IP; estimated), and {_PUBACK_BYTES} bytes back. "
        "One consumer of everything doubles what the broker moves; each further one adds as much again.",
        "",
        "| devices, connections | messages/s in | Mbit/s in | Mbit/s in and out, one consumer "
        "| GB a day, raw JSON |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for count in _FLEETS:
        rate_hz = count * per_device_hz
        into = rate_hz * message_bytes * 8 / 1e6
        back = rate_hz * _PUBACK_BYTES * 8 / 1e6
        kept = rate_hz * found.telemetry_bytes * 86_400 / 1e9
        lines.append(
            f"| {count:,} | {rate_hz:,.0f} | {into:,.1f} | {2 * (into + back):,.1f} | {kept:,.0f} |"
        )
    sparse_hz = 100_000 * found.regions / 10
    lines += [
        "",
        "Mosquitto runs in one thread. If its load grew in proportion, a core like this one would be full "
        f"at about {full_hz:,.0f} messages a second, or {full_hz / per_device_hz:,.0f} such devices; TLS, "
        "more consumers and clients that are away take their share before, so plan with half of it.",
        "",
        "100,000 devices that report each region every 10 s (`vibration.report_every_s = 10`) send "
        f"{sparse_hz:,.0f} messages a second; alerts come at once in any case.",
        "",
        "What makers of clusters say of theirs (not tried here): EMQX, 100 million connections in one "
        "cluster and millions of messages a second (its README); HiveMQ, 200 million connections with a "
        "peak of 1 million PUBLISH a second (its benchmark paper). 100,000 devices with "
        f"{100_000 * per_device_hz:,.0f} messages a second are within either, and beyond one Mosquitto.",
    ]
    return lines
