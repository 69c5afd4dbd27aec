"""SQLAlchemy's own Connection on a unit of work, which the ORM and statements with options of their own go by: what it
begins, commits, undoes and streams is the unit's.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Transaction, func, insert, select, text
from sqlalchemy.util import await_only, greenlet_spawn

from app.database import Database, ServerGone, Session, StatementRefused, TransactionAborted, driver
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.statements import created, rows, run, value

MakeDatabase = Callable[..., Database]


async def on_connection(unit: AbstractAsyncContextManager[Session], work: Callable[[Connection], Any]) -> Any:
    async with unit as session:
        await session._engine.ready(session._unit)
        return await greenlet_spawn(work, session._engine.connection(session._unit))


async def ids(database: Database) -> list[int]:
    async with database.read() as session:
        return [id for (id,) in await rows(session, select(probes.c.id).order_by(probes.c.id))]


def put(connection: Connection, *ids: int) -> None:
    for id in ids:
        connection.execute(insert(probes).values(probe(id)))


def under_way(connection: Connection) -> Transaction:
    transaction = connection.get_transaction()
    assert transaction is not None
    return transaction


async def test_what_it_rolls_back_is_not_stored_and_what_it_commits_is_although_the_unit_fails(
    probe_database: MakeDatabase,
) -> None:
    database = probe_database()

    def work(connection: Connection) -> None:
        connection.begin().rollback()
        put(connection, 1)
        under_way(connection).rollback()
        connection.begin().rollback()  # nothing was sent in it
        connection.begin().commit()
        put(connection, 2)
        under_way(connection).commit()
        put(connection, 3)
        raise LookupError

    with pytest.raises(LookupError):
        await on_connection(database.transaction(), work)
    assert await ids(database) == [2]


async def test_a_savepoint_of_its_is_undone_alone_and_with_its_transaction(probe_database: MakeDatabase) -> None:
    database = probe_database()

    def work(connection: Connection) -> None:
        put(connection, 1)
        inner = connection.begin_nested()
        put(connection, 2)
        inner.rollback()
        inner = connection.begin_nested()
        put(connection, 3)
        inner.commit()

    await on_connection(database.transaction(), work)
    assert await ids(database) == [1, 3]


async def test_after_a_savepoint_whose_transaction_was_undone_all_is_undone(probe_database: MakeDatabase) -> None:
    database = probe_database()
    async with database.transaction() as session:

        def work() -> None:
            connection = session._engine.connection(session._unit)
            put(connection, 1)
            inner = connection.begin_nested()
            put(connection, 2)
            await_only(session._unit.rollback())
            inner.rollback()
            put(connection, 3)
            under_way(connection).commit()

        await session._engine.ready(session._unit)
        await greenlet_spawn(work)
    assert await ids(database) == [3]


@pytest.mark.usefixtures("no_pooler")
async def test_after_a_lost_connection_its_rollback_begins_no_other_transaction(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database()
    with pytest.raises(TransactionAborted):
        async with database.transaction() as session:
            id = await value(session, text(facts.SESSION_ID))
            await facts.kill(server, id)
            with pytest.raises(ServerGone):
                await value(session, text(facts.SESSION_ID))
            connection = session._engine.connection(session._unit)
            await greenlet_spawn(connection.begin().rollback)
            with pytest.raises(TransactionAborted):
                await run(session, insert(probes).values(probe(1)))
    assert await ids(database) == []


async def test_it_reads_nothing_and_undoes_nothing_in_a_read_session_that_ends(probe_database: MakeDatabase) -> None:
    database = probe_database()

    def work(connection: Connection) -> int | None:
        number = connection.scalar(select(func.count()).select_from(probes))
        under_way(connection).commit()
        connection.begin().rollback()
        return number

    assert await on_connection(database.read(), work) == 0


@pytest.mark.parametrize("writes", [True, False], ids=["transaction", "read"])
async def test_a_stream_of_its_comes_in_parts_where_there_is_a_transaction(
    probe_database: MakeDatabase, writes: bool
) -> None:
    database = probe_database()
    await on_connection(database.transaction(), lambda connection: put(connection, *range(9)))

    def work(connection: Connection) -> list[list[int]]:
        streamed = connection.execution_options(stream_results=True, max_row_buffer=2)
        result = streamed.scalars(select(probes.c.id).order_by(probes.c.id))
        return [list(result.fetchmany(3)), list(result.all())]

    with nullcontext() if writes else pytest.raises(StatementRefused):
        parts = await on_connection(database.transaction() if writes else database.read(), work)
        assert parts == [[0, 1, 2], [3, 4, 5, 6, 7, 8]]


async def test_a_default_of_python_may_ask_the_database(probe_database: MakeDatabase, settings: Settings) -> None:
    """https://docs.sqlalchemy.org/en/21/core/defaults.html#context-sensitive-default-functions"""

    def next_place(context: Any) -> int:
        return int(context.connection.scalar(select(func.count()).select_from(kept)))

    kept = Table(
        "kept", MetaData(), Column("id", Integer, primary_key=True), Column("place", Integer, default=next_place)
    )
    async with created(settings.database, kept), probe_database().transaction() as session:
        for id in (1, 2, 3):
            assert await session.affected(insert(kept), {"id": id}) == 1
        assert await rows(session, select(kept.c.place).order_by(kept.c.id)) == [(0,), (1,), (2,)]


async def test_a_default_that_only_the_server_can_make_is_made_before_the_row(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    # Without RETURNING, the key has to be known beforehand.
    counted = Column(
        "id", Integer, primary_key=True, autoincrement=False, default=select(func.abs(-7)).scalar_subquery()
    )
    kept = Table("kept", MetaData(), counted, Column("name", String(9)), implicit_returning=False)
    async with created(settings.database, kept), probe_database().transaction() as session:
        assert await session.affected(insert(kept), {"name": "seven"}) == 1
        assert await rows(session, select(kept)) == [(7, "seven")]
