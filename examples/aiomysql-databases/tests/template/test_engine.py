"""What a session gives and stores is what SQLAlchemy's own engine gives and stores: the same values of the same types,
by every method, for every type and for statements of all kinds.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Integer,
    Label,
    MetaData,
    Result,
    Table,
    bindparam,
    column,
    insert,
    select,
    table,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import Database, Session
from app.settings import Settings
from tests.statements import sqlalchemy_engine
from tests.template import expressions, server_types, ways
from tests.template.expressions import THINGS, counted, keyed, things
from tests.template.types_table import COMMON, Boxed

TYPES = COMMON | server_types.TYPES
READS = expressions.READS | server_types.READS
WRITES = expressions.WRITES | server_types.WRITES


@pytest.fixture(scope="module")
async def tables(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """On SQLAlchemy's own connection."""
    if settings.database.external_pooler:
        pytest.skip("SQLAlchemy's own engine needs a session of the server")
    # With a level it also leaves autocommit on MySQL.
    engine = sqlalchemy_engine(settings.database, isolation_level="READ COMMITTED")
    async with engine.connect() as connection:
        await connection.run_sync(expressions.metadata.create_all)
        for values in THINGS:
            await connection.execute(insert(things).values(values))
        await connection.commit()
        yield connection
        await connection.run_sync(expressions.metadata.drop_all)
        await connection.commit()
    await engine.dispose()


@pytest.fixture
async def theirs(tables: AsyncConnection) -> AsyncIterator[AsyncConnection]:
    yield tables
    await tables.rollback()


@pytest.fixture(scope="module")
async def typed(tables: AsyncConnection) -> AsyncIterator[Table]:
    """A table with a column of each type, and one of a service's own type over it."""
    missing = server_types.missing(tables.dialect)
    columns = (
        Column(f"c{number}{over}", Boxed(type) if over else type, key=name + over)
        for number, (name, (type, *_)) in enumerate(TYPES.items())
        if name not in missing
        for over in ("", "_boxed")
    )
    typed = Table("typed", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False), *columns)
    await tables.run_sync(typed.metadata.create_all)
    await tables.commit()
    yield typed
    await tables.run_sync(typed.metadata.drop_all)
    await tables.commit()


@pytest.fixture(scope="module")
async def ours(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database)
    yield database
    await database.close()


class Undo(Exception):
    pass


@asynccontextmanager
async def undone(database: Database) -> AsyncIterator[Session]:
    """A session in a transaction that is rolled back."""
    with suppress(Undo):
        async with database.transaction() as session:
            yield session
            raise Undo


def with_values(statement: Any) -> tuple[Any, Any]:
    """The statement and its values."""
    return statement if isinstance(statement, tuple) else (statement, None)


async def by_sqlalchemy(connection: AsyncConnection, query: Any, values: Any = None) -> Any:
    query = text(query) if isinstance(query, str) else query
    return await connection.execute(query, values, execution_options={"stream_results": False, "yield_per": None})


def exact(rows: Iterable[Iterable[Any]]) -> list[list[tuple[type, str]]]:
    """Values that are equal only when their types are, down to those in a list; one NaN is the other."""
    return [[(type(value), repr(value)) for value in row] for row in rows]


async def assert_same_rows(session: Session, expected: Result[Any], query: Any, values: Any = None) -> None:
    """By every method, and from a record in every way."""
    names, rows = list(expected.keys()), list(expected)
    records = await session.fetch_all(query, values)
    given: list[Any] = [
        [record[:] for record in records],
        [[record[number] for number in range(len(names))] for record in records],
        *await ways.all_rows(session, query, values),
    ]
    if len(set(names)) == len(names):
        given += [
            [[record[name] for name in names] for record in records],
            [[getattr(record, name) for name in names] for record in records],
            [[record._mapping[name] for name in names] for record in records],
            [dict(record).values() for record in records],
        ]
        assert all(list(record.keys()) == list(record._mapping) == list(dict(record)) == names for record in records)
        if getattr(query, "is_select", False) and hasattr(query, "selected_columns"):
            columns = [column for column in query.selected_columns if isinstance(column, Column | Label)]
            assert exact([record[column] for column in columns] for record in records) == exact(
                [row._mapping[column] for column in columns] for row in rows
            )
    assert [exact(way) for way in given] == [exact(rows)] * len(given)
    first = await session.fetch_one(query, values)
    assert exact([first[:]] if first is not None else []) == exact(rows[:1])
    value = rows[0][0] if rows else None
    by_column = [await session.fetch_val(query, values), await session.fetch_val(query, values, column=0)]
    if len(set(names)) == len(names):
        by_column.append(await session.fetch_val(query, values, column=names[0]))
    assert exact([by_column]) == exact([[value] * len(by_column)])


