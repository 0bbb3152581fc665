"""A real Home Assistant with its MQTT integration alone; run by an interpreter that has its package.

``core.py FOLDER PORT`` connects to the broker at that port of this machine. Each line of standard input is
a JSON object: ``{}``, or a service to call (``domain``, ``service``, ``data``). Each is answered by a line
with all states, ``{entity_id: [state, attributes]}``.

``core.py --check FILE`` holds a discovery payload against the integration's own schemas, and prints what they
say against it.

Home Assistant wants Python 3.13.2; its ``hass`` command looks for that, its library does not.
"""

import asyncio
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, loader
from homeassistant.auth import auth_manager_from_config
from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA, SHARED_OPTIONS
from homeassistant.config_entries import ConfigEntries
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.helpers import frame
from homeassistant.setup import async_setup_component

ENTRY = {
    "created_at": "2026-01-01T00:00:00+00:00",
    "modified_at": "2026-01-01T00:00:00+00:00",
    "disabled_by": None,
    "discovery_keys": {},
    "domain": "mqtt",
    "entry_id": "0123456789abcdef0123456789abcdef",
    "minor_version": 2,
    "options": {},
    "pref_disable_new_entities": False,
    "pref_disable_polling": False,
    "source": "user",
    "subentries": [],
    "title": "broker",
    "unique_id": None,
    "version": 1,
}


async def run(folder: Path, port: int) -> None:
    entry = ENTRY | {"data": {"broker": "127.0.0.1", "port": port, "protocol": "5"}}
    stored = folder / ".storage" / "core.config_entries"
    stored.parent.mkdir(parents=True, exist_ok=True)
    (folder / "configuration.yaml").touch()
    stored.write_text(
        json.dumps(
            {
                "version": 1,
                "minor_version": 5,
                "key": "core.config_entries",
                "data": {"entries": [entry]},
            }
        )
    )
    hass = HomeAssistant(str(folder))
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth_manager_from_config(hass, [], [])
    for name in ("homeassistant", "mqtt"):
        if not await async_setup_component(hass, name, {}):
            raise SystemExit(f"{name} cannot be set up")
    await hass.async_start()
    while line := await asyncio.to_thread(sys.stdin.readline):
        if call := json.loads(line):
            await hass.services.async_call(
                call["domain"], call["service"], call["data"], blocking=True
            )
        await hass.async_block_till_done()
        told = {one.entity_id: [one.state, dict(one.attributes)] for one in hass.states.async_all()}
        print(json.dumps(told, default=str), flush=True)
    await hass.async_stop(force=True)


async def check(file: Path) -> list[str]:
    """The strict schemas, which configurations by hand pass too: they refuse what they do not know."""
    frame.async_setup(HomeAssistant(str(file.parent)))
    payload: dict[str, Any] = json.loads(file.read_text())
    DEVICE_DISCOVERY_SCHEMA(payload)
    against = []
    common = {name: payload[name] for name in SHARED_OPTIONS if name in payload}
    common |= {"device": payload["device"], "origin": payload["origin"]}
    for key, component in payload["components"].items():
        platform = importlib.import_module(f"homeassistant.components.mqtt.{component['platform']}")
        given = common | {name: value for name, value in component.items() if name != "platform"}
        for name in ("DISCOVERY_SCHEMA", "PLATFORM_SCHEMA_MODERN"):
            try:
                getattr(platform, name)(dict(given))
            except Exception as error:
                against.append(f"{key}: {error}")
    return against


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        found = asyncio.run(check(Path(sys.argv[2])))
        print(json.dumps({"version": __version__, "against": found}))
    else:
        asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
