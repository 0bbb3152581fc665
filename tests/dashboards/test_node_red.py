"""The Node-RED flow as shipped, in a real Node-RED, over the shipped Mosquitto, fed by a real daemon."""

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from broker import Listener, free_port, wait_until
from browser import chromium
from playwright.sync_api import Browser, Page, expect
from shipped_broker import ShippedMosquitto
from videos import played_again_and_again

from runtime.mqtt.topics import TOPICS

TOP = Path(__file__).parents[2]
SHIPPED = TOP / "dashboards" / "node-red"
INSTALLED = Path(os.environ.get("TREMORSCOPE_NODE_RED", TOP / ".venv" / "node-red"))
PASSWORD = "of who opens the pages"
WIDE, PHONE = {"width": 1360, "height": 900}, {"width": 360, "height": 740}

pytestmark = pytest.mark.skipif(
    not (INSTALLED / "node_modules" / "node-red").exists(),
    reason="Node-RED is not installed; `make .venv/node-red.stamp` does that",
)

expect.set_options(timeout=30_000)

CONFIG = """
name = "bridge"
[camera]
source = "bridge.mkv"
[[regions]]
name = "midspan"
x = 288
y = 168
width = 64
height = 38
[[regions]]
name = "quarter"
x = 174
y = 168
width = 64
height = 38
[magnification]
threads = 1
area = {{ x = 272, y = 152, width = 96, height = 64 }}
[[alerts]]
name = "sway"
quantity = "displacement_rms_px"
regions = ["midspan"]
raise_above = 0.05
latch = true
[evidence]
before_s = 1
after_s = 0.5
longest_s = 8
[storage]
directory = "state"
[mqtt]
host = "127.0.0.1"
port = {port}
tls = true
ca_file = "{ca}"
username = "bridge"
password_file = "password"
pictures = true
"""


def test_the_flow_is_made_of_the_files_beside_it() -> None:
    path = SHIPPED / "make_flows.py"
    spec = importlib.util.spec_from_file_location("make_flows", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (SHIPPED / "flows.json").read_text() == module.text(), f"run python {path}"


def test_the_flow_hears_topics_that_there_are_and_knows_no_host_and_no_secret() -> None:
    flow = json.loads((SHIPPED / "flows.json").read_text())
    heard = [node["topic"] for node in flow if node["type"] == "mqtt in"]
    there = {f"tremorscope/+/{topic.address}".replace("{region}", "+") for topic in TOPICS}
    assert set(heard) <= there
    for node in flow:
        if node["type"] == "mqtt-broker":
            kept = [node["broker"], node["credentials"]["user"], node["credentials"]["password"]]
            assert all(each.startswith("${") and each.endswith("}") for each in kept)


class NodeRed:
    """A Node-RED with the shipped settings, and the flow imported into it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "node-red.log"
        shutil.copy(SHIPPED / "settings.js", folder / "settings.js")
        (folder / "page-password").write_text(PASSWORD + "\n")
        self._environment = os.environ | environment
        self._environment |= {
            "TREMORSCOPE_DASHBOARD_PORT": str(self.port),
            "TREMORSCOPE_DASHBOARD_PASSWORD_FILE": str(folder / "page-password"),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        node = shutil.which("node")
        assert node is not None
        red = INSTALLED / "node_modules" / "node-red" / "red.js"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [node, red, "--userDir", self.folder],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, "Node-RED answers", 60)

    def import_flow(self) -> None:
        """As the editor does, with its user."""
        # A flow that comes while Node-RED still reads what it had before loses its credentials.
        wait_until(lambda: "Started flows" in self.log.read_text(), "Node-RED has started", 60)
        login = {"client_id": "node-red-admin", "grant_type": "password", "scope": "*"}
        answer = self._post("/auth/token", {**login, "username": "operator", "password": PASSWORD})
        token = json.loads(answer)["access_token"]
        flow = json.loads((SHIPPED / "flows.json").read_text())
        self._post("/flows", flow, {"Authorization": f"Bearer {token}"})

    def status(self, path: str, login: tuple[str, str] | None = None) -> int:
        request = urllib.request.Request(self.url + path)
        if login is not None:
            text = base64.b64encode(":".join(login).encode()).decode()
            request.add_header("Authorization", f"Basic {text}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)

    def _post(self, path: str, said: Any, headers: dict[str, str] | None = None) -> bytes:
        request = urllib.request.Request(
            self.url + path,
            json.dumps(said).encode(),
            {"Content-Type": "application/json", **(headers or {})},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(self.log.read_text())
        try:
            return self.status("/settings") > 0
        except OSError:
            return False


class Site:
    """Everything that runs: broker, daemon, a second camera, Node-RED."""

    def __init__(self, broker: ShippedMosquitto, node_red: NodeRed, tower: Listener) -> None:
        self.broker, self.node_red, self.tower = broker, node_red, tower
        self.operator = Listener(broker, "tremorscope/#", broker.login("operator"))

    def commands(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(p) for p in self.operator.payloads(f"bridge/command/{name}")]


@pytest.fixture(autouse=True)
def _no_station_is_left() -> None:
    """The daemon is another process."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("node-red")
    authority = Authority(folder, "authority")
    broker = ShippedMosquitto(folder / "broker", authority)
    for user in ("reader", "operator"):
        (folder / user).write_text(broker.users[user] + "\n")
    (folder / "password").write_text(broker.users["bridge"])
    (folder / "red").mkdir()
    broker.folder.mkdir()
    broker.start()
    node_red = NodeRed(
        folder / "red",
        {
            "TREMORSCOPE_BROKER": f"mqtts://127.0.0.1:{broker.tls_port}",
            "NODE_EXTRA_CA_CERTS": str(authority.certificate),
            "TREMORSCOPE_READER_PASSWORD_FILE": str(folder / "reader"),
            "TREMORSCOPE_OPERATOR_PASSWORD_FILE": str(folder / "operator"),
        },
    )
    played_again_and_again(folder / "bridge.mkv")
    config = folder / "bridge.toml"
    config.write_text(CONFIG.format(port=broker.tls_port, ca=authority.certificate))
    tower = Listener(broker, "tremorscope/tower/command/+", broker.login("tower"))
    daemon: subprocess.Popen[bytes] | None = None
    one: Site | None = None
    try:
        node_red.start()
        node_red.import_flow()
        one = Site(broker, node_red, tower)
        told = ("Connected to broker: tremorscope-node-red-reader", "node-red-operator")
        wait_until(lambda: all(t in node_red.log.read_text() for t in told), "it connects", 30)
        with (folder / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "tremorscope", "run", "--config", str(config)],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
            )
        yield one
        assert "Error" not in node_red.log.read_text()
    finally:
        if daemon is not None:
            daemon.kill()
            daemon.wait()
        node_red.stop()
        tower.close()
        if one is not None:
            one.operator.close()
        broker.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


