"""The page's addresses. All of them pass the guard first."""

import asyncio
import concurrent.futures
from collections.abc import Callable
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from failure import Failure
from runtime.config import Config, Region
from runtime.daemon import Daemon
from runtime.displacement.meter import LEARNING
from runtime.page.alert_list import AlertList, Listed
from runtime.page.guard import Guard
from runtime.page.metrics import disk_of, registry_of
from runtime.page.pictures import Pictures
from runtime.page.stream import Pages, PictureStream
from runtime.page.traces import QUANTITIES, trace_of
from runtime.region_scale import scale_of
from runtime.remote import MOST_BYTES, Remote
from runtime.snapshot import Snapshot
from runtime.vibration.window import Record
from runtime.views import VIEWS

STATIC = Path(__file__).parent / "static"
STALE_S = 2.0
"""A camera whose newest frame is older, and older than three of its steps, does not advance."""
_ANSWER_S = 3.0  # for the measuring thread to copy a record


class Now(BaseModel):
    """Everything on the page but pictures and curves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    snapshot: Snapshot
    regions: tuple[Region, ...]
    alerts: tuple[Listed, ...]
    not_ready: str | None
    watchers: int
    most_watchers: int
    disk_free_bytes: int | None
    disk_size_bytes: int | None


def page_app(
    daemon: Daemon,
    config: Config,
    pictures: Pictures,
    *,
    password: str | None,
    ending: asyncio.Event,
) -> ASGIApp:
    """The whole page of one daemon; ``ending`` ends what is being streamed."""
    addresses = _Addresses(daemon, config, pictures, ending)
    routes = [
        Route("/", addresses.index),
        Route("/picture", addresses.picture),
        Route("/api/now", addresses.now),
        Route("/api/regions/{region}", addresses.region),
        Route("/api/commands/{command}", addresses.command, methods=["POST"]),
        Route("/evidence/{event_id}/{name}", addresses.evidence),
        Route("/metrics", addresses.metrics),
        Route("/healthz", addresses.healthz),
        Route("/readyz", addresses.readyz),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Guard(Starlette(routes=routes), config.page, password)


class _Addresses:
    """One method an address. Work that takes time is done in threads of their own."""

    def __init__(
        self, daemon: Daemon, config: Config, pictures: Pictures, ending: asyncio.Event
    ) -> None:
        self._daemon, self._config, self._pictures = daemon, config, pictures
        self._ending = ending
        self._pages = Pages()
        root = config.evidence_folder
        self._alerts = AlertList(daemon.told, root if config.evidence.enabled else None)
        self._remote = Remote(daemon.controls, daemon.acknowledge)
        self._registry = registry_of(daemon.snapshot, pictures, root)
        self._regions = {region.name: region for region in config.regions}

    async def index(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def picture(self, request: Request) -> ASGIApp:
        wanted = request.query_params.get("view", "magnified")
        view = next((one for one in VIEWS if one == wanted), None)
        if view is None:
            return _sentence(404, f"there is no such view; known are: {', '.join(VIEWS)}")
        page = request.query_params.get("page")
        return PictureStream(self._pictures, view, self._ending, pages=self._pages, page=page)

    async def now(self, request: Request) -> Response:
        self._pages.hear(request.query_params.get("page"))
        return await _json(self._now)

    async def region(self, request: Request) -> Response:
        region = self._regions.get(request.path_params["region"])
        wanted = request.query_params.get("quantity", "displacement")
        quantity = next((one for one in QUANTITIES if one == wanted), None)
        if region is None:
            return _sentence(
                404, f"there is no such region; configured are: {', '.join(self._regions)}"
            )
        if quantity is None:
            return _sentence(404, f"there is no such quantity; known are: {', '.join(QUANTITIES)}")
        asked = self._daemon.record(region.name)
        try:
            record: Record = await asyncio.wait_for(asyncio.wrap_future(asked), _ANSWER_S)
        except (asyncio.TimeoutError, concurrent.futures.CancelledError):
            return _sentence(503, "the measurement has ended")
        except Failure as failure:
            return _sentence(503, str(failure))
        told = {one.region: one for one in self._daemon.told.newest()}
        vibration, size = self._config.vibration, self._daemon.controls.picture_px
        return await _json(
            lambda: trace_of(
                record,
                told.get(region.name),
                scale_of(region, size),
                region=region.name,
                quantity=quantity,
                window_s=vibration.window_s,
                low_hz=vibration.low_hz,
                high_hz=vibration.high_hz,
            )
        )

    async def command(self, request: Request) -> Response:
        payload = b""
        async for chunk in request.stream():
            payload += chunk
            if len(payload) > MOST_BYTES:
                break  # it is refused unread
        reply = self._remote.answer(request.path_params["command"], payload)
        return _body(200 if reply.accepted else 422, reply)

    async def evidence(self, request: Request) -> Response:
        event_id, name = request.path_params["event_id"], request.path_params["name"]
        path = await asyncio.to_thread(self._alerts.file, event_id, name)
        if path is None:
            return _sentence(404, "there is no such evidence, or it is not written yet")
        return FileResponse(path)

    async def metrics(self, _: Request) -> Response:
        text = await asyncio.to_thread(generate_latest, self._registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST, **_FRESH})

    async def healthz(self, _: Request) -> Response:
        return _sentence(200, "ok")

    async def readyz(self, _: Request) -> Response:
        snapshot = await asyncio.to_thread(self._daemon.snapshot)
        reason = not_ready(snapshot, self._config)
        return _sentence(200, "ready") if reason is None else _sentence(503, reason)

    def _now(self) -> Now:
        snapshot = self._daemon.snapshot()
        disk = disk_of(self._config.evidence_folder)
        return Now(
            snapshot=snapshot,
            regions=self._config.regions,
            alerts=tuple(self._alerts.listed()),
            not_ready=not_ready(snapshot, self._config),
            watchers=self._pictures.watchers,
            most_watchers=self._pictures.most_watchers,
            disk_free_bytes=disk.get("free"),
            disk_size_bytes=disk.get("size"),
        )


def not_ready(now: Snapshot, config: Config) -> str | None:
    """Why nothing can be relied on yet, or now; None where frames advance and zero is learned."""
    if now.camera_problem is not None:
        return f"no picture: {now.camera_problem}"
    if now.frame_age_s is None:
        return "the camera has not delivered a picture yet"
    if now.frame_age_s > max(STALE_S, 3 * (now.frame_step_s or 0.0)):
        return f"no frame has come for {now.frame_age_s:.0f} s"
    if "frozen" in now.health:
        return "the camera repeats one picture"
    told = {one.region: one for one in now.telemetry}
    for region in config.regions:
        one = told.get(region.name)
        if one is None or (one.reason is not None and one.reason.startswith(LEARNING[:8])):
            return f'region "{region.name}" is still learned'
    return None


_FRESH = {"cache-control": "no-store"}


async def _json(made: Callable[[], BaseModel]) -> Response:
    """What is made, in another thread, so that pictures go on meanwhile."""
    text = await asyncio.to_thread(lambda: made().model_dump_json())
    return Response(text, media_type="application/json", headers=_FRESH)


def _body(status: int, content: BaseModel) -> Response:
    text = content.model_dump_json()
    return Response(text, status, media_type="application/json", headers=_FRESH)


def _sentence(status: int, sentence: str) -> Response:
    return PlainTextResponse(sentence + "\n", status, headers=_FRESH)
