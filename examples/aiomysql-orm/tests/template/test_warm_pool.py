"""A migration under a warm pool: what the connections remember of tables and types is forgotten, and nobody sees it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from sqlalchemy import Column, Double, Enum, Integer, MetaData, Table, Text, insert, select, text, update

from app.database import Database, Retryable, SchemaChanged, Session, driver
from tests import facts
from tests.statements import rows, run, value
from tests.template import texts, ways

MakeDatabase = Callable[..., Database]

CONNECTIONS = 3
MIGRATIONS = pytest.mark.parametrize("migration", texts.MIGRATIONS.values(), ids=texts.MIGRATIONS.keys())


def changing(x: type = Integer) -> Table:
    moods = Enum("glad", "sad", name="mood")
    return Table("changing", MetaData(), Column("id", Integer, primary_key=True), Column("x", x), Column("mood", moods))


TABLE = changing()
GLAD = select(TABLE).where(TABLE.c.mood == "glad").order_by(TABLE.c.id)
ALL = text("SELECT * FROM changing")


async def migrate(server: driver.RawConnection, statements: str) -> None:
    for statement in statements.split(";"):
        await driver.scalar(server, statement)


@pytest.fixture
async def table(server: driver.RawConnection) -> AsyncIterator[None]:
    await migrate(server, texts.CREATE)
    facts.forget_plans()  # which a pooler may have of the table of an earlier test
    await driver.scalar(server, "INSERT INTO changing (id, x) VALUES (1, 7)")
    yield
    await migrate(server, texts.DROP)


@pytest.fixture
async def warm(probe_database: MakeDatabase, table: None) -> Database:
    """A database each of whose connections has run these statements, in read sessions and in transactions."""
    database = probe_database(pool_size=CONNECTIONS, max_overflow=0)

    all_in = asyncio.Barrier(CONNECTIONS)

    async def work() -> None:
        for opened in (database.read, database.transaction):
            async with opened() as session:
                assert await read(session) == 3
                await all_in.wait()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    assert database.status().open == CONNECTIONS
    return database


async def read(session: Session) -> int:
    """All of the statements; how many columns the table has."""
    assert [row[0] for row in await rows(session, GLAD)] == [1]
    (row,) = await rows(session, ALL)
    return len(row)


@MIGRATIONS
async def test_reads_go_on_as_if_nothing_had_been(warm: Database, server: driver.RawConnection, migration: str) -> None:
    await migrate(server, migration)
    all_in = asyncio.Barrier(CONNECTIONS)

    async def work() -> None:
        async with warm.read() as session:
            assert await read(session) == 3 + ("ADD COLUMN y" in migration)
            await all_in.wait()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    assert warm.status().open == CONNECTIONS


@pytest.mark.usefixtures("no_pooler")
@MIGRATIONS
async def test_a_unit_is_run_again_and_succeeds(warm: Database, server: driver.RawConnection, migration: str) -> None:
    await migrate(server, migration)
    all_in = asyncio.Barrier(CONNECTIONS)
    met: list[Exception] = []

    async def work() -> None:
        first = True

        async def unit(session: Session) -> None:
            nonlocal first
            if first:
                first = False
                await value(session, text("SELECT 1"))
                await all_in.wait()
            try:
                assert await read(session) == 3 + ("ADD COLUMN y" in migration)
            except Exception as error:
                met.append(error)
                raise
            await run(session, update(TABLE).values(mood="sad").where(TABLE.c.id == 2))

        await warm.run_transaction(unit)

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    assert {type(error) for error in met} == ({SchemaChanged} if texts.PLANS_GROW_OLD else set())
    assert issubclass(SchemaChanged, Retryable)
    assert warm.status().open == CONNECTIONS


async def test_what_goes_in_bulk_is_encoded_by_the_types_that_the_table_has_now(
    probe_database: MakeDatabase, table: None, server: driver.RawConnection
) -> None:
    bulk = pytest.importorskip("app.database.bulk", reason="it was deleted: docs/bulk.md")
    database = probe_database(pool_size=1, max_overflow=0)
    for id, type in ((2, Integer), (3, Double), (4, Text)):
        if type is not Integer:
            await migrate(server, texts.MIGRATIONS["a larger type" if type is Double else "another type"])
        given = "7" if type is Text else 7
        async with database.transaction() as session:
            await bulk.bulk_insert(session, changing(type), [{"id": id, "x": given, "mood": "sad"}])
        async with database.read() as session:
            table_now = changing(type)
            assert await value(session, select(table_now.c.x).where(table_now.c.id == id)) == given


async def test_many_rows_by_one_statement_are_encoded_by_the_types_that_the_table_has_now(
    probe_database: MakeDatabase, table: None, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    for id, type in ((10, Integer), (20, Double)):
        if type is not Integer:
            await migrate(server, texts.MIGRATIONS["a larger type"])

        async def work(session: Session, id: int = id) -> None:
            for row in ({"id": id + number, "x": number, "mood": "sad"} for number in range(3)):
                await run(session, insert(TABLE).values(row))

        await database.run_transaction(work)
    async with database.read() as session:
        assert await value(session, text("SELECT SUM(x) FROM changing")) == 7 + 3 + 3


async def test_parameters_have_the_types_that_the_columns_have_now(
    probe_database: MakeDatabase, table: None, server: driver.RawConnection
) -> None:
    """Of a statement that says nothing of types, as text does."""
    database = probe_database(pool_size=1, max_overflow=0)
    statement = text("INSERT INTO changing (id, x) VALUES (:id, :x)")

    async def work(session: Session, id: int, x: object) -> None:
        await run(session, statement.bindparams(id=id, x=x))

    await database.run_transaction(partial(work, id=2, x=7))
    await migrate(server, texts.MIGRATIONS["another type"])
    await database.run_transaction(partial(work, id=3, x="seven"))
    async with database.read() as session:
        assert await rows(session, text("SELECT id, x FROM changing ORDER BY id")) == [(1, "7"), (2, "7"), (3, "seven")]


async def test_many_rows_by_one_text_have_the_types_that_the_columns_have_now(
    probe_database: MakeDatabase, table: None, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=CONNECTIONS, max_overflow=0)
    statement = "INSERT INTO changing (id, x) VALUES (:id, :x)"
    all_in = asyncio.Barrier(CONNECTIONS)

    async def work(first: int, x: object) -> None:
        waits = True

        async def unit(session: Session) -> None:
            nonlocal waits
            if waits:
                waits = False
                await value(session, text("SELECT 1"))
                await all_in.wait()
            await ways.write_many(session, statement, [{"id": first + n, "x": x} for n in range(2)])

        await database.run_transaction(unit)

    await asyncio.gather(*(work(100 + 10 * n, 7) for n in range(CONNECTIONS)))
    await migrate(server, texts.MIGRATIONS["another type"])
    await asyncio.gather(*(work(200 + 10 * n, "seven") for n in range(CONNECTIONS)))
    async with database.read() as session:
        assert await value(session, text("SELECT COUNT(*) FROM changing WHERE x = 'seven'")) == 2 * CONNECTIONS
