"""``tremorscope run`` as systemd starts it: what it tells, and what a new configuration does to it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import Listener, Mosquitto, wait_until
from daemons import LIVE, needs_gstreamer

from runtime.messages import AlertMessage, Telemetry

pytestmark = needs_gstreamer

Listen = Callable[..., Listener]


class Systemd:
    """Hears what a service tells over its socket, as systemd does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        """Every message so far."""
        while True:
            try:
                self._heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self._heard

    def close(self) -> None:
        self._socket.close()


class Unit:
    """One service in a folder of its own, with a live camera."""

    def __init__(self, folder: Path, broker: Mosquitto, systemd: Systemd) -> None:
        self.file = folder / "bridge.toml"
        self.errors = folder / "errors"
        self._folder, self._port, self._systemd = folder, broker.port, systemd
        self.process: subprocess.Popen[str] | None = None

    def configure(self, region: str = "deck", more: str = "") -> None:
        self.file.write_text(
            f'name = "bridge"\n[camera]\nsource = "{LIVE}"\n[[regions]]\nname = "{region}"\nx = 8\ny = 8\n'
            f"width = 40\nheight = 40\n[magnification]\nenabled = false\n[evidence]\nenabled = false\n"
            f'[vibration]\nreport_every_s = 0.2\n[mqtt]\nhost = "127.0.0.1"\nport = {self._port}\n{more}'
        )

    def start(self) -> None:
        environment = os.environ | {
            "NOTIFY_SOCKET": str(self._systemd.path),
            "WATCHDOG_USEC": "2000000",
            "STATE_DIRECTORY": str(self._folder / "state"),
            "OMP_NUM_THREADS": "1",
        }
        environment.pop("WATCHDOG_PID", None)
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tremorscope", "run", "--config", str(self.file)],
                stdin=subprocess.DEVNULL,
                stderr=errors,
                text=True,
                env=environment,
            )

    def tells(self, message: str, times: int = 1) -> None:
        wait_until(
            lambda: self._systemd.heard().count(message) >= times, f"{message}, {times} times", 60
        )

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    one = Systemd(tmp_path)
    yield one
    one.close()


@pytest.fixture
def unit(tmp_path: Path, mosquitto: Mosquitto, systemd: Systemd) -> Iterator[Unit]:
    one = Unit(tmp_path, mosquitto, systemd)
    one.configure()
    yield one
    if one.process is not None:
        one.process.kill()
        one.process.wait()


def configuration_alerts(listener: Listener) -> list[AlertMessage]:
    alerts = [AlertMessage.model_validate_json(one) for one in listener.payloads("/alerts")]
    return [alert for alert in alerts if alert.rule == "configuration"]


def regions(listener: Listener) -> set[str]:
    heard = [m.payload for m in list(listener.messages) if "/telemetry/" in m.topic]
    return {Telemetry.model_validate_json(payload).region for payload in heard}


def test_it_is_ready_fed_and_says_when_it_ends(unit: Unit, systemd: Systemd) -> None:
    unit.start()
    unit.tells("READY=1")
    unit.tells("WATCHDOG=1", 5)
    assert unit.end() == 0
    unit.tells("STOPPING=1")
    assert systemd.heard().count("READY=1") == 1


def test_a_new_configuration_is_taken_up_and_a_bad_one_changes_nothing_but_is_told(
    unit: Unit, systemd: Systemd, listen: Listen
) -> None:
    listener = listen()
    unit.start()
    wait_until(lambda: "deck" in regions(listener), "telemetry of the first configuration", 60)
    unit.configure(region="mast")
    unit.reload()
    wait_until(lambda: "mast" in regions(listener), "telemetry of the second", 60)
    assert any(one.startswith("RELOADING=1") for one in systemd.heard())
    unit.tells("READY=1", 2)
    unit.configure(region="mast", more="[health]\nnonsense = 1\n")
    unit.reload()
    unit.tells("READY=1", 3)
    wait_until(lambda: len(configuration_alerts(listener)) == 1, "the bad one is told", 30)
    [alert] = configuration_alerts(listener)
    assert alert.type == "new"
    assert "nonsense" in str(alert.reason)
    assert "what worked before is used" in str(alert.reason)
    listener.messages.clear()
    wait_until(lambda: regions(listener) == {"mast"}, "it goes on as before")
    unit.configure(region="mast")
    unit.reload()
    wait_until(
        lambda: [one.type for one in configuration_alerts(listener)] == ["end"], "it is over", 60
    )
    assert unit.end() == 0


