"""What this camera has announced to Home Assistant, on disk, so that it can be taken back.

Home Assistant keeps what it once discovered until it is told otherwise. A camera that is switched off there,
or loses a region, must know what it had announced; one that never appeared there publishes nothing.
"""

import json
import logging
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from atomic_file import replaced
from failure import Failure
from runtime.config import Config
from runtime.home_assistant.discovery import birth_topic, discovery, discovery_topic
from runtime.mqtt.publisher import Publisher

_log = logging.getLogger(__name__)

FILE = "home-assistant.json"

_Announced = dict[str, dict[str, str]]
"""For each discovery topic, the platform of each component that was ever announced there."""
_FORMAT = TypeAdapter(_Announced)


def announce(config: Config, publisher: Publisher, folder: Path) -> None:
    """Appear in Home Assistant as ``config`` says, or disappear from it; ``folder`` is the camera's."""
    path = folder / FILE
    before = _read(path)
    now = dict(before)
    if config.home_assistant.enabled:
        topic, told = discovery_topic(config), discovery(config)
        components = told["components"]
        gone = {key: kind for key, kind in now.pop(topic, {}).items() if key not in components}
        now[topic] = gone | {key: one["platform"] for key, one in components.items()}
        # With nothing but its platform a component is removed.
        told["components"] = components | {key: {"platform": kind} for key, kind in gone.items()}
        _write(path, now, before)  # first: what is not on the disk cannot be taken back
        publisher.keep(topic, json.dumps(told).encode(), again_on=birth_topic(config))
    for topic in before:
        if not config.home_assistant.enabled or topic != discovery_topic(config):
            publisher.keep(topic, b"")


def _read(path: Path) -> _Announced:
    try:
        return _FORMAT.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        _log.warning(
            "%s: cannot be read (%s); what an earlier run announced to Home Assistant may stay there "
            "until you delete the device in it",
            *(path, type(error).__name__),
        )
        return {}


def _write(path: Path, now: _Announced, before: _Announced) -> None:
    if now == before:
        return
    try:
        with replaced(path) as scratch:
            scratch.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    except Failure as failure:
        _log.warning("%s; switching Home Assistant off will not remove the device there", failure)
