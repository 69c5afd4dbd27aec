"""bulk_update: each row's own values, in one statement for thousands of rows."""

from collections.abc import Callable

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select

from app.database import Database, ForeignKeyViolation, InvalidValue, UniqueViolation, driver
from app.database.bulk import Upserted, bulk_insert, bulk_update, upsert
from app.database.bulk import rows as bulk_rows
from app.settings import Settings
from tests.probes import RICH, numbered, probe, probes
from tests.proxy import Proxy
from tests.statements import created, rows, run

MakeDatabase = Callable[..., Database]


async def test_each_row_gets_its_own_values_and_the_rows_that_matched_are_counted(
    probe_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_rows, "BATCH", 7)
    async with probe_database().transaction() as session:
        await bulk_insert(session, probes, (probe(id, made=0) for id in range(20)))
        given = [{"id": id, "value": id * 10, "name": f"new {id}"} for id in range(1, 23)]
        assert await bulk_update(session, probes, given, key="id") == 19
        assert await bulk_update(session, probes, given, key="id") == 19  # matched, although nothing changes
        assert await bulk_update(session, probes, [], key="id") == 0
        found = await rows(session, select(probes.c.id, probes.c.value, probes.c.name).order_by(probes.c.id))
        assert found == [(0, 0, "probe 0"), *((id, id * 10, f"new {id}") for id in range(1, 20))]


async def test_every_type_is_stored_as_by_single_statements(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, probes, [probe(1, **dict.fromkeys(RICH)), probe(2, **RICH)])
        await bulk_update(session, probes, [{"id": 1, **RICH}, {"id": 2, **dict.fromkeys(RICH)}], key="id")
        found = await rows(session, select(*(probes.c[name] for name in RICH)).order_by(probes.c.id))
        assert found == [tuple(RICH.values()), (None,) * len(RICH)]


async def test_what_python_makes_at_an_update_is_added(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, probes, [probe(1), probe(2)])
        await bulk_update(session, probes, [{"id": 1, "value": 1}], key="id")
        assert await rows(session, select(probes.c.made).order_by(probes.c.id)) == [(8,), (7,)]


async def test_what_the_server_makes_at_an_update_is_made(probe_database: MakeDatabase, settings: Settings) -> None:
    changed = Column("changed", Integer, onupdate=func.length("70 % :x"))
    kept = Table("kept_at", MetaData(), Column("id", Integer, primary_key=True), Column("name", Integer), changed)
    async with created(settings.database, kept), probe_database().transaction() as session:
        await bulk_insert(session, kept, [{"id": 1, "name": 1}, {"id": 2, "name": 2}])
        assert await bulk_update(session, kept, [{"id": 2, "name": 3}], key="id") == 1
        assert await rows(session, select(kept).order_by(kept.c.id)) == [(1, 1, None), (2, 3, 7)]


async def test_a_key_may_be_any_columns(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, probes, [probe(1), probe(2, value=5), probe(3, value=5)])
        assert await bulk_update(session, probes, [{"name": "probe 1", "amount": 1}], key="name") == 1
        given = [{"name": "probe 2", "value": 5, "amount": 2}, {"name": "probe 3", "value": 4, "amount": 3}]
        assert await bulk_update(session, probes, given, key=("name", "value")) == 1
        assert await bulk_update(session, probes, [{"value": 5, "amount": 9}], key="value") == 2
        assert await rows(session, select(probes.c.amount).order_by(probes.c.id)) == [(1,), (9,), (9,)]


