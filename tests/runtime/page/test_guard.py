"""Who is let in."""

import logging
from pathlib import Path

import pytest
from pages import HERE, Served, configured

from runtime.page import guard


@pytest.fixture
def page(tmp_path: Path) -> Served:
    return Served(configured(tmp_path))


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setattr(guard, "WRONG_PASSWORD_S", 0.01)
    return Served(configured(tmp_path, user="inspector", password_file=tmp_path / "password"))


def test_without_a_password_anybody_on_this_machine_is_let_in(page: Served) -> None:
    assert page.client().get("/").status_code == 200


@pytest.mark.parametrize("address", ["/", "/api/now", "/metrics", "/picture", "/static/page.css"])
def test_everything_needs_the_password_where_there_is_one(locked: Served, address: str) -> None:
    answer = locked.client("open sesame").get(address)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert "bridge" not in answer.text


@pytest.mark.parametrize(
    ("user", "password"),
    [("inspector", "open sesam"), ("inspector", ""), ("other", "open sesame"), ("", "")],
)
def test_a_wrong_user_or_password_is_refused_and_never_logged(
    locked: Served, user: str, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = locked.client("open sesame").get("/", auth=(user, password))
    assert answer.status_code == 401
    assert "wrong user or password" in caplog.text
    assert "sesam" not in caplog.text


def test_what_is_no_basic_authorisation_is_refused(locked: Served) -> None:
    for given in ("Basic", "Basic ???", "Bearer abc", "Basic b3BlbiBzZXNhbWU="):
        answer = locked.client("open sesame").get("/", headers={"authorization": given})
        assert answer.status_code == 401


def test_the_right_password_opens_it(locked: Served) -> None:
    client = locked.client("öffne dich")
    assert client.get("/", auth=("inspector", "öffne dich".encode())).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["localhost", "LOCALHOST:9000", "127.0.0.1:80", "[::1]:8080", "192.168.1.7", "10.0.0.9:1"],
)
def test_our_own_names_and_all_numbers_are_known(page: Served, name: str) -> None:
    assert page.client().get("/", headers={"host": name}).status_code == 200


@pytest.mark.parametrize(
    "name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "", "[::1"]
)
def test_a_foreign_name_for_this_machine_is_refused(page: Served, name: str) -> None:
    assert page.client().get("/api/now", headers={"host": name}).status_code == 403


def test_further_names_can_be_configured(tmp_path: Path) -> None:
    one = Served(configured(tmp_path, names=("Bridge.example",)))
    answer = one.client().get("/", headers={"host": "bridge.example:443"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:8081", "https://localhost", "null"]
)
def test_a_command_from_another_page_is_refused(page: Served, origin: str) -> None:
    answer = page.client().post(
        "/api/commands/magnification", json={"gain": 50}, headers={"origin": origin}
    )
    assert answer.status_code == 403
    assert page.daemon.controls.settings.gain == 20


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_command_that_is_no_json_is_refused(page: Served, kind: str) -> None:
    answer = page.client().post(
        "/api/commands/magnification", content=b'{"gain": 50}', headers={"content-type": kind}
    )
    assert answer.status_code == 415
    assert page.daemon.controls.settings.gain == 20


def test_a_command_from_this_page_is_carried_out(page: Served) -> None:
    answer = page.client().post(
        "/api/commands/magnification", json={"gain": 50}, headers={"origin": HERE}
    )
    assert answer.status_code == 200
    assert page.daemon.controls.settings.gain == 50


def test_what_another_site_embeds_is_refused_and_its_links_are_not(page: Served) -> None:
    client = page.client()
    embedded = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/picture", headers=embedded).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200


def test_every_answer_has_the_security_headers(page: Served) -> None:
    client = page.client()
    for answer in (client.get("/"), client.get("/nothing"), client.get("/", headers={"host": "x"})):
        for name, value in guard.HEADERS.items():
            assert answer.headers[name] == value
    assert "unsafe" not in guard.HEADERS["content-security-policy"]
