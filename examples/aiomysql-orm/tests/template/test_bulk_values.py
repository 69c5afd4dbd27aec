"""Bulk functions store what an ordinary INSERT of the row stores, of each type, whatever the connection did before."""

import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Computed,
    Dialect,
    Identity,
    Index,
    Integer,
    MetaData,
    Sequence,
    String,
    Table,
    Text,
    create_mock_engine,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema, DropSchema
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.database import Database, InvalidValue, Session, UniqueViolation, driver
from app.database.bulk import Upserted, bulk_insert, bulk_update, upsert
from app.database.bulk import rows as bulk_rows
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.statements import rows, run, sqlalchemy_engine, value
from tests.template import server_types, ways
from tests.template.types_table import COMMON, Boxed

MakeDatabase = Callable[..., Database]
TYPES = COMMON | server_types.TYPES


class Lowered(TypeDecorator[str]):
    """What an INSERT stores is made by the server."""

    impl = String
    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> Any:
        return func.lower(bindvalue)


@pytest.fixture
async def ddl(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """SQLAlchemy's own connection, for tables that are made anew all the time; the last one is gone at the end."""
    engine = sqlalchemy_engine(settings.database)
    async with engine.connect() as connection:
        yield connection
        await connection.rollback()
        await connection.run_sync(table_of().metadata.drop_all)
        await connection.commit()
    await engine.dispose()


def table_of(*types: TypeEngine[Any], name: str = "bulk_typed") -> Table:
    """With the columns id, v0, v1 and so on."""
    columns = [Column(f"v{number}", type) for number, type in enumerate(types)]
    return Table(name, MetaData(), Column("id", Integer, primary_key=True, autoincrement=False), *columns)


async def make(ddl: AsyncConnection, table: Table) -> None:
    await ddl.run_sync(table.metadata.drop_all)
    await ddl.run_sync(table.metadata.create_all)
    await ddl.commit()


@asynccontextmanager
async def there(server: driver.RawConnection, dialect: Dialect, table: Table) -> AsyncIterator[None]:
    """The table and its types, for as long as the block takes; without asking each time what there is already."""
    statements: list[Any] = []
    engine = create_mock_engine(
        f"{driver.DIALECT}://", lambda ddl, *_, **__: statements.append(ddl.compile(dialect=dialect))
    )
    table.metadata.create_all(engine, checkfirst=False)
    creating = len(statements)
    table.metadata.drop_all(engine, checkfirst=False)
    for statement in statements[:creating]:
        await driver.run_text(server, str(statement), ())
    yield
    for statement in statements[creating:]:
        await driver.run_text(server, str(statement), ())


WAYS = {"insert": 1000, "upsert": 2000, "update": 3000}


async def stored_alike(
    session: Session, table: Table, given: list[dict[str, Any]], ways: Iterable[str] = tuple(WAYS)
) -> None:
    """Each of the rows, whose ids are from 1 on, by INSERT and in each of these ways of bulk."""
    for row in given:  # each type has a statement of its own: a plan remembers the types of its parameters
        await session.affected(insert(table).prefix_with(f"/* {id(table)} */").values(row))
    names = [column.key for column in table.columns if column.key != "id"]
    for way in ways:
        first = WAYS[way]
        moved = [{**row, "id": first + row["id"]} for row in given]
        if way == "insert":
            assert await bulk_insert(session, table, moved) == len(moved)
        elif way == "upsert":
            assert await upsert(session, table, moved, conflict="id", update=names) == Upserted(inserted=len(moved))
            again = await upsert(session, table, moved, conflict="id", update=names)
            assert (again.inserted, again.updated + again.skipped) == (0, len(moved))
        else:
            await bulk_insert(session, table, [{"id": row["id"]} for row in moved])
            assert await bulk_update(session, table, moved, key="id") == len(moved)
        differ = [facts.DIFFER.format(a=f"a.{name}", b=f"b.{name}") for name in names]
        joined = f"{table.fullname} a JOIN {table.fullname} b ON b.id = a.id + {first}"
        found = await session.fetch_all(text(f"SELECT {', '.join(differ)} FROM {joined}"))
        others = {name for row in found for name, differs in zip(names, row[:], strict=True) if differs}
        assert not others, (way, [(name, table.c[name].type) for name in others])
        assert len(found) == len(given)


@pytest.mark.parametrize("boxed", [False, True], ids=["", "a type of one's own"])
async def test_every_type_is_stored_as_by_an_ordinary_insert(
    probe_database: MakeDatabase, ddl: AsyncConnection, server: driver.RawConnection, boxed: bool
) -> None:
    """In tables of the same name, one after the other, over the same connection."""
    database = probe_database(pool_size=1, max_overflow=0)
    missing = server_types.missing(ddl.dialect)
    failed: dict[str, Exception] = {}
    for name, (type, *values) in TYPES.items():
        if name in missing:
            continue
        table = table_of(Boxed(type) if boxed else type)
        given = [("boxed", value) if boxed else value for value in values]
        rows = [{"id": n, "v0": v} for n, v in enumerate(given, 1)]
        async with there(server, ddl.dialect, table):
            try:
                await database.run_transaction(partial(stored_alike, table=table, given=rows))
            except (Exception, AssertionError) as error:
                failed[name] = error
    assert not failed, "\n".join(f"{name}: {error!r}" for name, error in failed.items())


async def test_a_type_is_stored_after_every_other_in_a_column_of_the_same_name(
    probe_database: MakeDatabase, ddl: AsyncConnection, server: driver.RawConnection
) -> None:
    """A table of all types is made again with each of them some columns further on: every distance of two of them. The
    ways of bulk take turns.
    """
    database = probe_database(pool_size=1, max_overflow=0)
    missing = server_types.missing(ddl.dialect)
    typed = [(type, value) for name, (type, value, *_) in TYPES.items() if name not in missing]
    shifted = 0
    for distance in range(len(typed)):
        shifted += distance
        turned = [typed[(number + shifted) % len(typed)] for number in range(len(typed))]
        table = table_of(*(type for type, _ in turned))
        row = {"id": 1, **{f"v{number}": value for number, (_, value) in enumerate(turned)}}
        way = [*WAYS][distance % len(WAYS)]
        async with there(server, ddl.dialect, table):
            await database.run_transaction(partial(stored_alike, table=table, given=[row], ways=[way]))


async def test_random_tables_and_rows_are_stored_as_by_an_ordinary_insert(
    probe_database: MakeDatabase, ddl: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_rows, "BATCH", 4)
    database = probe_database(pool_size=1, max_overflow=0)
    types = [typed for name, typed in TYPES.items() if name not in server_types.missing(ddl.dialect)]
    for seed in range(12):
        dice = random.Random(seed)
        chosen = dice.choices(types, k=dice.randint(1, 6))
        table = table_of(*(type for type, *_ in chosen))
        await make(ddl, table)
        given = [
            {"id": id, **{f"v{n}": dice.choice([*values, None]) for n, (_, *values) in enumerate(chosen)}}
            for id in range(1, dice.randint(2, 12))
        ]
        await database.run_transaction(partial(stored_alike, table=table, given=given))
        await ddl.run_sync(table.metadata.drop_all)
        await ddl.commit()


async def test_rows_that_a_session_streams_are_inserted(probe_database: MakeDatabase) -> None:
    """On the connection that they come from."""
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        await bulk_insert(session, probes, [probe(id) for id in range(30)])
        stream = ways.stream(session, select((probes.c.id + 100).label("id"), probes.c.name + "'", probes.c.value))
        moved = ({"id": id, "name": name, "value": value} async for id, name, value in stream)
        assert await bulk_insert(session, probes, moved) == 30
        assert await value(session, select(func.count()).select_from(probes)) == 60


async def test_a_default_may_depend_on_the_other_values_of_its_row(
    probe_database: MakeDatabase, ddl: AsyncConnection
) -> None:
    def doubled(context: Any) -> int:
        return 2 * int(context.get_current_parameters()["v0"])

    def one_more(context: Any) -> int:
        return 1 + int(context.get_current_parameters()["v1"])

    table = table_of(Integer())
    table.append_column(Column("v1", Integer, default=doubled))
    table.append_column(Column("v2", Integer, default=one_more))
    await make(ddl, table)
    made = select(table.c.v1, table.c.v2).order_by(table.c.id)
    async with probe_database().transaction() as session:
        await bulk_insert(session, table, [{"id": 1, "v0": 4}, {"id": 2, "v0": 5}])
        assert await rows(session, made) == [(8, 9), (10, 11)]
        await run(session, insert(table).values(id=3, v0=6))  # an ordinary one's
        assert await rows(session, made) == [(8, 9), (10, 11), (12, 13)]


async def test_rows_without_a_column_are_refused(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        with pytest.raises(ValueError, match="the rows have no columns"):
            await bulk_insert(session, table_of(), [{}, {}])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([Column("v1", Integer, Computed("v0 + 1"))], "leave v1 out: the server alone makes it"),
        ([Column("v1", Integer, Identity(always=True))], "leave v1 out: the server alone makes it"),
        ([Column("v1", Integer, Sequence("numbers"))], "give each row its v1: its default"),
        ([Column("v1", Lowered(9))], "leave v1 out: its type writes an expression"),
    ],
    ids=["generated", "identity", "sequence", "expression"],
)
async def test_a_column_that_bulk_rows_cannot_have_is_refused_before_anything_is_sent(
    probe_database: MakeDatabase, columns: list[Column[Any]], message: str
) -> None:
    table = table_of(Integer())
    for column in columns:
        table.append_column(column)
    given = {"id": 1, "v0": 1} | ({} if "give" in message else {"v1": 1})
    async with probe_database().transaction() as session:
        for way in (bulk_insert(session, table, [given]), upsert(session, table, [given], conflict="id")):
            with pytest.raises(ValueError, match=message):
                await way