Look = Callable[..., Page]


@pytest.fixture
def look(browser: Browser, site: Site) -> Iterator[Look]:
    """Opens the page; nothing may have gone wrong in it."""
    contexts, problems = [], []

    def one(size: dict[str, int] = WIDE) -> Page:
        context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            service_workers="block",  # it says on the page that it is ready
            http_credentials={"username": "operator", "password": PASSWORD},
        )
        contexts.append(context)
        context.set_default_timeout(30_000)
        context.on("weberror", lambda error: problems.append(str(error.error)))
        context.on(
            "console",
            lambda said: problems.append(said.text) if said.type == "error" else None,
        )
        page = context.new_page()
        page.goto(f"{site.node_red.url}/dashboard/tremorscope", wait_until="domcontentloaded")
        return page

    yield one
    for context in contexts:
        context.close()
    assert "\n".join(problems) == ""


def keep(page: Page, name: str) -> None:
    """Where TREMORSCOPE_SCREENSHOTS names a folder, show there what is seen."""
    folder = os.environ.get("TREMORSCOPE_SCREENSHOTS")
    if folder is not None:
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def from_tower(site: Site) -> None:
    """The examples of every topic, as a second camera."""
    for topic in TOPICS:
        if topic.model is not None and not topic.is_command and "history" not in topic.address:
            message = dict(topic.example)
            address = topic.address.replace("{region}", "deck")
            site.tower.send(f"tremorscope/tower/{address}", json.dumps(message).encode())


def choose(page: Page, camera: str) -> None:
    page.get_by_role("tab", name=camera).click()


def test_values_of_every_region_of_every_camera_show(site: Site, look: Look) -> None:
    from_tower(site)
    page = look()
    choose(page, "bridge")
    for region in ("midspan", "quarter"):
        place = page.locator(f"[data-region={region}]")
        expect(place.get_by_text("RMS", exact=True)).to_be_visible()
        expect(place.locator("dd").first).to_contain_text("px")
    expect(page.locator("[data-region=midspan] circle").first).to_be_visible()
    choose(page, "tower")
    deck = page.locator("[data-region=deck]")
    expect(deck.locator("dd").first).to_have_text("0.31 mm")
    expect(deck).to_contain_text("2.41 Hz")
    expect(page.locator(".ts-health")).to_contain_text("online · dark")


