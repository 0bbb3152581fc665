"""Nobody without credentials reads, changes or publishes anything; and where secrets can be seen: nowhere.

With the shipped access rules, a real daemon on the sample clip, its live page, and a consumer that hears all
that goes over the broker.
"""

import base64
import json
import random
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks.faults.broker import Broker, free_port, wait_until
from benchmarks.faults.campaign import Plan, alert
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from runtime.demo.demo import SAMPLE, read_truth

RULES = Path(__file__).parents[2] / "dashboards/mosquitto/acl"
_TOP = Path(__file__).parents[2]
_USERS = ("cam", "reader", "operator", "admin", "stranger")
_INTRUDERS: tuple[tuple[str | None, bool], ...] = (
    (None, False),
    ("cam", False),
    ("nobody", False),
    ("stranger", True),
    ("reader", True),
)
"""User, and whether with the right password. A reader may read, and nothing else."""


def rows(plan: Plan) -> Iterator[Row]:
    row = Row("intruders at the broker", "nothing read, changed or published without a right to")
    yield plan.run(row, intrusion)
    row = Row(
        "secrets of a running daemon", "found in no log, process list, message, event or page"
    )
    yield plan.run(row, partial(secrets), trials=max(1, plan.trials // 50), at_once=2)


def guarded_broker(folder: Path, passwords: dict[str, str]) -> Broker:
    """With the shipped rules, and an administrator who hears everything."""
    folder.mkdir(parents=True, exist_ok=True)
    rules, file = folder / "acl", folder / "passwords"
    rules.write_text(f"{RULES.read_text()}\nuser admin\ntopic readwrite #\n")
    program = shutil.which("mosquitto_passwd", path="/usr/bin:/usr/sbin") or "mosquitto_passwd"
    file.write_text("".join(f"{user}:{secret}\n" for user, secret in passwords.items()))
    subprocess.run([program, "-U", str(file)], check=True, capture_output=True)
    for one in (rules, file):
        one.chmod(0o600)
    access = ["allow_anonymous false", f"password_file {file}", f"acl_file {rules}"]
    return Broker(folder, access=access)


def intrusion(chance: random.Random, folder: Path) -> Trial:
    """An intruder tries to hear an alert, and to publish where alerts, states and commands are."""
    passwords = {user: f"{chance.getrandbits(64):x}" for user in _USERS}
    user, knows = chance.choice(_INTRUDERS)
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"intruder-{chance.getrandbits(32)}",
        protocol=MQTTProtocolVersion.MQTTv5,
    )
    if user is not None:
        client.username_pw_set(user, passwords.get(user, "") if knows else "guess")
    heard: list[bytes] = []
    answered: list[bool] = []
    client.on_message = lambda _c, _d, message: heard.append(bytes(message.payload))
    client.on_connect = lambda _c, _d, _f, reason, _p: answered.append(not reason.is_failure)
    complaints = []
    with (
        guarded_broker(folder / "broker", passwords) as broker,
        Consumer(broker, "#", login=("admin", passwords["admin"])) as admin,
    ):
        try:
            client.connect(broker.host, broker.port)
            client.loop_start()
            wait_until(lambda: bool(answered), 5)
            if answered and answered[0] != knows:
                complaints.append(f"{user} was let in" if answered[0] else f"{user} was not let in")
            if answered and answered[0]:
                client.subscribe("#", qos=1)
                client.subscribe("$SYS/#", qos=1)
            topics = [
                "alerts",
                "state",
                "telemetry/mast",
                "controls",
                "command/magnification",
                "reply",
            ]
            intruded = [f"tremorscope/cam/{topic}" for topic in topics] + [
                "homeassistant/device/x/config"
            ]
            for topic in intruded:
                client.publish(topic, b"intruded", qos=1, retain=chance.random() < 0.5)
            time.sleep(0.2)
            payload = alert("secret").model_dump_json().encode()
            admin.publish("tremorscope/cam/alerts", payload, qos=1)
            wait_until(lambda: any(bytes(m.payload) == payload for _, m in admin.messages), 5)
            time.sleep(0.1)
            if any(bytes(message.payload) == b"intruded" for _, message in admin.messages):
                complaints.append(f"{user or 'anonymous'} could publish")
            may_read = user == "reader" and knows
            if (payload in heard) != may_read:
                complaints.append(f"{user or 'anonymous'} {'could' if heard else 'could not'} read")
        finally:
            client.disconnect()
            client.loop_stop()
    return Trial((), (), (), complaints=tuple(complaints))


def secrets(chance: random.Random, folder: Path) -> Trial:
    """A daemon runs, raises alerts, is asked and ordered; then everything is searched for its secrets."""
    passwords = {user: f"Secret{chance.getrandbits(64):016x}" for user in _USERS}
    page_password = f"Secret{chance.getrandbits(64):016x}"
    with (
        guarded_broker(folder / "broker", passwords) as broker,
        Consumer(broker, "#", login=("admin", passwords["admin"])) as admin,
    ):
        config, page_port = _configuration(folder, broker, passwords["cam"], page_password)
        complaints, seen = [], {}
        log = folder / "daemon.log"
        with log.open("wb") as output:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "tremorscope", "run", "--config", str(config)],
                stdout=output,
                stderr=output,
                cwd=_TOP,
            )
        try:
            if not wait_until(lambda: any("alerts" in m.topic for _, m in admin.messages), 60):
                complaints.append("the daemon raised no alert")
            for name in ("cmdline", "environ"):
                seen[name] = Path(f"/proc/{daemon.pid}/{name}").read_bytes()
            admin.publish("tremorscope/cam/command/magnification", b'{"gain": 5}', qos=1)
            for path in ("/", "/api/now", "/metrics", "/healthz"):
                seen[path] = _page(page_port, path, ("viewer", page_password))
                if path != "/healthz" and b"Secret" in _page(page_port, path, ("viewer", "guess")):
                    complaints.append("the page lets a stranger in")
            if _page(page_port, "/api/now", None):
                complaints.append("the page answers without a password")
        finally:
            daemon.terminate()
            daemon.wait(30)
    seen["messages"] = b"\n".join(
        f"{m.topic} {vars(m.properties)}".encode() + bytes(m.payload) for _, m in admin.messages
    )
    seen["logs"] = log.read_bytes() + broker.log.read_bytes()
    for file in (folder / "state").rglob("*"):
        if file.is_file():
            seen[f"state/{file.name}"] = file.read_bytes()
    if not any(name.startswith("state/") for name in seen):
        complaints.append("no event was kept")
    for secret in (passwords["cam"], page_password):
        for form in (secret.encode(), base64.b64encode(secret.encode())):
            complaints += [f"a secret in {name}" for name, data in seen.items() if form in data]
    return Trial((), (), (), complaints=tuple(complaints))