@pytest.mark.parametrize("name", ["bulk_rows", "bulk rows %s", "group"])
@pytest.mark.parametrize("column", ["order", "a % of all", "Übergröße", 'one"two', "a`b"])
async def test_tables_and_columns_may_have_any_name(
    probe_database: MakeDatabase, ddl: AsyncConnection, name: str, column: str
) -> None:
    table = Table(name, MetaData(), Column("id", Integer, primary_key=True), Column(column, String(20), key="v0"))
    await make(ddl, table)
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        assert await bulk_insert(session, table, [{"id": 1, "v0": "a"}, {"id": 2, "v0": "b%%s"}]) == 2
        assert await bulk_update(session, table, [{"id": 1, "v0": "c"}, {"id": 3, "v0": "d"}], key="id") == 1
        done = await upsert(session, table, [{"id": 2, "v0": "x%"}, {"id": 4, "v0": "y"}], conflict="id", update="v0")
        assert done == Upserted(inserted=1, updated=1)
        found = await rows(session, select(table.c.id, table.c.v0).order_by(table.c.id))
        assert found == [(1, "c"), (2, "x%"), (4, "y")]
    await ddl.run_sync(table.metadata.drop_all)
    await ddl.commit()


async def test_keys_that_the_server_takes_for_the_same_are_doubles(
    probe_database: MakeDatabase, ddl: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in another batch."""
    monkeypatch.setattr(bulk_rows, "BATCH", 2)
    for statement in facts.CASELESS:
        await ddl.execute(text(statement))
    await ddl.commit()
    table = Table("caseless", MetaData(), Column("code", facts.CASELESS_TYPE, primary_key=True), Column("v0", Integer))
    async with probe_database().transaction() as session:
        await bulk_insert(session, table, [{"code": code, "v0": 0} for code in ("s1", "s2", "s3")])
        given = [{"code": code, "v0": n} for n, code in enumerate(("S1", "s2", "S3", "s1"))]
        with pytest.raises(InvalidValue, match="Row 3 has the key of an earlier row") as caught:
            await bulk_update(session, table, given, key="code")
        assert caught.value.row == 3
        assert await rows(session, select(table.c.v0)) == [(0,)] * 3
        assert await bulk_update(session, table, given[:3], key="code") == 3
        with pytest.raises(UniqueViolation) as met:
            await bulk_insert(session, table, [{"code": "new", "v0": 1}, {"code": "S2", "v0": 1}])
        assert met.value.row == 1
        done = await upsert(session, table, [*given, {"code": "s4", "v0": 4}], conflict="code", update="v0")
        assert done == Upserted(inserted=1, updated=1, skipped=3)
    await ddl.execute(text("DROP TABLE caseless"))
    await ddl.commit()


async def test_a_key_may_be_a_long_text(probe_database: MakeDatabase, ddl: AsyncConnection) -> None:
    table = table_of(Text(), String(3000), Integer())
    await make(ddl, table)
    long = ["x" * 400 + end for end in "abc"]
    async with probe_database().transaction() as session:
        await bulk_insert(session, table, [{"id": n, "v0": t, "v1": t, "v2": 0} for n, t in enumerate(long)])
        for key in ("v0", "v1", ("v0", "v1")):
            wanted = [
                {**dict.fromkeys((key,) if isinstance(key, str) else key, t), "v2": n} for n, t in enumerate(long)
            ]
            assert await bulk_update(session, table, wanted, key=key) == 3
        assert await rows(session, select(table.c.v2).order_by(table.c.id)) == [(0,), (1,), (2,)]


async def test_a_table_of_another_schema_is_meant_by_its_whole_name(
    probe_database: MakeDatabase, ddl: AsyncConnection
) -> None:
    here = table_of(Integer())
    there = here.to_metadata(MetaData(), schema="bulk_elsewhere")
    await ddl.execute(CreateSchema("bulk_elsewhere", if_not_exists=True))
    for table in (here, there):
        await make(ddl, table)
    database = probe_database(pool_size=1, max_overflow=0)
    for table in (here, there):
        await database.run_transaction(partial(stored_alike, table=table, given=[{"id": 1, "v0": 4}]))
    await ddl.execute(DropSchema("bulk_elsewhere", cascade=facts.SCHEMAS_CASCADE))
    await ddl.commit()


async def test_an_index_of_expressions_is_no_key_to_upsert_by(probe_database: MakeDatabase) -> None:
    table = table_of(String(9))
    Index("lowered", func.lower(table.c.v0), unique=True)
    async with probe_database().transaction() as session:
        with pytest.raises(ValueError, match="neither the primary key nor a unique constraint"):
            await upsert(session, table, [{"id": 1, "v0": "a"}], conflict="v0")


@pytest.mark.parametrize("bad", facts.BAD_TEXTS, ids=repr)
async def test_a_value_that_cannot_be_sent_is_named_by_its_row_and_costs_no_connection(
    probe_database: MakeDatabase, bad: Any
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        before = await session.fetch_val(text(facts.SESSION_ID))
    for way in ("insert", "upsert", "update"):
        with pytest.raises(InvalidValue) as caught:
            async with database.transaction() as session:
                given = [probe(id, amount=1) for id in range(4)] + [probe(4, **bad)]
                given = [{**row, "amount": row.get("amount")} for row in given]
                if way == "insert":
                    await bulk_insert(session, probes, given)
                elif way == "upsert":
                    await upsert(session, probes, given, conflict="id", update="name")
                else:
                    await bulk_update(session, probes, given, key="id")
        assert (caught.value.status, caught.value.row) == (422, 4)
    async with database.transaction() as session:
        assert await session.fetch_val(text(facts.SESSION_ID)) == before


class Reckoned(TypeDecorator[int]):
    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: object) -> int:
        return int(value)


async def test_a_value_beyond_what_its_type_can_reckon_with_is_a_bad_one(probe_database: MakeDatabase) -> None:
    reckoned = Table("probes", MetaData(), Column("id", Integer, primary_key=True), Column("value", Reckoned))
    given = [{"id": 1, "value": 1.0}, {"id": 2, "value": float("inf")}]
    async with probe_database().transaction() as session:
        with pytest.raises(InvalidValue) as caught:
            await bulk_update(session, reckoned, given, key="id")
        assert caught.value.row == 1
        with pytest.raises(InvalidValue):
            await session.affected(update(reckoned), given[1])
