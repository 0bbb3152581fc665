"""Makes ``flows.json`` of the functions and pages beside it: ``python dashboards/node-red/make_flows.py``.

Node-RED keeps code in one line of JSON, which nobody can read or review; so the parts are files of their
own. A test holds ``flows.json`` against them.

The dashboard reads a page as HTML and of its script the exported object only. So no element may close
itself, no template may be inside another, and constants belong where they are used.
"""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FLOW = "tremorscope"
TOPIC = "tremorscope"

_HEARD: tuple[tuple[str, int, str], ...] = (
    # Alerts also after Node-RED was away; what is now is of no use later, so telemetry goes with QoS 0.
    ("alerts", 1, "json"),
    ("telemetry/+", 0, "json"),
    ("state", 1, "json"),
    ("controls", 0, "json"),
    ("reply", 0, "json"),
    ("event-picture", 0, "buffer"),
    ("picture", 0, "buffer"),
)

_LAID_OUT: list[dict[str, Any]] = [
    {"id": "ts-base", "type": "ui-base", "name": "tremorscope", "path": "/dashboard",
     "includeClientData": True, "acceptsClientConfig": [], "showPathInSidebar": False,
     "headerContent": "page", "navigationStyle": "default", "titleBarStyle": "default"},
    {"id": "ts-theme", "type": "ui-theme", "name": "tremorscope",
     "colors": {"surface": "#263238", "primary": "#00695c", "bgPage": "#eceff1",
                "groupBg": "#ffffff", "groupOutline": "#cfd8dc"},
     "sizes": {"pagePadding": "8px", "groupGap": "8px", "groupBorderRadius": "4px",
               "widgetGap": "8px", "density": "default"}},
    {"id": "ts-page", "type": "ui-page", "name": "Vibration", "ui": "ts-base",
     "path": "/tremorscope", "icon": "vibrate", "layout": "grid", "theme": "ts-theme", "order": 1,
     "breakpoints": [{"name": "Default", "px": "0", "cols": "3"},
                     {"name": "Tablet", "px": "576", "cols": "6"},
                     {"name": "Small Desktop", "px": "768", "cols": "9"},
                     {"name": "Desktop", "px": "1024", "cols": "12"}],
     "visible": "true", "disabled": "false", "className": ""},
    {"id": "ts-group-camera", "type": "ui-group", "name": "Cameras", "page": "ts-page",
     "width": "8", "height": "1", "order": 2, "showTitle": True, "visible": "true",
     "disabled": "false", "groupType": "default", "className": ""},
    {"id": "ts-group-alerts", "type": "ui-group", "name": "Alerts", "page": "ts-page",
     "width": "4", "height": "1", "order": 1, "showTitle": True, "visible": "true",
     "disabled": "false", "groupType": "default", "className": ""},
]  # fmt: skip


def flows() -> list[dict[str, Any]]:
    """The nodes of the flow, as Node-RED imports them."""
    nodes: list[dict[str, Any]] = [
        {
            "id": FLOW,
            "type": "tab",
            "label": "tremorscope",
            "disabled": False,
            "info": "Shows every camera below tremorscope/, and commands them. See docs/dashboards.md.",
        },
        *_LAID_OUT,
        _broker("reader", keeps_session=True),
        _broker("operator", keeps_session=False),
    ]
    for number, (topic, qos, datatype) in enumerate(_HEARD):
        heard = {"topic": f"{TOPIC}/+/{topic}", "qos": str(qos), "datatype": datatype}
        options = {"broker": "ts-reader", "nl": False, "rap": True, "rh": 0, "inputs": 0}
        place = (150, 60 + 40 * number)
        nodes.append(_node(f"ts-in-{number}", "mqtt in", place, ["ts-collect"], **heard, **options))
    nodes += [
        _function("collect", (420, 160), []),
        _node(
            "ts-each-second", "inject", (150, 380), ["ts-overview"],
            repeat="1", once=True, onceDelay="1", topic="", payload="", payloadType="date", props=[],
        ),
        _function("overview", (420, 380), ["ts-page-camera", "ts-page-alerts"]),
        _page("camera", (640, 360)),
        _page("alerts", (640, 400)),
        _function("command", (860, 380), ["ts-out"]),
        _node("ts-out", "mqtt out", (1060, 380), None, broker="ts-operator", topic="", qos="1",
              retain="false", respTopic="", contentType="application/json", userProps="",
              correl="", expiry=""),
    ]  # fmt: skip
    for number, name in enumerate(("camera", "picture")):
        y = 460 + 40 * number
        url = {"url": f"/tremorscope/{name}", "method": "get", "upload": False}
        nodes += [
            _node(f"ts-get-{name}", "http in", (150, y), [f"ts-{name}"], **url),
            _function(name, (420, y), ["ts-answer"]),
        ]
    nodes.append(_node("ts-answer", "http response", (640, 480), None, statusCode="", headers={}))
    return nodes


def _node(
    name: str, kind: str, place: tuple[int, int], to: list[str] | None, **others: Any
) -> dict[str, Any]:
    x, y = place
    wires = [] if to is None else [to]
    return {
        "id": name,
        "type": kind,
        "z": FLOW,
        "name": "",
        "x": x,
        "y": y,
        "wires": wires,
        **others,
    }


def _function(name: str, place: tuple[int, int], to: list[str]) -> dict[str, Any]:
    return _node(f"ts-{name}", "function", place, to) | {
        "name": name,
        "func": (HERE / f"{name}.js").read_text(),
        "outputs": 1 if to else 0,
        "wires": [to] if to else [],
        "timeout": 0,
        "noerr": 0,
        "initialize": "",
        "finalize": "",
        "libs": [],
    }


def _page(name: str, place: tuple[int, int]) -> dict[str, Any]:
    return _node(f"ts-page-{name}", "ui-template", place, ["ts-command"]) | {
        "name": name,
        "group": f"ts-group-{name}",
        "page": "",
        "ui": "",
        "order": 1,
        "width": 0,
        "height": 0,
        "head": "",
        "format": (HERE / f"{name}.vue").read_text(),
        "storeOutMessages": False,
        "passthru": False,
        "resendOnRefresh": True,
        "templateScope": "local",
        "className": "",
    }


def _broker(role: str, *, keeps_session: bool) -> dict[str, Any]:
    """A connection whose host, user and password are the environment's: see settings.js."""
    environment = f"TREMORSCOPE_{role.upper()}"
    never = {"Topic": "", "Qos": "0", "Retain": "false", "Payload": "", "Msg": {}}
    wills = {
        f"{when}{part}": value
        for when in ("birth", "close", "will")
        for part, value in never.items()
    }
    return {
        "id": f"ts-{role}",
        "type": "mqtt-broker",
        "name": role,
        "broker": "${TREMORSCOPE_BROKER}",
        "port": "1883",
        "clientid": f"tremorscope-node-red-{role}",
        "autoConnect": True,
        "usetls": False,
        "verifyservercert": True,
        "protocolVersion": "5",
        "keepalive": "30",
        "cleansession": not keeps_session,
        "autoUnsubscribe": not keeps_session,
        "sessionExpiry": "86400" if keeps_session else "",
        "userProps": "",
        **wills,
        "credentials": {"user": f"${{{environment}}}", "password": f"${{{environment}_PASSWORD}}"},
    }  # fmt: skip


def text() -> str:
    """What ``flows.json`` holds."""
    return json.dumps(flows(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (HERE / "flows.json").write_text(text())