@pytest.mark.parametrize("name", ["bulk_rows", "old", "new", "given", "done"])
async def test_a_table_may_have_a_name_that_the_statements_have(
    probe_database: MakeDatabase, server: driver.RawConnection, name: str
) -> None:
    names = (Column("id", Integer, primary_key=True, autoincrement=False), Column("number", Integer))
    table = Table(name, MetaData(), *names)
    await driver.scalar(server, f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, number INTEGER)")
    try:
        database = probe_database()
        async with database.transaction() as session:
            await bulk_insert(session, table, [{"id": 1, "number": 1}, {"id": 2, "number": 2}])
            assert await bulk_update(session, table, [{"id": 1, "number": 10}], key="id") == 1
            given = [{"id": 2, "number": 20}, {"id": 3, "number": 30}]
            assert await upsert(session, table, given, conflict="id", update="number") == Upserted(1, 1, 0)
        async with database.read() as session:
            assert await rows(session, select(*table.c).order_by(table.c.id)) == [(1, 10), (2, 20), (3, 30)]
    finally:
        await driver.scalar(server, f"DROP TABLE {name}")


@pytest.mark.parametrize(
    ("last", "message"),
    [({"id": None, "value": 1}, "Row 9 has no key"), ({"id": 3, "value": 1}, "Row 9 has the key of an earlier row")],
    ids=["missing", "doubled"],
)
async def test_a_key_that_is_missing_or_doubled_is_named_and_nothing_is_updated(
    probe_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch, last: dict[str, object], message: str
) -> None:
    monkeypatch.setattr(bulk_rows, "BATCH", 4)
    async with probe_database().transaction() as session:
        await bulk_insert(session, probes, (probe(id) for id in range(10)))
        with pytest.raises(InvalidValue, match=message) as caught:
            await bulk_update(session, probes, [*({"id": id, "value": 7} for id in range(9)), last], key="id")
        assert caught.value.row == 9
        assert await rows(session, select(probes.c.value).distinct()) == [(0,)]


async def test_rows_without_a_key_column_or_without_another_are_refused(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        with pytest.raises(ValueError, match="the rows have no id"):
            await bulk_update(session, probes, [{"value": 7}], key="id")
        with pytest.raises(ValueError, match="nothing to set"):
            await bulk_update(session, numbered, [{"id": 7}], key="id")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"name": "taken"}, UniqueViolation),
        ({"parent_id": -1}, ForeignKeyViolation),
        ({"name": "x" * 21}, InvalidValue),
        ({"name": None}, InvalidValue),
        ({"value": 1_000_000}, InvalidValue),
        ({"value": 2**31}, InvalidValue),
    ],
    ids=str,
)
async def test_the_row_at_fault_is_named_and_nothing_is_updated(
    probe_database: MakeDatabase, fault: dict[str, object], error: type[Exception]
) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, probes, (probe(id) for id in range(40)))
        await run(session, insert(probes).values(probe(99, name="taken")))
        given = [{**probe(id, value=7), "parent_id": None} for id in range(40)]
        given[27] |= fault
        with pytest.raises(error) as caught:
            await bulk_update(session, probes, given, key="id")
        assert getattr(caught.value, "row") == 27  # noqa: B009  # of several classes
        assert await rows(session, select(probes.c.value).distinct()) == [(0,)]
        assert await bulk_update(session, probes, given[:27], key="id") == 27


async def test_values_that_move_from_row_to_row_are_stored_where_some_order_allows_it(
    probe_database: MakeDatabase,
) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, probes, [probe(1, name="a"), probe(2, name="b"), probe(3, name="c")])
        moved = [{"id": 1, "name": "d"}, {"id": 2, "name": "a"}, {"id": 3, "name": "b"}]
        assert await bulk_update(session, probes, moved, key="id") == 3
        assert await rows(session, select(probes.c.name).order_by(probes.c.id)) == [("d",), ("a",), ("b",)]


@pytest.mark.usefixtures("no_pooler")
async def test_round_trips_do_not_depend_on_the_number_of_rows(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_size=1, max_overflow=0)

        async def cost(number: int) -> int:
            async with database.transaction() as session:
                await run(session, probes.delete())
                await bulk_insert(session, probes, (probe(id) for id in range(number)))
                given = [{"id": id, "value": number} for id in range(number)]
                await bulk_update(session, probes, given, key="id")
                before = proxy.round_trips
                await bulk_update(session, probes, given, key="id")
                return proxy.round_trips - before

        assert await cost(20) == await cost(2000) < 15
        await database.close()
