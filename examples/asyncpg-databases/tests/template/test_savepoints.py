"""`session.transaction()`, as the `databases` library has it: a savepoint, which undoes what it says or all of it."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, insert, select

from app.database import Database, DatabaseError, Session, StatementRefused, TransactionAborted
from tests.probes import probe, probes

MakeDatabase = Callable[..., Database]


async def ids(database: Database) -> list[int]:
    async with database.read() as session:
        return [record.id for record in await session.fetch_all(select(probes.c.id).order_by(probes.c.id))]


async def add(session: Session, id: int) -> None:
    await session.execute(insert(probes).values(probe(id)))


async def test_a_savepoint_is_begun_and_ended_in_each_way_of_the_library(probe_database: MakeDatabase) -> None:
    database = probe_database()
    async with database.transaction() as session:
        async with session.transaction():
            await add(session, 1)
        with pytest.raises(LookupError):
            async with session.transaction():
                await add(session, 2)
                raise LookupError
        async with session.transaction(force_rollback=True):
            await add(session, 3)
        kept, undone = await session.transaction(), await session.transaction()
        await add(session, 4)
        await undone.rollback()
        await add(session, 5)
        await kept.commit()
        with pytest.raises(StatementRefused, match="has ended"):
            await kept.commit()
        async with session.transaction() as ended_inside:
            await add(session, 6)
            await ended_inside.rollback()
    assert await ids(database) == [1, 5]


async def test_an_isolation_level_for_a_savepoint_is_refused_with_where_to_write_it(
    probe_database: MakeDatabase,
) -> None:
    async with probe_database().transaction() as session:
        for options in ({"isolation": "SERIALIZABLE"}, {"isolation_level": "SERIALIZABLE"}, {"readonly": True}):
            with pytest.raises(StatementRefused, match=r"give it to database\.transaction\(\)"):
                session.transaction(**options)


async def test_what_cannot_be_undone_alone_is_not_stored_at_all(probe_database: MakeDatabase) -> None:
    database = probe_database()
    with pytest.raises(TransactionAborted):
        async with database.transaction() as session:
            await add(session, 1)
            with pytest.raises(LookupError):
                async with session.transaction():
                    await add(session, 2)
                    await session.execute("RELEASE SAVEPOINT savepoint_1")
                    raise LookupError
    with pytest.raises(TransactionAborted):
        async with database.transaction() as session:
            outer, inner = (await session.transaction(), await session.transaction())
            await add(session, 3)
            await outer.commit()
            with pytest.raises(DatabaseError):
                await inner.rollback()
    async with database.read() as session:
        assert await session.fetch_val(select(func.count()).select_from(probes)) == 0
