"""The page's thread: its socket, its TLS, its end; and what the configuration refuses."""

import http.client
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import wait_until
from pages import Served, configured

import runtime.page.connection
from failure import Failure
from runtime.config import Config
from runtime.config.file import parse
from runtime.page import LivePage
from runtime.page.server import MOST_CONNECTIONS

START = '[camera]\nsource = "a.mkv"\n[[regions]]\nname = "a"\nx = 1\ny = 1\nwidth = 9\nheight = 9\n'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def parsed(page: str) -> Config:
    return parse(f"{START}[page]\nenabled = true\n{page}", Path("/etc/bridge.toml"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "bridge.example"])
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("", "user, password_file, certificate, key are missing"),
        ('user = "a"\npassword_file = "p"', "certificate, key are missing"),
        ('certificate = "c"\nkey = "k"', "user, password_file are missing"),
    ],
)
def test_another_host_needs_credentials_and_tls(host: str, given: str, missing: str) -> None:
    with pytest.raises(Failure) as told:
        parsed(f'host = "{host}"\n{given}')
    assert missing in str(told.value)
    assert "SSH tunnel" in str(told.value)
    assert str(told.value).startswith("/etc/bridge.toml:9: page: ")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "localhost", "::1"])
def test_this_machine_alone_needs_neither(host: str) -> None:
    assert parsed(f'host = "{host}"').page.is_local


@pytest.mark.parametrize(
    ("one", "other"), [("user", "password_file"), ("key", "certificate"), ("certificate", "key")]
)
def test_half_a_pair_is_refused(one: str, other: str) -> None:
    with pytest.raises(Failure, match=f"{one} is given without {other}"):
        parsed(f'{one} = "x"')


def test_files_of_the_page_lie_beside_the_configuration() -> None:
    page = parsed(
        'host = "0.0.0.0"\nuser = "a"\npassword_file = "p"\ncertificate = "c"\nkey = "/k"'
    ).page
    paths = (page.password_file, page.certificate, page.key)
    assert paths == (Path("/etc/p"), Path("/etc/c"), Path("/k"))
    assert page.scheme == "https"


def test_it_serves_until_it_is_closed(tmp_path: Path) -> None:
    one = Served(configured(tmp_path, port=free_port()))
    page = LivePage(one.daemon, one.config, one.pictures)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", one.config.page.port, timeout=10)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok\n")
        assert answer.headers["server"] is None
    finally:
        page.close()
    assert "page" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", one.config.page.port), timeout=5)


def test_a_watched_picture_does_not_hold_up_the_end(tmp_path: Path) -> None:
    one = Served(configured(tmp_path, port=free_port()))
    page = LivePage(one.daemon, one.config, one.pictures)
    connection = http.client.HTTPConnection("127.0.0.1", one.config.page.port, timeout=10)
    try:
        connection.request("GET", "/picture?view=raw")
        assert connection.getresponse().status == 200
    finally:
        page.close()
    assert "page" not in {thread.name for thread in threading.enumerate()}
    assert one.pictures.watchers == 0


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LivePage]:
    """Its two limits are short."""
    monkeypatch.setattr(runtime.page.connection, "REQUEST_S", 0.3)
    monkeypatch.setattr(runtime.page.connection, "TAKE_S", 0.3)
    one = Served(configured(tmp_path, port=free_port()))
    served = LivePage(one.daemon, one.config, one.pictures)
    yield served
    served.close()


def connected(page: LivePage) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(page)), timeout=20)


def port_of(page: LivePage) -> int:
    return int(page.url.rstrip("/").rpartition(":")[2])


def asks(page: LivePage, path: str = "/healthz") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def is_cut_off(one: socket.socket) -> bool:
    """Whether the other side ends the connection, after what it had to say."""
    with one:
        try:
            while one.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True


HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /magnification HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "sent",
    [b"", HEAD[:20], HEAD, HEAD + b"\r\n", POST + b"Content-Length: 20\r\n\r\n{"],
    ids=["nothing", "half a line", "half a head", "one request and no other", "half a body"],
)
def test_a_connection_without_a_complete_request_is_ended(page: LivePage, sent: bytes) -> None:
    one = connected(page)
    one.sendall(sent)
    assert is_cut_off(one)


def test_a_request_that_comes_in_drops_does_not_keep_its_place(page: LivePage) -> None:
    one = connected(page)
    one.sendall(HEAD)

    def drop() -> bool:
        try:
            one.sendall(b"x-padding: 1\r\n")
        except OSError:
            return True
        return False

    wait_until(drop, "it is cut off", 20)
    one.close()


def test_idle_connections_do_not_keep_others_out_for_long(page: LivePage) -> None:
    idle = [connected(page) for _ in range(MOST_CONNECTIONS)]
    assert asks(page) == 503
    wait_until(lambda: asks(page) == 200, "there is room again", 20)
    assert all(is_cut_off(one) for one in idle)


def test_who_does_not_take_the_answer_is_cut_off(page: LivePage) -> None:
    one = connected(page)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # More than all buffers in between hold.
    head = b"GET /static/uplot/uPlot.iife.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    one.sendall(head * 400)
    connections = page._server.server_state.connections
    wait_until(lambda: bool(connections), "it is served", 20)
    wait_until(lambda: not connections, "it is cut off", 20)
    one.close()


def test_requests_one_after_the_other_and_a_long_answer_are_no_idleness(
    page: LivePage,
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=20)
    for _ in range(8):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        time.sleep(0.1)
    picture = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=20)
    picture.request("GET", "/picture?view=raw")
    answer = picture.getresponse()
    time.sleep(1.0)
    assert answer.read(3) == b"--p"
    assert page._server.server_state.connections
    picture.close()


def test_an_address_that_is_taken_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one = Served(configured(tmp_path, port=taken.getsockname()[1]))
        with pytest.raises(Failure, match=r"cannot be listened on .*choose another page\.port"):
            LivePage(one.daemon, one.config, one.pictures)


def test_tls_is_spoken_with_the_certificate_and_the_password_asked_for(tmp_path: Path) -> None:
    certificate, key, password = (tmp_path / name for name in ("c.pem", "k.pem", "password"))
    made_certificate(certificate, key)
    password.write_text("open sesame\n")
    files = {"certificate": certificate, "key": key, "password_file": password}
    one = Served(configured(tmp_path, port=free_port(), user="inspector", **files))
    page = LivePage(one.daemon, one.config, one.pictures)
    try:
        context = ssl.create_default_context(cafile=certificate)
        connection = http.client.HTTPSConnection(
            "localhost", one.config.page.port, timeout=10, context=context
        )
        connection.request("GET", "/")
        assert connection.getresponse().status == 401
    finally:
        page.close()


def test_a_certificate_or_password_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    certificate, key, password = (tmp_path / name for name in ("c.pem", "k.pem", "password"))
    files = {"certificate": certificate, "key": key, "password_file": password}
    one = Served(configured(tmp_path, port=free_port(), user="inspector", **files))
    with pytest.raises(Failure, match=r"page\.password_file: .* cannot be read"):
        LivePage(one.daemon, one.config, one.pictures)
    password.write_text("open sesame\n")
    with pytest.raises(Failure, match=r"page\.certificate: .* cannot be read"):
        LivePage(one.daemon, one.config, one.pictures)
    certificate.write_text("nonsense")
    key.write_text("nonsense")
    with pytest.raises(Failure, match=r"are no certificate with its key") as told:
        LivePage(one.daemon, one.config, one.pictures)
    assert "sesame" not in str(told.value)


def made_certificate(certificate: Path, key: Path) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names.split(), *files], check=True, capture_output=True)
