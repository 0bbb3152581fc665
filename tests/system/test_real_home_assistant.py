"""A real Home Assistant discovers a real daemon through a real broker.

``make home-assistant`` makes the virtual environment that this needs, of Python 3.13, and runs it; its
package cannot be installed beside this project.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import Mosquitto, wait_until
from test_published_topics import HOME_ASSISTANT, written_with_pictures
from test_run import Listen, Start, start
from videos import burst, moving, write_video

__all__ = ["start"]  # a fixture

INTERPRETER = os.environ.get("TREMORSCOPE_HOME_ASSISTANT", "")
CORE = Path(__file__).parents[1] / "home_assistant" / "core.py"
GOLDEN = Path(__file__).parents[1] / "runtime" / "home_assistant"

pytestmark = pytest.mark.skipif(
    not INTERPRETER, reason="needs Home Assistant's package: make home-assistant"
)

State = tuple[str, dict[str, Any]]


@pytest.mark.parametrize("name", ["smallest", "bridge"])
def test_its_own_schemas_take_what_is_published(tmp_path: Path, name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    del golden["topic"]

    def against() -> list[str]:
        file = tmp_path / "discovery.json"
        file.write_text(json.dumps(golden))
        run = subprocess.run(
            [INTERPRETER, CORE, "--check", file], capture_output=True, text=True, check=True
        )
        found: list[str] = json.loads(run.stdout.splitlines()[-1])["against"]
        return found

    assert against() == []
    golden["components"]["alert"]["weather"] = 1
    assert len(against()) == 1


class HomeAssistant:
    """A process of Home Assistant; what it knows is asked line by line."""

    def __init__(self, folder: Path, port: int) -> None:
        self._log = (folder / "home-assistant.log").open("w")
        self.process = subprocess.Popen(
            [INTERPRETER, CORE, folder / "config", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def states(self, **call: Any) -> dict[str, State]:
        """After a service was called, where one is given."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, Path(self._log.name).read_text()
        return {entity: (state, more) for entity, (state, more) in json.loads(line).items()}

    def waits_for(self, entity: str, condition: Callable[[State], bool], what: str) -> State:
        found: list[State] = []

        def fulfilled() -> bool:
            state = self.states().get(entity)
            if state is not None and condition(state):
                found.append(state)
            return bool(found)

        wait_until(fulfilled, f"{entity}: {what}", 60)
        return found[0]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._log.close()


@pytest.fixture
def home_assistant(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[HomeAssistant]:
    one = HomeAssistant(tmp_path, mosquitto.port)
    yield one
    one.close()


def is_number(state: State) -> bool:
    return state[0].replace(".", "").isdigit()


def test_a_camera_is_discovered_shows_its_values_and_obeys(
    tmp_path: Path,
    mosquitto: Mosquitto,
    listen: Listen,
    start: Start,
    home_assistant: HomeAssistant,
) -> None:
    assert home_assistant.states() == {}
    write_video(tmp_path / "bridge.mkv", moving(burst(30.0, 1.2, 12.0)))
    process = start(written_with_pictures(tmp_path, mosquitto.port))
    wait = home_assistant.waits_for

    wait("sensor.bridge_girder_displacement_rms_px", is_number, "measures")
    wait("sensor.bridge_girder_dominant_hz", is_number, "has a frequency")
    wait("binary_sensor.bridge_girder_vibration", lambda one: one[0] == "on", "an alert is open")
    _, event = wait(
        "event.bridge_alert", lambda one: one[1].get("event_type") is not None, "a step is told"
    )
    assert event["rule"] == "sway"
    wait("image.bridge_event_picture", lambda one: one[0].startswith("20"), "a picture came")
    wait("binary_sensor.bridge_problem", lambda one: one[0] in ("on", "off"), "health is known")
    assert "sensor.bridge_girder_x_px" not in home_assistant.states(), "switched off at first"

    wait("number.bridge_gain", lambda one: float(one[0]) == 20, "what is configured")
    number = {"entity_id": "number.bridge_gain", "value": 33.5}
    home_assistant.states(domain="number", service="set_value", data=number)
    wait("number.bridge_gain", lambda one: float(one[0]) == 33.5, "what was set")
    select = {"entity_id": "select.bridge_mode", "option": "dynamic"}
    home_assistant.states(domain="select", service="select_option", data=select)
    wait("select.bridge_mode", lambda one: one[0] == "dynamic", "what was chosen")
    button = {"entity_id": "button.bridge_snapshot"}
    home_assistant.states(domain="button", service="press", data=button)
    wait("image.bridge_picture", lambda one: one[0].startswith("20"), "the ordered picture came")

    process.kill()
    wait(
        "number.bridge_gain",
        lambda one: one[0] == "unavailable",
        "the last will",
    )
    assert {state for state, _ in home_assistant.states().values()} == {"unavailable"}

    listener = listen()
    listener.send(HOME_ASSISTANT, b"", retain=True)
    wait_until(lambda: home_assistant.states() == {}, "all of it is removed", 30)