def test_what_belonged_to_the_former_configuration_goes_with_it(unit: Unit) -> None:
    def open_files() -> int:
        assert unit.process is not None
        return len(list(Path(f"/proc/{unit.process.pid}/fd").iterdir()))

    unit.start()
    unit.tells("READY=1")
    unit.reload()
    unit.tells("READY=1", 2)
    once = open_files()
    for ready in range(3, 8):
        unit.reload()
        unit.tells("READY=1", ready)
    # The newest daemon may be connecting still, or connected already.
    assert abs(open_files() - once) <= 2


def test_one_that_only_the_stations_find_wrong_is_not_taken_up_either(
    unit: Unit, listen: Listen
) -> None:
    listener = listen()
    unit.start()
    wait_until(lambda: "deck" in regions(listener), "telemetry", 60)
    unit.configure(more='username = "a"\npassword_file = "missing"\n')
    unit.reload()
    wait_until(lambda: len(configuration_alerts(listener)) == 1, "it is told", 60)
    assert "mqtt.password_file" in str(configuration_alerts(listener)[0].reason)
    unit.tells("READY=1", 2)
    listener.messages.clear()
    wait_until(lambda: regions(listener) == {"deck"}, "the structure is watched")


def test_a_start_with_a_bad_configuration_uses_what_last_worked(unit: Unit, listen: Listen) -> None:
    listener = listen()
    unit.start()
    unit.tells("READY=1")
    assert unit.end() == 0
    unit.file.write_text("[camera\n")
    unit.start()
    wait_until(lambda: len(configuration_alerts(listener)) == 1, "it is told", 60)
    assert "bridge.toml:1" in str(configuration_alerts(listener)[0].reason)
    wait_until(lambda: "deck" in regions(listener), "the structure is watched")


def test_without_one_that_ever_worked_the_mistake_is_told(unit: Unit) -> None:
    unit.file.write_text("[camera\n")
    unit.start()
    assert unit.process is not None
    assert unit.process.wait(60) == 1
    assert "bridge.toml:1" in unit.errors.read_text()


@pytest.mark.parametrize("state", ["missing", "kept"])
def test_where_nobody_listens_a_bad_configuration_is_not_replaced(
    unit: Unit, state: str, tmp_path: Path
) -> None:
    kept = tmp_path / "state" / "bridge.last-working.toml"
    kept.parent.mkdir()
    if state == "kept":
        kept.write_text(unit.file.read_text())
    unit.file.write_text("[camera\n")
    environment: dict[str, Any] = {**os.environ, "STATE_DIRECTORY": str(kept.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "tremorscope", "run", "--config", str(unit.file)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 1
    assert "bridge.toml:1" in done.stderr


@pytest.mark.parametrize(
    ("ending", "code", "told"), [("pass", 0, ""), ("raise Failure('no')", 1, "no")]
)
def test_a_thread_that_hangs_in_native_code_does_not_abort_the_end(
    ending: str, code: int, told: str
) -> None:
    script = f"""
import sys, threading, time
from failure import Failure
from runtime.service.service import end_without_what_hangs
threading.Thread(target=time.sleep, args=(60,), name="evidence", daemon=True).start()
try:
    {ending}
finally:
    end_without_what_hangs()
print("not reached")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "not reached" not in done.stdout
    assert "Traceback" not in done.stderr
