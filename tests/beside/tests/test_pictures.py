"""A team's tests, with the packages that teams use beside what the template brings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import pytest
import respx
import time_machine
from fastapi import FastAPI, HTTPException

from app.database import Session
from app.database.dependencies import read_session, write_session
from app.pictures.routes import current_user

THEN = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
ADA = {"name": "Ada", "email": "ada@example.com", "specialty": "engines"}


async def upload(client: httpx.AsyncClient, size: int, title: str = "A teapot") -> httpx.Response:
    files, headers = {"picture": ("teapot.png", b"x" * size)}, {"Authorization": "Bearer token"}
    return await client.post("/pictures", data={"title": title}, files=files, headers=headers)


@pytest.mark.parametrize("size", [0, 100, 3_000_000], ids=["empty", "in memory", "in a temporary file"])
async def test_a_file_is_sent_beside_a_form_and_sessions(app: FastAPI, client: httpx.AsyncClient, size: int) -> None:
    app.dependency_overrides[current_user] = lambda: "Ada"
    answer = await upload(client, size)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"title": "A teapot", "of": "Ada", "bytes": size, "read": [1, 2]}


async def test_a_form_that_is_wrong_is_a_422(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.dependency_overrides[current_user] = lambda: "Ada"
    assert (await upload(client, 1, title="x" * 21)).status_code == 422


async def test_an_override_that_raises_is_answered(app: FastAPI, client: httpx.AsyncClient) -> None:
    def nobody() -> str:
        raise HTTPException(401)

    app.dependency_overrides[current_user] = nobody
    assert (await upload(client, 1)).status_code == 401


async def test_a_session_is_replaced(app: FastAPI, client: httpx.AsyncClient) -> None:
    class Answering:
        def __init__(self, answer: str) -> None:
            self.answer = answer

        async def fetch_val(self, query: Any) -> str:
            return self.answer

    @asynccontextmanager
    async def written() -> AsyncIterator[Session]:
        yield cast(Session, Answering("written"))

    async def writing() -> AsyncIterator[Session]:
        async with written() as session:
            yield session

    app.dependency_overrides[current_user] = lambda: "Ada"
    app.dependency_overrides[read_session] = lambda: Answering("read")
    app.dependency_overrides[write_session] = writing
    assert (await upload(client, 1)).json()["read"] == ["read", "written"]


async def test_what_another_service_answers_is_replaced_by_a_router(
    client: httpx.AsyncClient, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get("https://users.example/me").respond(json={"name": "Grace"})
    assert (await upload(client, 1)).json()["of"] == "Grace"


@respx.mock
async def test_what_another_service_answers_is_replaced_by_a_decorator(client: httpx.AsyncClient) -> None:
    route = respx.get("https://users.example/me").mock(return_value=httpx.Response(403))
    assert (await upload(client, 1)).status_code == 401
    assert route.called
    assert (await client.get("/health/live")).status_code == 200


async def test_the_clock_is_set(client: httpx.AsyncClient) -> None:
    with time_machine.travel(THEN, tick=False):
        created = (await client.post("/developers", json=ADA)).json()
    assert datetime.fromisoformat(created["created_at"]) == THEN
    assert (await client.get(f"/developers/{created['id']}")).json() == created


@pytest.mark.asyncio
async def test_a_test_with_the_mark_of_pytest_asyncio_runs() -> None:
    assert datetime.now(UTC) > datetime(2026, 1, 1, tzinfo=UTC)
