"""What a unit of work costs on the wire: one round trip to read, three to write, and nothing for the pool."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import ClauseElement, insert, select, text, update

from app.database import Database
from app.settings import Settings
from tests.probes import probe, probes
from tests.proxy import Proxy
from tests.statements import rows, run, value
from tests.template import texts

pytestmark = pytest.mark.usefixtures("plans_stay")

MakeDatabase = Callable[..., Database]
Unit = Callable[[], Awaitable[None]]
Cost = Callable[[Unit], Awaitable[int]]


@pytest.fixture
async def proxied(probe_database: MakeDatabase, settings: Settings) -> AsyncIterator[tuple[Database, Cost]]:
    """A database behind a proxy, with one connection that is warm, and a function that counts a unit's round trips."""
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_size=1, max_overflow=0)

        async def cost(unit: Unit) -> int:
            for _ in range(2):  # compiled, prepared
                await unit()
            before = proxy.round_trips
            await unit()
            return proxy.round_trips - before

        yield database, cost
        await database.close()
        assert proxy.connections == 1


async def test_a_read_with_one_statement_costs_one_round_trip(proxied: tuple[Database, Cost]) -> None:
    database, cost = proxied

    async def read() -> None:
        async with database.read() as session:
            await rows(session, select(probes).where(probes.c.id == 1))

    assert await cost(read) == 1


async def test_a_read_with_two_statements_costs_two(proxied: tuple[Database, Cost]) -> None:
    database, cost = proxied

    async def read() -> None:
        async with database.read() as session:
            await value(session, select(probes.c.id))
            await value(session, select(probes.c.id))

    assert await cost(read) == 2


async def test_a_write_with_one_statement_costs_three(proxied: tuple[Database, Cost]) -> None:
    database, cost = proxied
    ids = iter(range(100))

    async def write() -> None:
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(next(ids))))

    assert await cost(write) == 3


async def test_another_isolation_level_costs_nothing_more(proxied: tuple[Database, Cost]) -> None:
    database, cost = proxied

    async def write() -> None:
        async with database.transaction(isolation_level="SERIALIZABLE") as session:
            await run(session, update(probes).values(value=1).where(probes.c.id == 1))

    assert await cost(write) == 3


async def test_a_write_that_fails_costs_three(proxied: tuple[Database, Cost]) -> None:
    database, cost = proxied

    async def write() -> None:
        with pytest.raises(LookupError):
            async with database.transaction() as session:
                await run(session, update(probes).values(value=1).where(probes.c.id == 1))
                raise LookupError

    assert await cost(write) == 3


async def test_reads_and_writes_share_one_connection(proxied: tuple[Database, Cost]) -> None:
    database, cost = proxied

    async def both() -> None:
        async with database.read() as session:
            await value(session, select(probes.c.id))
        async with database.transaction() as session:
            await run(session, update(probes).values(value=1).where(probes.c.id == 1))
        async with database.read() as session:
            await value(session, select(probes.c.id))

    assert await cost(both) == 5


async def test_what_is_local_to_a_unit_costs_nobody_a_round_trip_more(proxied: tuple[Database, Cost]) -> None:
    database, cost = proxied
    for statement in texts.LOCAL:
        query = text(statement) if isinstance(statement, str) else statement

        async def local(query: ClauseElement = query) -> None:
            async with database.transaction() as session:
                await run(session, query)

        assert await cost(local) == 3, statement

    async def read() -> None:
        async with database.read() as session:
            await value(session, select(probes.c.id))

    async def write() -> None:
        async with database.transaction() as session:
            await run(session, update(probes).values(value=1).where(probes.c.id == 1))

    assert await cost(read) == 1
    assert await cost(write) == 3
