"""Overload: a request that would be refused costs next to nothing, and is refused as any other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import select
from starlette.types import Message

from app.database import Database, metrics
from app.database.pool import WAITERS_PER_PLACE
from tests.statements import value
from tests.template.test_metrics import sample

MakeDatabase = Callable[..., Database]


@asynccontextmanager
async def full(database: Database) -> AsyncIterator[None]:
    """As many wait for the only place as may."""
    leave = asyncio.Event()

    async def enter() -> None:
        async with database.read() as session:
            await value(session, select(1))
            await leave.wait()

    tasks = [asyncio.create_task(enter()) for _ in range(1 + WAITERS_PER_PLACE)]
    while database.status().waiting < WAITERS_PER_PLACE:
        await asyncio.sleep(0)
    yield
    leave.set()
    await asyncio.gather(*tasks)


@pytest.fixture
def crowded(app: FastAPI, probe_database: MakeDatabase) -> Iterator[Database]:
    """The service's database has one place."""
    usual = app.state.database
    app.state.database = probe_database(pool_size=1, max_overflow=0, pool_timeout=10)
    yield app.state.database
    app.state.database = usual


async def test_while_the_queue_is_full_requests_are_refused_before_anything_is_done_for_them(
    client: AsyncClient, crowded: Database
) -> None:
    before = sample(metrics.refused, "_total")
    async with full(crowded):
        response = await client.get("/there-is-no-such-route", headers={"X-Request-ID": "one-too-many"})
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == "one-too-many"
    assert response.json()["type"] == "urn:problem:pool-timeout"
    assert sample(metrics.refused, "_total") == before + 1
    assert (await client.get("/there-is-no-such-route")).status_code == 404


async def test_health_and_metrics_are_always_served(app: FastAPI, crowded: Database) -> None:
    transport = ASGITransport(app=app, root_path="/behind/a/proxy")
    async with AsyncClient(transport=transport, base_url="http://test/behind/a/proxy") as client, full(crowded):
        statuses = {p: (await client.get(p)).status_code for p in ("/health/live", "/health/ready", "/metrics", "/x")}
    assert statuses == {"/health/live": 200, "/health/ready": 200, "/metrics": 200, "/x": 503}


async def test_a_websocket_is_refused_before_it_is_accepted(app: FastAPI, crowded: Database) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    denial: dict[str, object] = {"websocket.http.response": {}}
    headers = [(b"host", b"test")]
    scope = {"type": "websocket", "path": "/x", "headers": headers, "query_string": b"", "extensions": denial}
    async with full(crowded):
        await app(scope, receive, send)
    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 503)
