"""Sessions: what is committed, what is refused, and that nothing is lost when something fails."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import func, insert, select, text, update

from app.database import (
    Database,
    NestedSession,
    OutcomeUnknown,
    ReadOnlySession,
    ServerGone,
    Session,
    TransactionAborted,
    UniqueViolation,
    driver,
)
from tests import facts
from tests.probes import probe, probes
from tests.statements import rows, run, value

MakeDatabase = Callable[..., Database]


async def count(database: Database) -> int:
    async with database.read() as session:
        number: int = await value(session, select(func.count()).select_from(probes))
        return number


async def test_what_is_committed_is_seen_on_another_connection(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    async with probe_database().transaction() as session:
        await run(session, insert(probes).values(probe(1)))
        assert await driver.scalar(server, "SELECT count(*) FROM probes") == 0
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == 1


async def test_an_exception_rolls_back_and_is_the_one_that_is_seen(probe_database: MakeDatabase) -> None:
    database = probe_database()
    with pytest.raises(LookupError, match="first"):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            raise LookupError("first")
    assert await count(database) == 0


async def test_a_rollback_that_fails_does_not_hide_the_first_error(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    with pytest.raises(LookupError, match="first"):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await facts.kill(server, await value(session, text(facts.SESSION_ID)))
            raise LookupError("first")
    assert await count(database) == 0


async def test_a_commit_on_a_connection_that_is_gone_is_an_error(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    with pytest.raises((ServerGone, OutcomeUnknown)):  # whether it is known to be gone, or COMMIT was sent
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await facts.kill(server, await value(session, text(facts.SESSION_ID)))
    assert await count(database) == 0


async def test_a_commit_after_an_error_that_was_swallowed_is_true_or_an_error(probe_database: MakeDatabase) -> None:
    """PostgreSQL answers ROLLBACK to such a COMMIT, without an error; MySQL undoes the one statement only."""
    database = probe_database()
    committed = True
    try:
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            with pytest.raises(UniqueViolation):
                await run(session, insert(probes).values(probe(1)))
    except TransactionAborted:
        committed = False
    assert await count(database) == committed


async def test_a_session_reads_its_own_writes(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await run(session, insert(probes).values(probe(1)))
        await run(session, update(probes).values(value=7))
        assert await rows(session, select(probes.c.id, probes.c.value)) == [(1, 7)]


@pytest.mark.parametrize(
    "statement",
    [
        insert(probes).values(probe(1)),
        update(probes).values(value=1),
        probes.delete(),
        text("DELETE FROM probes"),
        text("  insert into probes (id, name, value) values (1, 'x', 1)"),
        text(""),
    ],
    ids=str,
)
async def test_a_read_session_refuses_to_write(probe_database: MakeDatabase, statement: object) -> None:
    async with probe_database().read() as session:
        with pytest.raises(ReadOnlySession):
            await run(session, statement)
        assert await value(session, select(func.count()).select_from(probes)) == 0


@pytest.mark.usefixtures("no_pooler")
async def test_the_server_refuses_what_a_read_session_cannot_see(probe_database: MakeDatabase) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
    async with database.read() as session:
        with pytest.raises(ReadOnlySession):
            await rows(session, select(probes.c.id).with_for_update())


@pytest.mark.parametrize("kind", ["read", "transaction"])
async def test_a_task_inside_a_transaction_that_begins_another_unit_is_refused_although_places_are_free(
    probe_database: MakeDatabase, kind: str
) -> None:
    database = probe_database()
    async with database.transaction() as session:
        with pytest.raises(NestedSession):
            async with getattr(database, kind)():
                pass
        assert await value(session, select(1)) == 1
    async with database.read() as session:
        assert await value(session, select(1)) == 1


async def test_each_task_of_a_gather_has_a_session_of_its_own(probe_database: MakeDatabase) -> None:
    database = probe_database()

    async def add(id: int) -> None:
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(id)))

    await asyncio.gather(*(add(id) for id in range(30)))
    assert await count(database) == 30


async def test_a_session_that_outlives_its_unit_of_work_is_refused(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    kept: list[Session] = []
    async with database.transaction() as session:
        kept.append(session)
    with pytest.raises(Exception, match="closed"):
        await run(kept[0], insert(probes).values(probe(1)))
    assert await count(database) == 0


async def test_no_connection_is_left_in_a_transaction(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
    with pytest.raises(UniqueViolation):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
    await count(database)
    assert await facts.open_transactions(server) == 0
