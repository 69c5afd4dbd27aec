"""Requests are counted by route, method and status, once each; nothing that a caller sends makes a series."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request, WebSocket
from fastapi.middleware import Middleware
from fastapi.staticfiles import StaticFiles
from httpx import ASGITransport, AsyncClient
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from app.requests import RequestsMiddleware, duration
from app.routing import include

Labels = tuple[str, str, str]
Ask = Callable[[str, str], Awaitable[Counter[Labels]]]


def counts() -> Counter[Labels]:
    """How many requests there were so far, by method, route and status."""
    samples = [s for metric in duration.collect() for s in metric.samples if s.name.endswith("_count")]
    return Counter({tuple(s.labels.values()): int(s.value) for s in samples})  # type: ignore[misc]


async def answer() -> str:
    return "well"


async def fail() -> None:
    raise RuntimeError


async def missing() -> None:
    raise HTTPException(404)


async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        assert RequestsMiddleware.active
        yield b"b"

    return StreamingResponse(parts())


async def upload(request: Request) -> None:
    await request.body()


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("plain")(scope, receive, send)


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    pass


def service() -> FastAPI:
    """Routes of all kinds: plain, in routers in routers, in applications that are mounted, with parameters."""
    app = FastAPI(middleware=[Middleware(RequestsMiddleware)])
    flat, outer, inner = (APIRouter(prefix="/flat"), APIRouter(prefix="/{tenant}/outer"), APIRouter(prefix="/inner"))
    for path, endpoint in (("/things/{id}", answer), ("/fail", fail), ("/missing/{id}", missing), ("/stream", stream)):
        flat.add_api_route(path, endpoint)
    flat.add_api_route("/files/{path:path}", answer)
    flat.add_api_route("/upload", upload, methods=["POST"])
    include(app, flat)
    inner.add_api_route("/things/{id}", answer)
    outer.include_router(inner)
    outer.include_router(inner, prefix="/again")

    @app.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    within = FastAPI()
    within.add_api_route("/things/{id}", answer)
    within.mount("/plain", plain)
    app.mount("/mounted/{tenant}", within)
    app.mount("/static", StaticFiles(directory=".", check_dir=False))
    app.mount("/silent", silent)
    app.include_router(outer)  # last, since its first segment is a parameter
    return app


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    transport = ASGITransport(app=service(), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:

        async def asked(method: str, path: str) -> Counter[Labels]:
            before = counts()
            await client.request(method, path)
            return counts() - before

        yield asked


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/flat/things/7", ("GET", "/flat/things/{id}", "200")),
        ("HEAD", "/flat/things/7", ("HEAD", "/flat/things/{id}", "405")),
        ("PURGE", "/flat/things/7", ("_OTHER", "/flat/things/{id}", "405")),
        ("GET", "/flat/files/a/b/c", ("GET", "/flat/files/{path}", "200")),
        ("GET", "/flat/fail", ("GET", "/flat/fail", "500")),
        ("GET", "/flat/missing/7", ("GET", "/flat/missing/{id}", "404")),
        ("GET", "/flat/stream", ("GET", "/flat/stream", "200")),
        ("GET", "/flat/things/7/", ("GET", "", "307")),
        ("GET", "/nobody/knows", ("GET", "", "404")),
        ("PURGE", "/nobody/knows", ("_OTHER", "", "404")),
        ("GET", "/acme/outer/inner/things/7", ("GET", "/{tenant}/outer/inner/things/{id}", "200")),
        ("GET", "/acme/outer/again/inner/things/7", ("GET", "/{tenant}/outer/again/inner/things/{id}", "200")),
        ("GET", "/mounted/acme/things/7", ("GET", "/mounted/{tenant}/things/{id}", "200")),
        ("GET", "/mounted/acme/nobody/knows", ("GET", "/mounted/{tenant}/{path}", "404")),
        ("GET", "/mounted/acme/plain/a/b", ("GET", "/mounted/{tenant}/plain/{path}", "200")),
        ("GET", "/static/nobody/knows", ("GET", "/static/{path}", "404")),
        ("GET", "/openapi.json", ("GET", "/openapi.json", "200")),
    ],
)
async def test_a_request_counts_once_by_the_template_of_its_route(
    method: str, path: str, labels: Labels, ask: Ask
) -> None:
    assert await ask(method, path) == {labels: 1}
    assert RequestsMiddleware.active == 0


def scope_of(method: str, path: str) -> Scope:
    return {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}


async def test_a_client_that_hangs_up_is_no_failure_of_the_service() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass  # what the handlers of errors answer

    before, app = counts(), service()
    with pytest.raises(ClientDisconnect):
        await app(scope_of("POST", "/flat/upload"), gone, send)
    await app(scope_of("GET", "/silent/"), gone, send)
    assert counts() - before == {("POST", "/flat/upload", "499"): 1, ("GET", "/silent/{path}", "499"): 1}
    assert RequestsMiddleware.active == 0


async def test_a_request_that_the_server_cancels_counts_as_one_that_found_it_stopping() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        pass

    before = counts()
    asking = asyncio.create_task(service()(scope_of("POST", "/flat/upload"), never, send))
    while not RequestsMiddleware.active:
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert counts() - before == {("POST", "/flat/upload", "503"): 1}
    assert RequestsMiddleware.active == 0


async def test_what_the_service_refuses_before_routing_and_what_its_own_routes_answer_counts(
    client: AsyncClient,
) -> None:
    before = counts()
    await client.get("/health/live")
    await client.get("/metrics")
    assert counts() - before == {("GET", "/health/live", "200"): 1, ("GET", "/metrics", "200"): 1}
    shown = (await client.get("/metrics")).text
    assert 'http_route="/health/live"' in shown
    assert "http_server_active_requests 1.0" in shown
