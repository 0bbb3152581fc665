"""The live page in a real browser, over a real daemon that plays the sample clip again and again."""

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from broker import wait_until
from browser import chromium
from playwright.sync_api import Browser, Page, expect
from videos import played_again_and_again

from runtime.assembly import assembled
from runtime.config.file import parse
from runtime.daemon import Daemon
from runtime.page.stream import STALLED_S, UNHEARD_S

CONFIG = """
name = "footbridge"
[camera]
source = "loop.mkv"
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
[[regions]]
name = "pier"
x = 40
y = 230
width = 48
height = 64
reference = true
[magnification]
threads = 1
area = {{ x = 272, y = 152, width = 96, height = 64 }}
[[alerts]]
name = "sway"
quantity = "displacement_rms_px"
regions = ["midspan"]
raise_above = 0.05
latch = true
[[alerts]]
name = "jolt"
quantity = "displacement_rms_px"
regions = ["quarter"]
raise_above = 0.05
longest_s = 1.5
[evidence]
before_s = 1
after_s = 0.5
longest_s = 8
[mqtt]
enabled = false
[storage]
directory = "state"
[page]
enabled = true
port = {port}
watchers = 3
"""
WIDE, PHONE = {"width": 1360, "height": 1000}, {"width": 360, "height": 740}


class Site:
    """A running daemon and where its page is."""

    def __init__(self, daemon: Daemon, url: str) -> None:
        self.daemon, self.url = daemon, url


