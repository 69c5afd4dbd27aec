"""What a client was told is true: through a real server, a 2xx is committed, and an error leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from fastapi import APIRouter, HTTPException, Request
from httpx import AsyncClient
from sqlalchemy import func, insert, select
from starlette.responses import JSONResponse

from app.database import ReadSession, WriteSession, driver
from app.main import create_app
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, value

router = APIRouter()


@router.post("/probes/{number}", status_code=201)
async def create(number: int, session: WriteSession) -> dict[str, int]:
    await run(session, insert(probes).values(probe(number)))
    return {"id": number}


@router.get("/probes/{number}")
async def read(number: int, session: ReadSession) -> dict[str, int]:
    return {"found": await value(session, select(func.count()).select_from(probes).where(probes.c.id == number))}


@router.post("/late/{number}", status_code=201)
async def create_and_fail_to_commit(number: int, session: WriteSession, request: Request) -> dict[str, int]:
    await run(session, insert(probes).values(probe(number)))
    await facts.make_commit_fail(session, request.app.state.administrator)
    return {"id": number}


@router.post("/raised/{status}")
async def create_and_raise(status: int, session: WriteSession) -> None:
    await run(session, insert(probes).values(probe(1)))
    raise HTTPException(status) if status != 500 else RuntimeError("a bug")


@router.post("/returned/{status}")
async def create_and_return(status: int, session: WriteSession) -> JSONResponse:
    await run(session, insert(probes).values(probe(1)))
    return JSONResponse({}, status)


@pytest.fixture
async def client(probe_table: None, settings: Settings, server: driver.RawConnection) -> AsyncIterator[AsyncClient]:
    """A client of a real uvicorn, on a socket."""
    app = create_app(settings)
    app.state.administrator = server
    app.include_router(router)
    uvicorn_server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))
    serving = asyncio.create_task(uvicorn_server.serve())
    while not uvicorn_server.started and not serving.done():
        await asyncio.sleep(0.001)
    port = uvicorn_server.servers[0].sockets[0].getsockname()[1]
    async with AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
        uvicorn_server.should_exit = True
    await serving
    await driver.scalar(server, "DELETE FROM probes")


async def stored(server: driver.RawConnection) -> int:
    return int(await driver.scalar(server, "SELECT count(*) FROM probes"))


async def test_what_a_201_said_is_found_by_the_next_request_always(client: AsyncClient) -> None:
    for number in range(150):
        created = await client.post(f"/probes/{number}")
        assert created.status_code == 201, created.text
        found = await client.get(f"/probes/{number}")
        assert found.json() == {"found": 1}, found.text


async def test_a_commit_that_fails_is_never_a_success(client: AsyncClient, server: driver.RawConnection) -> None:
    for number in range(20):
        response = await client.post(f"/late/{number}")
        assert response.status_code in (409, 503, 504)
        assert response.headers["Content-Type"] == "application/problem+json"
    assert await stored(server) == 0


@pytest.mark.parametrize("status", [404, 409, 500])
async def test_what_was_raised_leaves_no_row(client: AsyncClient, server: driver.RawConnection, status: int) -> None:
    assert (await client.post(f"/raised/{status}")).status_code == status
    assert await stored(server) == 0


async def test_a_response_that_was_returned_commits_whatever_its_status(
    client: AsyncClient, server: driver.RawConnection
) -> None:
    assert (await client.post("/returned/409")).status_code == 409
    assert await stored(server) == 1