def test_an_alert_shows_and_its_button_acknowledges_it(site: Site, look: Look) -> None:
    page = look()
    alert = page.locator("article", has_text="bridge · midspan").first
    expect(alert).to_be_visible()
    event = alert.get_attribute("data-event")
    mine = page.locator(f"[data-event='{event}']")
    choose(page, "bridge")
    expect(page.locator("[data-picture=event-picture] img")).to_be_visible()
    expect(page.locator("[data-region=midspan] circle").first).to_be_visible()
    keep(page, "open-alert")
    expect(mine.locator(".ts-chip")).to_have_text("open")
    mine.get_by_role("button", name="Acknowledge").click()
    wait_until(lambda: {"event_id": event} in site.commands("acknowledge"), "the command goes out")
    expect(mine.locator(".ts-chip")).not_to_have_text("open")
    expect(mine.get_by_role("button")).to_have_count(0)


def test_the_picture_of_the_last_event_shows(look: Look) -> None:
    page = look()
    choose(page, "bridge")
    picture = page.locator("[data-picture=event-picture] img")
    expect(picture).to_be_visible()
    page.wait_for_function(
        "document.querySelector('[data-picture=event-picture] img').naturalWidth > 300"
    )


def test_gain_and_mode_are_set_and_a_refusal_is_shown(site: Site, look: Look) -> None:
    page = look()
    choose(page, "bridge")
    page.locator("input[name=gain]").fill("7")
    page.locator("select[name=mode]").select_option("band-pass")
    page.locator("input[name=low_hz]").fill("1")
    page.locator("input[name=high_hz]").fill("4")
    page.get_by_role("button", name="Set").click()
    expect(page.locator(".ts-reply")).to_have_text("magnification: done")
    [asked] = site.commands("magnification")
    assert asked == {"gain": 7, "mode": "band-pass", "low_hz": 1, "high_hz": 4}
    page.locator("input[name=gain]").fill("501")
    page.get_by_role("button", name="Set").click()
    expect(page.locator(".ts-reply")).to_contain_text("must be at most 500")
    page.locator("input[name=gain]").blur()
    page.get_by_role("button", name="Take a picture").click()
    expect(page.locator("[data-picture=picture] img")).to_be_visible()
    assert [json.loads(p)["gain"] for p in site.operator.payloads("bridge/controls")][-1] == 7


def test_on_a_phone_nothing_is_wider_than_the_screen(look: Look) -> None:
    page = look(PHONE)
    choose(page, "bridge")
    expect(page.locator("[data-region=midspan]")).to_be_visible()
    expect(page.locator("[data-picture=event-picture] img")).to_be_visible()
    keep(page, "phone")
    for part in (".ts-camera", ".ts-alerts"):
        widths = "one => [one.scrollWidth, one.clientWidth]"
        inside, outside = page.locator(part).evaluate(widths)
        assert inside <= outside
        assert outside <= PHONE["width"]


def test_without_the_password_nothing_is_shown_and_no_button_works(site: Site) -> None:
    paths = ("/dashboard/tremorscope", "/tremorscope/camera?prefix=tremorscope/bridge", "/flows")
    for path in paths:
        for login in (None, ("operator", "guessed")):
            assert site.node_red.status(path, login) == 401
    assert site.node_red.status(paths[0], ("operator", PASSWORD)) == 200
    opening = "/dashboard/socket.io/?EIO=4&transport=polling"
    with urllib.request.urlopen(site.node_red.url + opening) as answer:
        session = json.loads(answer.read()[1:])["sid"]
    url = f"{site.node_red.url}{opening}&sid={session}"
    urllib.request.urlopen(urllib.request.Request(url, b"40", method="POST")).close()
    with urllib.request.urlopen(url) as answer:
        assert b"not allowed" in answer.read()


def test_pages_that_other_machines_reach_need_a_password(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "settings.js", tmp_path)
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, INSTALLED / "node_modules" / "node-red" / "red.js", "--userDir", tmp_path],
        env=os.environ | {"TREMORSCOPE_DASHBOARD_HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "TREMORSCOPE_DASHBOARD_PASSWORD_FILE is needed" in done.stdout + done.stderr


def test_secrets_are_not_in_the_log_and_not_in_what_node_red_keeps(site: Site) -> None:
    kept = [path for path in site.node_red.folder.rglob("*") if path.is_file()]
    for path in kept:
        if path.name == "page-password":
            continue
        for secret in (PASSWORD, site.broker.users["reader"], site.broker.users["operator"]):
            assert secret.encode() not in path.read_bytes(), path


def test_an_alert_that_was_raised_while_node_red_was_away_shows(site: Site, look: Look) -> None:
    site.node_red.stop()
    [alerts] = [topic for topic in TOPICS if topic.name == "alerts"]
    message = {**alerts.example, "event_id": "while-away", "rule": "while nobody looked"}
    site.tower.send("tremorscope/tower/alerts", json.dumps(message).encode())
    wait_until(
        lambda: any(b"while-away" in one for one in site.operator.payloads("tower/alerts")),
        "the broker has it",
    )
    site.node_red.start()
    expect(look().locator("[data-event=while-away]")).to_contain_text("while nobody looked")
