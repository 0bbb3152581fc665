"""The command: every part is looked at, and each finding is good, or says what to do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broker import Mosquitto
from typer.testing import CliRunner
from videos import moving, region, write_video

from runtime.commands import app


@pytest.fixture
def site(tmp_path: Path, mosquitto: Mosquitto) -> Path:
    """A configuration that works here: a clip, a broker, a folder."""
    write_video(tmp_path / "clip.mkv", moving(np.zeros(40)))
    path = tmp_path / "bridge.toml"
    path.write_text(
        f'[camera]\nsource = "clip.mkv"\n{region()}[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\n'
        '[storage]\ndirectory = "state"\n[evidence]\nkeep_gb = 0.1\n'
    )
    return path


def told(path: Path, exit_code: int) -> dict[str, dict[str, Any]]:
    """The findings by what they are about."""
    done = CliRunner().invoke(app, ["doctor", "--json", "--seconds", "1", "--config", str(path)])
    assert done.exit_code == exit_code, done.output
    return {one["what"]: one for one in json.loads(done.stdout)["findings"]}


def test_a_site_that_works_fails_in_nothing(site: Path) -> None:
    found = told(site, 0)
    for what in ("folder", "broker", "commands", "publishing", "rate", "camera"):
        assert found[what]["verdict"] == "good", found[what]
    assert {"board", "disk", "clock", "engine"} <= set(found)
    assert not any(one["verdict"] == "failed" for one in found.values())
    assert not list(site.parent.glob("state/*/*")), "nothing is left behind"


def test_lines_for_people_have_the_mend(site: Path) -> None:
    site.write_text(site.read_text().replace("clip.mkv", "none.mkv"))
    done = CliRunner().invoke(app, ["doctor", "--seconds", "1", "--config", str(site)])
    assert done.exit_code == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("failed")]
    assert "there is no such file" in line
    assert "publishing  " in done.stdout, "the rest is looked at all the same"


def test_a_look_that_fails_itself_does_not_hide_the_others(site: Path) -> None:
    site.write_text(site.read_text() + '[magnification]\ngraph = "none.onnx"\n')
    found = told(site, 1)
    assert found["engine"]["verdict"] == "failed"
    assert "none.onnx" in found["engine"]["text"]
    assert found["camera"]["verdict"] == "good"
