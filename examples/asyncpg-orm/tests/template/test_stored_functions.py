"""What a stored function does to the session of its caller ends with the unit, too (texts.py), and costs no other."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
from sqlalchemy import insert, select, text

from app.database import Database, ReadOnlySession, Session, StatementRefused, driver
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, value
from tests.template import texts

MakeDatabase = Callable[..., Database]
LEAVING = pytest.mark.parametrize(("functions", "look"), texts.FUNCTIONS_LEAVING.values(), ids=texts.FUNCTIONS_LEAVING)
CALL = text("SELECT made()")


@asynccontextmanager
async def stored(server: driver.RawConnection, functions: list[str]) -> AsyncIterator[None]:
    try:
        for function in functions:
            await driver.scalar(server, function)
        yield
    finally:
        for drop in texts.drops_of(functions):
            await driver.scalar(server, drop)


@pytest.mark.usefixtures("no_pooler")
@LEAVING
@pytest.mark.parametrize("unit", [Database.read, Database.transaction])
async def test_what_a_function_left_is_not_seen_by_the_next_unit(
    probe_database: MakeDatabase,
    server: driver.RawConnection,
    functions: list[str],
    look: str,
    unit: Callable[[Database], AbstractAsyncContextManager[Session]],
) -> None:
    async with stored(server, functions):
        database = probe_database(pool_size=1, max_overflow=0)
        async with database.read() as session:
            before = await value(session, text(look))
        async with unit(database) as session:
            with suppress(ReadOnlySession):  # which makes no table
                await run(session, CALL)
                assert await value(session, text(look)) != before
        async with database.read() as session:
            assert await value(session, text(look)) == before


@pytest.mark.usefixtures("no_pooler")
@pytest.mark.parametrize("functions", texts.FUNCTIONS_LEAVING_NOTHING.values(), ids=texts.FUNCTIONS_LEAVING_NOTHING)
async def test_a_function_that_leaves_nothing_costs_no_connection(
    probe_database: MakeDatabase, server: driver.RawConnection, functions: list[str]
) -> None:
    async with stored(server, functions):
        database = probe_database(pool_size=1, max_overflow=0)
        async with database.transaction() as session:
            connection = await value(session, text(facts.SESSION_ID))
            await run(session, CALL)
        async with database.read() as session:
            assert await value(session, text(facts.SESSION_ID)) == connection


@LEAVING
async def test_behind_a_pooler_a_function_that_leaves_something_is_refused(
    probe_database: MakeDatabase, server: driver.RawConnection, functions: list[str], look: str
) -> None:
    async with stored(server, functions):
        database = probe_database(external_pooler=True)
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            with pytest.raises(StatementRefused, match="Behind a pooler a session keeps nothing"):
                await run(session, CALL)
        async with database.read() as session:
            with pytest.raises(StatementRefused, match="Behind a pooler a session keeps nothing"):
                await session.fetch_all(CALL)
            assert await value(session, select(probes.c.id)) == 1
