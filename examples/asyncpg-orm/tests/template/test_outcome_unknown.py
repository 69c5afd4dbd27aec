"""A COMMIT whose answer is missing is told as what it is, not as a failure that left nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import APIRouter
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import func, insert, select, text

from app.database import Database, OutcomeUnknown, ServerGone, Session, WriteSession, driver
from app.main import create_app
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.proxy import Proxy
from tests.statements import run, value

MakeDatabase = Callable[..., Database]
ByProxy = tuple[Proxy, SecretStr]

router = APIRouter()


@router.post("/probes/{number}", status_code=201)
async def create(number: int, session: WriteSession) -> None:
    await run(session, insert(probes).values(probe(number)))


@pytest.fixture
async def by_proxy(settings: Settings) -> AsyncIterator[ByProxy]:
    """A proxy that loses the answers to COMMIT, and the URL of the database by way of it."""
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        proxy.loses_answer_to = b"COMMIT"
        yield proxy, url


async def stored(server: driver.RawConnection) -> int:
    return int(await driver.scalar(server, "SELECT count(*) FROM probes"))


async def test_a_commit_whose_answer_is_lost_is_neither_a_success_nor_a_failure(
    probe_database: MakeDatabase, by_proxy: ByProxy, server: driver.RawConnection
) -> None:
    proxy, url = by_proxy
    database = probe_database(url=url)
    with pytest.raises(OutcomeUnknown):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
    assert await stored(server) == 1
    proxy.loses_answer_to = None
    async with database.transaction() as session:  # the next one is as any other
        await run(session, insert(probes).values(probe(2)))
    assert await stored(server) == 2
    await database.close()


async def test_a_unit_whose_commit_may_have_succeeded_is_not_run_again(
    probe_database: MakeDatabase, by_proxy: ByProxy
) -> None:
    database = probe_database(url=by_proxy[1])
    attempts = 0

    async def work(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        await run(session, insert(probes).values(probe(attempts)))

    with pytest.raises(OutcomeUnknown):
        await database.run_transaction(work)
    assert attempts == 1
    await database.close()


async def test_its_client_is_not_asked_to_try_again(
    probe_table: None, settings: Settings, by_proxy: ByProxy, server: driver.RawConnection
) -> None:
    changed = settings.model_copy(update={"database": settings.database.model_copy(update={"url": by_proxy[1]})})
    app = create_app(changed)
    app.include_router(router)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://service") as client,
    ):
        answer = await client.post("/probes/1")
    assert (answer.status_code, answer.json()["type"]) == (504, "urn:problem:outcome-unknown")
    assert "Retry-After" not in answer.headers
    assert await stored(server) == 1
    await driver.scalar(server, "DELETE FROM probes")


async def test_a_commit_that_was_not_sent_is_a_failure(
    probe_database: MakeDatabase, server: driver.RawConnection, no_pooler: None
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    with pytest.raises(ServerGone):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            (connection,) = database._primary.pool._connector.open
            await facts.kill(server, await value(session, text(facts.SESSION_ID)))
            async with asyncio.timeout(10):
                while not driver.is_closed(connection.raw):
                    await asyncio.sleep(0.001)
    async with database.read() as session:
        assert await value(session, select(func.count()).select_from(probes)) == 0
