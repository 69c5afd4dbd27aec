"""rollback() undoes all that the unit has done and begins another transaction, whatever the error was before."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import insert, text
from sqlalchemy.sql import ClauseElement

from app.database import (
    Database,
    DatabaseError,
    Deadlock,
    LockTimeout,
    ServerGone,
    StatementTimeout,
    TransactionAborted,
    driver,
)
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, value
from tests.template import texts
from tests.template.test_errors import AT_ONCE, MakeDatabase, plus_one, stored
from tests.template.test_errors import locked as locked


@pytest.mark.parametrize(
    "statement",
    [AT_ONCE, plus_one(1), insert(probes).values(probe(2))],
    ids=["NOWAIT", "a lock until the limit", "a row that is there"],
)
async def test_after_an_error_the_unit_begins_anew(
    locked: Database, server: driver.RawConnection, statement: ClauseElement
) -> None:
    async with locked.transaction() as session:
        await run(session, insert(probes).values(probe(2)))
        with pytest.raises(DatabaseError):
            await run(session, statement)
        await session.rollback()
        await run(session, insert(probes).values(probe(3)))
        with pytest.raises((LockTimeout, StatementTimeout)):  # which is no less of an error than the first one
            await run(session, AT_ONCE)
        await session.rollback()
        await run(session, insert(probes).values(probe(4)))
    await driver.rollback(server)
    assert await stored(locked) == {1: 0, 4: 0}


async def test_rollback_ends_the_savepoints_too_so_another_task_may_have_one(probe_database: MakeDatabase) -> None:
    inside, may_end = asyncio.Event(), asyncio.Event()
    database = probe_database()
    async with database.transaction() as session:

        async def other() -> None:
            async with session.begin_nested():
                inside.set()
                await may_end.wait()
                await run(session, insert(probes).values(probe(1)))

        await session.begin_nested()
        await session.rollback()
        task = asyncio.create_task(other())
        await inside.wait()
        await run(session, insert(probes).values(probe(2)))
        may_end.set()
        await task
    assert await stored(database) == {1: 0, 2: 0}


@pytest.mark.usefixtures("no_pooler")
async def test_after_the_connection_was_lost_the_unit_does_not_begin_anew(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    with pytest.raises(TransactionAborted):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await facts.kill(server, await value(session, text(facts.SESSION_ID)))
            with pytest.raises(ServerGone):
                await value(session, text("SELECT 1"))
            await session.rollback()
            await run(session, insert(probes).values(probe(2)))
    assert await stored(database) == {}


async def test_after_a_deadlock_the_unit_begins_anew(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=2, max_overflow=0)
    async with database.transaction() as session:
        for id in (1, 2):
            await run(session, insert(probes).values(probe(id)))
    both_hold_one = asyncio.Barrier(2)
    victims: list[int] = []

    async def unit(first: int, second: int) -> None:
        async with database.transaction() as session:
            await run(session, plus_one(first))
            await both_hold_one.wait()
            try:
                await run(session, plus_one(second))
            except Deadlock:
                victims.append(first)
                await session.rollback()
                await run(session, insert(probes).values(probe(3)))

    await asyncio.gather(unit(1, 2), unit(2, 1))
    assert len(victims) == 1
    assert await stored(database) == {1: 1, 2: 1, 3: 0}


@pytest.mark.usefixtures("no_pooler")  # behind which such statements are refused
@pytest.mark.parametrize(("make", "end", "drop"), texts.ENDING.values(), ids=texts.ENDING.keys())
async def test_what_a_statement_has_stored_no_rollback_takes_back(
    probe_database: MakeDatabase, server: driver.RawConnection, make: str | None, end: str, drop: str | None
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    if make:
        await driver.scalar(server, make)
    committed = False
    with suppress(TransactionAborted):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            with suppress(DatabaseError):
                await run(session, text(end))
            await session.rollback()
            await run(session, insert(probes).values(probe(2)))
        committed = True
    if drop:
        await driver.scalar(server, drop)
    found = await stored(database)
    assert found == {2: 0} if committed else 2 not in found


@pytest.mark.usefixtures("no_pooler")
async def test_of_a_server_that_went_away_nobody_knows_that_it_rolled_back(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    with pytest.raises(TransactionAborted):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await facts.kill(server, await value(session, text(facts.SESSION_ID)))
            with pytest.raises(DatabaseError):
                await run(session, insert(probes).values(probe(2)))
            await session.rollback()
            with pytest.raises(TransactionAborted):
                await run(session, insert(probes).values(probe(3)))
    assert await stored(database) == {}