@pytest.mark.parametrize("name", TYPES)
async def test_a_value_of_each_type_is_stored_and_comes_back(
    ours: Database, theirs: AsyncConnection, typed: Table, name: str
) -> None:
    if name not in typed.c:
        pytest.skip("this server lacks it")
    _, *values = TYPES[name]
    plain, boxed = (column(typed.c[key].name, typed.c[key].type) for key in (name, name + "_boxed"))
    narrow = table("typed", column("id", Integer), plain, boxed)  # all columns take long to compile
    rows = [{"id": id, plain.name: value, boxed.name: ("boxed", value)} for id, value in enumerate([None, *values], 1)]
    queries: list[Any] = [
        select(plain, boxed).order_by(narrow.c.id),
        text(f"SELECT {plain.name}, {boxed.name} FROM typed ORDER BY id"),  # as the driver reads what is stored
    ]
    change = update(narrow).values({plain: bindparam("new"), boxed: bindparam("other")})
    new = {"new": values[0], "other": ("boxed", values[-1])}
    for row in rows:
        await theirs.execute(insert(narrow).values(row))
    expected = [(await theirs.execute(query)).freeze() for query in queries]
    await theirs.execute(change, new)
    changed = [(await theirs.execute(query)).freeze() for query in queries]
    await theirs.rollback()

    async def assert_stored(session: Session, results: list[Any]) -> None:
        for query, result in zip(queries, results, strict=True):
            await assert_same_rows(session, result(), query)

    async with undone(ours) as session:
        for row in rows:
            await session.execute(insert(narrow).values(row))
        await assert_stored(session, expected)
        assert await session.affected(change, new) == len(rows)
        await assert_stored(session, changed)
    async with undone(ours) as session:
        await ways.write_many(session, insert(narrow), rows)
        await assert_stored(session, expected)


@pytest.mark.parametrize("name", READS)
async def test_a_query_gives_the_rows_that_sqlalchemy_gives(ours: Database, theirs: AsyncConnection, name: str) -> None:
    if name in server_types.missing(theirs.dialect):
        pytest.skip("this server lacks it")
    query, values = with_values(READS[name])
    expected = (await by_sqlalchemy(theirs, query, values)).freeze()
    await theirs.rollback()
    for unit in (ours.read, ours.transaction):
        async with unit() as session:
            await assert_same_rows(session, expected(), query, values)


@pytest.mark.parametrize("name", server_types.LOCKS)
async def test_a_query_that_locks_gives_the_rows_that_are_free(
    ours: Database, theirs: AsyncConnection, name: str
) -> None:
    query, values = with_values(server_types.LOCKS[name])
    expected = (await by_sqlalchemy(theirs, query, values)).freeze()
    await theirs.rollback()
    async with ours.transaction() as session:
        await assert_same_rows(session, expected(), query, values)
        if "SKIP LOCKED" in name:  # nothing is free now, and nothing waits
            assert (await by_sqlalchemy(theirs, query, values)).all() == []
            await theirs.rollback()


STORED = [select(kind).order_by(kind.c.id) for kind in (things, keyed, counted)]


@pytest.mark.parametrize("name", WRITES)
async def test_a_statement_that_writes_stores_what_sqlalchemy_stores(
    ours: Database, theirs: AsyncConnection, name: str
) -> None:
    if name in server_types.missing(theirs.dialect):
        pytest.skip("this server lacks it")
    query, values = with_values(WRITES[name])
    result = await by_sqlalchemy(theirs, query, values)
    count, returns = result.rowcount, result.returns_rows
    plain_insert = result.context.isinsert and not result.context._is_explicit_returning
    key = result.inserted_primary_key[0] if plain_insert else None
    rows = result.all() if returns else []
    stored = [(await theirs.execute(query)).all() for query in STORED]
    await theirs.rollback()

    async def assert_stored(session: Session) -> None:
        for query, expected in zip(STORED, stored, strict=True):
            assert exact(row[:] for row in await session.fetch_all(query)) == exact(expected)

    async with undone(ours) as session:
        given = await session.fetch_all(query, values)
        assert sorted(map(str, exact(row[:] for row in given))) == sorted(map(str, exact(rows)))
        await assert_stored(session)
    async with undone(ours) as session:
        assert await session.affected(query, values) == count or count == -1  # it does not tell, for MERGE
        await assert_stored(session)
    async with undone(ours) as session:
        given_key = await ways.write(session, query, values)
        assert given_key == (key if plain_insert or not rows else rows[0][0])
        await assert_stored(session)


@pytest.mark.parametrize("name", expressions.MANY)
async def test_a_statement_for_many_values_stores_what_sqlalchemy_stores(
    ours: Database, theirs: AsyncConnection, name: str
) -> None:
    query, values = expressions.MANY[name]
    await by_sqlalchemy(theirs, query, values)
    stored = [(await theirs.execute(query)).all() for query in STORED]
    await theirs.rollback()
    async with undone(ours) as session:
        await ways.write_many(session, query, values)
        for table, expected in zip(STORED, stored, strict=True):
            assert exact(row[:] for row in await session.fetch_all(table)) == exact(expected)


async def test_a_key_that_the_server_counts_is_given(ours: Database, theirs: AsyncConnection) -> None:
    async with undone(ours) as session:
        for table in server_types.COUNTED:
            for _ in range(2):
                key = await ways.write(session, insert(table), None)
                assert key == await session.fetch_val(select(table.c.id).order_by(table.c.id.desc()))


async def test_a_statement_that_is_made_anew_has_columns_of_its_own(ours: Database, theirs: AsyncConnection) -> None:
    async with ours.read() as session:
        for _ in range(3):
            other = things.alias()
            row = await session.fetch_one(select(other.c.colour, other.c.id).where(other.c.id == 1))
            assert row is not None
            assert (row[other.c.id], row[other.c.colour]) == (1, THINGS[0]["colour"])
