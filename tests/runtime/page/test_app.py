"""What the addresses answer, over a real daemon."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import wait_until
from pages import Served, configured, served

from runtime.page.app import not_ready


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served(configured(tmp_path), monkeypatch) as one:
        yield one


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Served, str]]:
    """A page whose alert has a finished snapshot, and the alert's event_id."""
    with served(configured(tmp_path), monkeypatch, keeps=True) as one:
        [alert] = one.daemon.told.open_alerts()
        snapshot = one.config.evidence_folder / alert.event_id / "snapshot.jpg"
        wait_until(snapshot.is_file, "the snapshot is there")
        yield one, alert.event_id


def test_now_tells_regions_open_alerts_and_health(page: Served) -> None:
    now = page.client().get("/api/now").json()
    assert now["snapshot"]["name"] == "bridge"
    assert now["snapshot"]["frames"]["measured"] == page.daemon.counters.measured
    assert [region["name"] for region in now["regions"]] == ["girder"]
    [alert] = now["alerts"]
    assert alert["is_open"]
    assert alert["message"]["rule"] == "sway"
    assert now["disk_free_bytes"] > 0


def test_a_command_that_cannot_be_is_told_in_one_sentence(page: Served) -> None:
    answer = page.client().post("/api/commands/magnification", json={"gain": 0})
    assert answer.status_code == 422
    assert answer.json()["reason"] == "magnification.gain = 0: must be at least 1"
    assert page.daemon.controls.settings.gain == 20


def test_a_command_of_many_bytes_is_refused(page: Served) -> None:
    answer = page.client().post("/api/commands/magnification", json={"gain": "5" * 100_000})
    assert answer.status_code == 422
    assert "are no command" in answer.json()["reason"]


def test_an_alert_is_acknowledged(page: Served) -> None:
    client = page.client()
    [alert] = page.daemon.told.open_alerts()
    answer = client.post("/api/commands/acknowledge", json={"event_id": alert.event_id})
    assert answer.status_code == 200
    wait_until(
        lambda: all(one.acknowledged for one in page.daemon.told.open_alerts()), "acknowledged"
    )
    again = client.post("/api/commands/acknowledge", json={"event_id": "f" * 32})
    assert again.status_code == 422
    assert "no open alert" in again.json()["reason"]


def test_a_region_has_waveform_and_spectrum_with_their_unit(page: Served) -> None:
    client = page.client()
    trace = client.get("/api/regions/girder").json()
    assert trace["unit"] == "px"
    assert trace["t_s"][-1] == 0
    assert len(trace["t_s"]) == len(trace["x"]) == len(trace["y"]) == page.daemon.counters.measured
    assert trace["x"][0] is None, "zero was still learned: a gap"
    assert 0 not in trace["x"][:30]
    assert len(trace["hz"]) == len(trace["x_amplitude"]) > 30
    assert client.get("/api/regions/girder?quantity=velocity").json()["unit"] == "px/s"
    assert client.get("/api/regions/girder?quantity=size").status_code == 404
    assert client.get("/api/regions/mast").status_code == 404


def test_evidence_is_served_in_whole_and_in_part(kept: tuple[Served, str]) -> None:
    page, event_id = kept
    client = page.client()
    listed = client.get("/api/now").json()["alerts"][0]
    assert "snapshot.jpg" in listed["files"]
    whole = client.get(f"/evidence/{event_id}/snapshot.jpg")
    assert whole.content == (page.config.evidence_folder / event_id / "snapshot.jpg").read_bytes()
    assert whole.headers["content-type"] == "image/jpeg"
    part = client.get(f"/evidence/{event_id}/snapshot.jpg", headers={"range": "bytes=2-5"})
    assert part.status_code == 206
    assert part.content == whole.content[2:6]
    message = client.get(f"/evidence/{event_id}/event.json").json()
    assert message["event_id"] == event_id
    assert "page" not in message["settings"]["config"]


@pytest.mark.parametrize(
    "address",
    [
        "/evidence/{id}/../../alerts.json",
        "/evidence/{id}/..%2f..%2falerts.json",
        "/evidence/%2e%2e/secret",
        "/evidence/..%2f..%2f/secret",
        "/evidence/{id}/secret",
        "/evidence/{id}/.hidden",
        "/evidence/{id}/clip.unfinished.mp4",
        "/evidence/{id}/samples.csv",
        "/evidence/%2fetc/passwd",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
    ],
)
def test_nothing_but_evidence_is_served(
    kept: tuple[Served, str], address: str, tmp_path: Path
) -> None:
    page, event_id = kept
    folder = page.config.evidence_folder
    for place in (tmp_path / "secret", folder / event_id / "secret", folder.parent / "alerts.json"):
        place.write_text("secret")
    samples = folder / event_id / "samples.csv"
    samples.unlink(missing_ok=True)
    samples.symlink_to(tmp_path / "secret")
    answer = page.client().get(address.format(id=event_id))
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_an_alert_that_ended_before_this_process_is_listed_from_the_disk(
    kept: tuple[Served, str],
) -> None:
    page, event_id = kept
    old = "0" * 32
    folder = page.config.evidence_folder
    (folder / old).mkdir()
    text = (folder / event_id / "event.json").read_text().replace(event_id, old)
    (folder / old / "event.json").write_text(text)
    (folder / ("1" * 32)).mkdir()  # what holds nothing is passed over
    listed = page.client().get("/api/now").json()["alerts"]
    assert [one["message"]["event_id"] for one in listed] == [event_id, old]
    assert [one["is_open"] for one in listed] == [True, False]
    assert listed[1]["files"] == ["event.json"]


def test_ready_once_frames_advance_and_zero_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(configured(tmp_path), monkeypatch) as one:
        client = one.client()
        assert client.get("/healthz").text == "ok\n"
        assert client.get("/readyz").text == "ready\n"
    with served(configured(tmp_path), monkeypatch, frames=8) as one:
        answer = one.client().get("/readyz")
    assert answer.status_code == 503
    assert answer.text == 'region "girder" is still learned\n'


def test_not_ready_says_why(page: Served) -> None:
    now = page.daemon.snapshot()

    def why(**changed: object) -> str | None:
        return not_ready(now.model_copy(update=changed), page.config)

    assert why() is None
    assert why(frame_age_s=9.0) == "no frame has come for 9 s"
    silent = {"camera_hz": 1 / 60, "frame_step_s": 1 / 30}  # the rate sinks with the silence
    assert why(frame_age_s=60.0, **silent) == "no frame has come for 60 s"
    assert why(frame_age_s=15.0, frame_step_s=10.0) is None, "a slow camera is not silent yet"
    assert why(frame_age_s=None) == "the camera has not delivered a picture yet"
    assert why(camera_problem="it is gone") == "no picture: it is gone"
    assert why(health=("frozen",)) == "the camera repeats one picture"
    assert why(telemetry=()) == 'region "girder" is still learned'


def test_before_the_first_picture_all_addresses_answer(tmp_path: Path) -> None:
    config = configured(tmp_path)
    one = Served(config, magnifies=False, keeps=False)
    client = one.client()
    assert json.loads(client.get("/api/now").text)["not_ready"] is not None
    assert client.get("/readyz").status_code == 503
    assert client.get("/metrics").status_code == 200
