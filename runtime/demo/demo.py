"""``tremorscope demo``: the real daemon on a sample clip, watched over MQTT.

Everything runs on this machine: a broker on a free port of localhost, the daemon that ``tremorscope
run`` runs, and a dashboard that knows only what the broker tells it.
"""

import json
import threading
import time
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.live import Live

from atomic_file import replaced
from runtime.assembly import assembled
from runtime.config import (
    Alert,
    Camera,
    Config,
    Magnification,
    Mqtt,
    Rectangle,
    Region,
    Storage,
    Vibration,
)
from runtime.demo.broker import embedded_broker
from runtime.demo.dashboard import Dashboard
from runtime.replay.report import replay_into

SAMPLE = Path(__file__).parent / "sample" / "footbridge.mp4"
REFRESH_S = 0.2
LINE_EVERY_S = 2.0
MAGNIFIES_FOR_S = 180.0
"""Of the report. A laptop has the whole clip in less than a minute; an emulated processor needs hours."""


class TrueRegion(BaseModel):
    """A region of the sample clip, and how far it really moves."""

    x: int
    y: int
    width: int
    height: int
    amplitude_y_px: float


class Truth(BaseModel):
    """What ``python -m benchmarks.sample_clip`` put into the sample clip."""

    made_by: str
    frequency_hz: float
    starts_s: float
    ends_s: float
    noise_grey: float
    regions: dict[str, TrueRegion]


def read_truth() -> Truth:
    """What is known of the sample clip."""
    return Truth.model_validate_json(SAMPLE.with_suffix(".json").read_bytes())


def run_demo(out: Path) -> None:
    """Play the sample clip through the daemon, then leave report, pictures and alerts in ``out``."""
    truth = read_truth()
    with embedded_broker() as port:
        config = demo_config(truth, port, out)
        dashboard = Dashboard(port, config.mqtt.topic, config.name)
        with dashboard:
            typer.echo(
                f"Playing {SAMPLE.name} at its own rate through the daemon; the table shows what "
                f"arrives over MQTT at localhost:{port}."
            )
            with assembled(config) as daemon:
                failure = _watch(daemon, dashboard)
            if failure is not None:
                raise failure
            dashboard.wait_until_offline(timeout_s=5.0)
    _write_alerts(out / "alerts.json", dashboard.alerts)
    _tell_truth(truth, dashboard)
    typer.echo("\nNow every frame of the clip, for the report:")
    replay_into(SAMPLE, config, None, out, magnify_for_s=MAGNIFIES_FOR_S)
    typer.echo(f"side by side: {out / 'side-by-side.mp4'}")
    typer.echo(f"alerts as received: {out / 'alerts.json'}")


def demo_config(truth: Truth, port: int, out: Path) -> Config:
    """What a user would write for the sample clip."""
    regions = tuple(
        Region(name=name, **region.model_dump(include={"x", "y", "width", "height"}))
        for name, region in truth.regions.items()
    )
    return Config(
        name="footbridge",
        camera=Camera(source=str(SAMPLE)),
        regions=regions,
        magnification=Magnification(
            gain=20,
            mode="band-pass",
            low_hz=1.0,
            high_hz=5.0,
            # The deck and what is around it: a third of the picture, so that a laptop keeps up.
            area=Rectangle(x=24, y=120, width=592, height=128),
        ),
        vibration=Vibration(window_s=5.0, report_every_s=0.5),
        alerts=(
            Alert(
                name="deck-vibrates",
                quantity="displacement_rms_px",
                raise_above=0.05,
                clear_below=0.03,
                raise_after_s=0.5,
                clear_after_s=1.0,
            ),
        ),
        # The embedded broker speaks 3.1.1 only.
        mqtt=Mqtt(host="127.0.0.1", port=port, protocol="3.1.1"),
        storage=Storage(directory=out.resolve() / "state"),
    )


def _watch(daemon: Any, dashboard: Dashboard) -> BaseException | None:
    """Run the daemon in a thread and show the dashboard until it ends."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            daemon.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="daemon")
    thread.start()
    try:
        _show_until_ended(thread, dashboard)
    finally:
        daemon.stop()
        thread.join()
    return failures[0] if failures else None


def _show_until_ended(thread: threading.Thread, dashboard: Dashboard) -> None:
    console = Console()
    if console.is_terminal:
        with Live(dashboard.table(), console=console, refresh_per_second=1 / REFRESH_S) as live:
            while thread.is_alive():
                thread.join(REFRESH_S)
                live.update(dashboard.table())
        return
    told_s = time.monotonic()
    while thread.is_alive():
        thread.join(REFRESH_S)
        if time.monotonic() - told_s >= LINE_EVERY_S:
            told_s += LINE_EVERY_S
            for line in dashboard.lines():
                typer.echo(line)


def _write_alerts(path: Path, alerts: list[dict[str, Any]]) -> None:
    with replaced(path) as scratch:
        scratch.write_text(json.dumps(alerts, indent=1) + "\n")


def _tell_truth(truth: Truth, dashboard: Dashboard) -> None:
    """Measured against true, for the window in which each region moved most."""
    typer.echo("\nMeasured (largest window, as received over MQTT) against true:")
    for name, region in truth.regions.items():
        best = dashboard.strongest(name)
        if best is None or best["dominant_hz"] is None:
            measured = "no dominant frequency"
        else:
            measured = f"{best['dominant_hz']:.3f} Hz, {best['dominant_amplitude_px']:.3f} px"
        true = (
            f"{truth.frequency_hz:.3f} Hz, {region.amplitude_y_px:.3f} px"
            if region.amplitude_y_px
            else "still"
        )
        typer.echo(f"  {name:<10} measured {measured:<24} true {true}")
    raised = [alert for alert in dashboard.alerts if alert["type"] == "new"]
    typer.echo(
        f"{len(raised)} alerts raised: {', '.join(a['region'] or a['rule'] for a in raised) or 'none'}"
    )