def _configuration(
    folder: Path, broker: Broker, password: str, page_password: str
) -> tuple[Path, int]:
    page_port = free_port()
    for name, secret in (("mqtt-password", password), ("page-password", page_password)):
        (folder / name).write_text(secret + "\n")
        (folder / name).chmod(0o600)
    regions = "".join(
        f'[[regions]]\nname = "{name}"\nx = {one.x}\ny = {one.y}\nwidth = {one.width}\nheight = {one.height}\n'
        for name, one in read_truth().regions.items()
    )
    path = folder / "tremorscope.toml"
    path.write_text(
        f"""name = "cam"
[camera]
source = {json.dumps(str(SAMPLE))}
real_time = true
{regions}
[[alerts]]
name = "deck"
quantity = "displacement_rms_px"
raise_above = 0.05
raise_after_s = 0.3
[mqtt]
host = "{broker.host}"
port = {broker.port}
username = "cam"
password_file = "mqtt-password"
[page]
enabled = true
port = {page_port}
user = "viewer"
password_file = "page-password"
[magnification]
enabled = false
[storage]
directory = "state"
"""
    )
    return path, page_port


def _page(port: int, path: str, login: tuple[str, str] | None) -> bytes:
    """What the page answers; nothing where it refuses."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if login is not None:
        request.add_header(
            "Authorization", f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"
        )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read(1_000_000))
    except (urllib.error.URLError, TimeoutError):
        return b""