@pytest.fixture(autouse=True)
def _no_station_is_left() -> None:
    """One daemon serves all tests of this file; ``site`` looks whether it has ended."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    played_again_and_again(folder / "loop.mkv")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = parse(CONFIG.format(port=port), folder / "site.toml")
    with assembled(config) as daemon:
        thread = threading.Thread(target=daemon.run, name="run")
        thread.start()
        yield Site(daemon, f"http://127.0.0.1:{port}/")
        daemon.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


class Opened:
    """A page that is looked at, with what went wrong in it."""

    def __init__(self, browser: Browser, site: Site, size: dict[str, int]) -> None:
        self.problems: list[str] = []
        self.context = browser.new_context(viewport=size)  # type: ignore[arg-type]
        self.context.set_default_timeout(20_000)
        self.context.on("console", lambda message: self._note(message.type, message.text))
        self.context.on("weberror", lambda error: self.problems.append(str(error.error)))
        self.context.on("request", lambda request: self._asked(request.url, site.url))
        self.page: Page = self.context.new_page()
        self.page.goto(site.url, wait_until="domcontentloaded")

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(text)

    def _asked(self, url: str, own: str) -> None:
        if not url.startswith(own):
            self.problems.append(f"asked for {url}")


Look = Callable[..., Opened]


@pytest.fixture
def look(browser: Browser, site: Site) -> Iterator[Look]:
    """Opens pages that are closed after the test; nothing may have gone wrong in any of them."""
    looked: list[Opened] = []

    def one(size: dict[str, int] = WIDE) -> Opened:
        looked.append(Opened(browser, site, size))
        return looked[-1]

    yield one
    for each in looked:
        each.context.close()
    assert [problem for each in looked for problem in each.problems] == []


@pytest.fixture
def opened(look: Look) -> Opened:
    return look()


def looks(page: Page) -> str:
    """What is seen of the picture now."""
    return str(
        page.evaluate(
            """() => {
                const canvas = document.createElement("canvas");
                canvas.width = canvas.height = 96;
                const picture = document.getElementById("picture");
                canvas.getContext("2d").drawImage(picture, 0, 0, 96, 96);
                return canvas.toDataURL();
            }"""
        )
    )


def until(page: Page, condition: str, timeout_s: float = 20.0) -> None:
    """Wait until JavaScript holds; asked from outside, since the page itself forbids ``eval``."""
    deadline = time.monotonic() + timeout_s
    while not page.evaluate(condition):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {condition}")
        page.wait_for_timeout(50)


def width_of_picture(page: Page, width: int) -> None:
    until(page, f"document.getElementById('picture').naturalWidth === {width}")


def test_a_watcher_too_many_is_told_so_and_comes_in_when_another_leaves(look: Look) -> None:
    three = [look() for _ in range(3)]
    for one in three:
        width_of_picture(one.page, 640)
    late = look()
    expect(late.page.locator("#no-picture")).to_contain_text("page.watchers")
    three[0].context.close()
    width_of_picture(late.page, 640)
    expect(late.page.locator("#no-picture")).to_be_hidden()
    # A browser notes every answer that is none of success.
    assert all("503" in problem for problem in late.problems)
    late.problems.clear()


@pytest.mark.parametrize("view", [None, "raw", "beside"])
def test_whoever_closes_the_page_leaves_the_picture_s_place(
    look: Look, site: Site, view: str | None
) -> None:
    def watchers() -> int:
        with urllib.request.urlopen(f"{site.url}api/now") as answer:
            return int(json.load(answer)["watchers"])

    looked = [look() for _ in range(3)]
    for one in looked:
        width_of_picture(one.page, 640)
        if view is not None:  # the former view's stream must end, too
            one.page.locator(f"input[value={view}]").check()
    for one in looked:
        one.context.close()
    # A browser may read a stream on for a while that no page shows any more.
    wait_until(lambda: watchers() == 0, "nobody watches", UNHEARD_S + STALLED_S + 5)


def test_the_picture_moves_and_its_views_can_be_switched(opened: Opened, site: Site) -> None:
    page = opened.page
    width_of_picture(page, 640)
    first = looks(page)
    page.wait_for_timeout(1000)
    assert looks(page) != first
    expect(page.locator(".outline")).to_have_count(3)
    page.locator("input[value=beside]").check()
    width_of_picture(page, 1280)
    expect(page.locator(".outline")).to_have_count(6)
    page.locator("input[value=raw]").check()
    width_of_picture(page, 640)
    box, picture = (page.locator(f"#{one}").bounding_box() for one in ("stage", "picture"))
    assert box == picture
    assert site.daemon.snapshot().frames.captured > 0


def test_the_gain_is_changed_in_the_daemon(opened: Opened, site: Site) -> None:
    page = opened.page
    expect(page.locator("#gain")).to_have_value("20")
    page.locator("#gain").fill("35")
    page.locator("#gain").press("Enter")
    expect(page.locator("#picture-note")).to_contain_text("35, static")
    assert site.daemon.controls.settings.gain == 35
    page.locator("#mode").select_option("band-pass")
    expect(page.locator("#low")).to_be_enabled()
    page.locator("#high").fill("6")
    page.locator("#high").press("Tab")
    assert site.daemon.controls.settings.mode == "band-pass"
    expect(page.locator("#picture-note")).to_contain_text("35, band-pass, 0.5 to 6 Hz")
    assert site.daemon.controls.settings.high_hz == 6


def test_a_refused_value_shows_the_sentence_and_what_holds(opened: Opened, site: Site) -> None:
    page = opened.page
    expect(page.locator("#gain")).not_to_have_value("")
    before = site.daemon.controls.settings
    page.locator("#gain").fill("0.2")
    page.locator("#gain").press("Enter")
    expect(page.locator("#controls-message")).to_have_text(
        "magnification.gain = 0.2: must be at least 1"
    )
    expect(page.locator("#gain")).to_have_value(f"{before.gain:g}")
    assert site.daemon.controls.settings == before
    # A browser notes every answer that is none of success.
    assert ["422" in problem for problem in opened.problems] == [True]
    opened.problems.clear()


def test_a_selected_region_has_waveform_and_spectrum(opened: Opened) -> None:
    page = opened.page
    page.wait_for_selector("body[data-curves='midspan displacement drawn']")
    page.get_by_role("button", name="Select region quarter").first.click()
    page.wait_for_selector("body[data-curves='quarter displacement drawn']")
    expect(page.locator("input[name=region][value=quarter]")).to_be_checked()
    page.locator("input[value=velocity]").check()
    page.wait_for_selector("body[data-curves='quarter velocity drawn']")
    for chart in ("wave", "spectrum"):
        drawn = page.evaluate(
            f"""() => {{
                const canvas = document.querySelector("#{chart} canvas");
                const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return data.filter((_, place) => place % 4 === 3).filter((alpha) => alpha > 0).length;
            }}"""
        )
        assert drawn > 2000


def test_an_alert_appears_is_acknowledged_and_its_clip_plays(opened: Opened, site: Site) -> None:
    page = opened.page
    wait_until(
        lambda: any(one.rule == "sway" for one in site.daemon.told.open_alerts()),
        "the bridge sways",
        timeout_s=30,
    )
    first = page.locator("#alerts > li.open", has_text="sway · midspan").first
    # By its event: another sway may be raised as soon as this one is acknowledged.
    event_id = str(first.get_attribute("data-event"))
    row = page.locator(f"#alerts > li[data-event='{event_id}']")
    row.get_by_role("button", name="Acknowledge").click()
    expect(row.get_by_role("button")).to_have_count(0)
    known = {one.event_id: one for one in site.daemon.told.open_alerts()}
    assert event_id not in known or known[event_id].acknowledged
    short = page.locator("#alerts > li:not(.open)", has_text="jolt · quarter").first
    link = short.get_by_role("link", name="clip")
    expect(link).to_be_visible(timeout=60_000)
    with page.expect_popup() as popup:
        link.click()
    clip = popup.value
    until(clip, "document.querySelector('video')?.readyState >= 2")
    clip.evaluate("document.querySelector('video').currentTime = 0.5")
    until(clip, "!document.querySelector('video').seeking")
    assert clip.evaluate("document.querySelector('video').currentTime") >= 0.5
    assert clip.evaluate("document.querySelector('video').videoWidth") > 640


def test_on_a_phone_nothing_scrolls_sideways_and_nothing_jumps(
    browser: Browser, site: Site
) -> None:
    one = Opened(browser, site, PHONE)
    page = one.page
    page.evaluate(
        """() => {
            window.shift = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) {
                    if (!entry.hadRecentInput) window.shift += entry.value;
                }
            }).observe({ type: "layout-shift" });
        }"""
    )
    page.wait_for_selector("body[data-curves$=drawn]")
    width_of_picture(page, 640)
    page.wait_for_timeout(2500)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.evaluate("window.shift") < 0.1  # what web.dev calls good
    page.locator("input[value=beside]").check()
    until(page, "document.getElementById('picture').naturalHeight === 720")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_it_can_be_used_with_the_keyboard_alone(opened: Opened, site: Site) -> None:
    page = opened.page
    page.wait_for_selector("body[data-curves$=drawn]")
    page.locator("input[name=view][value=magnified]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("input[name=view][value=raw]")).to_be_checked()
    page.locator("#gain-slider").focus()
    before = site.daemon.controls.settings.gain
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#picture-note")).not_to_contain_text(f"{before:g}, ")
    assert site.daemon.controls.settings.gain < before
    reached = set()
    page.locator("input[name=view]").first.focus()
    for _ in range(150):  # each alert has links of its own
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"gain-slider", "gain", "mode", "alerts"} <= reached
    assert any("outline" in str(one) for one in reached)
