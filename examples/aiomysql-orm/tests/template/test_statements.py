"""What a text of SQL is taken for, and that the server is of the same opinion (texts.py)."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import MetaData, TextClause, bindparam, func, insert, select, text, update

from app.database import (
    Database,
    ReadOnlySession,
    Session,
    StatementRefused,
    TransactionAborted,
    UniqueViolation,
    dialect,
    driver,
    running,
)
from app.database.statements import described, kind_of, refuse_write
from tests.probes import Probe, numbered, probe, probes
from tests.statements import rows, run, savepoint, value
from tests.template import texts

MakeDatabase = Callable[..., Database]


def sql(statement: str) -> TextClause:
    """As it stands: a colon in it names no parameter."""
    return text(statement.replace(":", r"\:"))


async def stored(database: Database) -> int:
    async with database.read(primary=True) as session:
        return int(await value(session, select(func.sum(probes.c.value)).select_from(probes)))


@pytest.fixture
async def one(probe_database: MakeDatabase) -> Database:
    """A database with one connection and one row, whose value is 7."""
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1, value=7)))
    return database


@pytest.fixture
async def function(server: driver.RawConnection) -> AsyncIterator[None]:
    await driver.scalar(server, texts.WRITING_FUNCTION)
    yield
    await driver.scalar(server, texts.DROP_WRITING_FUNCTION)


@pytest.mark.parametrize(("length", "kept"), [(100, True), (100_000, False)])
def test_a_text_is_looked_at_once_and_a_long_one_is_not_kept(length: int, kept: bool) -> None:
    """Made for so many rows or values, a text may take megabytes."""
    statement = f"SELECT {length}".ljust(length, " ") + "\ud800"
    before = sys.getrefcount(statement)
    assert kind_of(statement) is kind_of(statement)
    assert described(statement) is described(statement)
    assert (sys.getrefcount(statement) > before) is kept


async def test_what_reads_runs_in_a_read_session(one: Database) -> None:
    async with one.read() as session:
        for statement in texts.READING:
            kind = kind_of(statement)
            assert (kind.reads, kind.stays, kind.returns_to_savepoint) == (True, False, False), statement
            await session.fetch_all(sql(statement))
    assert await stored(one) == 7


async def test_what_writes_is_refused_in_a_read_session_before_it_is_sent(one: Database) -> None:
    async with one.read() as session:
        for statement in (*texts.WRITING, *texts.WRITING_BY_GUARD_ALONE):
            assert not kind_of(statement).reads, statement
            with pytest.raises(ReadOnlySession, match="use a WriteSession or"):
                await session.fetch_all(sql(statement))
        assert one.status().in_use == 0
    assert await stored(one) == 7


@pytest.mark.usefixtures("no_pooler", "function")
async def test_what_the_guard_lets_through_is_refused_by_the_server(
    one: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one.read() as session:
        for statement in texts.WRITING_UNSEEN:
            with pytest.raises(ReadOnlySession):
                await session.fetch_all(sql(statement))

    def let_all_pass(*_: Any) -> None:
        pass

    monkeypatch.setattr(running, "refuse_write", let_all_pass)
    async with one.read() as session:
        for statement in texts.WRITING:
            with pytest.raises(ReadOnlySession):
                await session.fetch_all(sql(statement))
    assert await stored(one) == 7


@pytest.mark.parametrize("writing", [False, True])
async def test_several_statements_in_one_text_are_refused_everywhere(one: Database, writing: bool) -> None:
    for statement in texts.SEVERAL:
        with pytest.raises(StatementRefused, match="Several statements in one text"):
            async with one.transaction() if writing else one.read() as session:
                await session.fetch_all(sql(statement))
    assert await stored(one) == 7


async def test_what_begins_or_ends_a_transaction_is_refused_and_the_unit_goes_on(one: Database) -> None:
    async with one.read() as session:
        for statement in texts.UNIT:
            with pytest.raises(StatementRefused, match="begins and ends its transaction itself"):
                await session.fetch_all(sql(statement))
        assert await value(session, select(1)) == 1
    async with one.transaction() as session:
        for statement in texts.UNIT:
            with pytest.raises(StatementRefused, match="begins and ends its transaction itself"):
                await session.fetch_all(sql(statement))
        await run(session, insert(probes).values(probe(2, value=1)))
    assert await stored(one) == 8


async def test_what_no_transaction_can_take_is_refused_before_it_is_sent_and_the_unit_goes_on(one: Database) -> None:
    async with one.read() as session:
        for statement in texts.REFUSED:
            with pytest.raises(ReadOnlySession):
                await session.fetch_all(sql(statement))
        assert one.status().in_use == 0
    async with one.transaction() as session:
        for statement in texts.REFUSED:
            with pytest.raises(StatementRefused, match=re.escape(dialect.REFUSED_BECAUSE)):
                await session.fetch_all(sql(statement))
        assert one.status().in_use == 0
        await run(session, insert(probes).values(probe(2, value=1)))
    assert await stored(one) == 8
    assert [statement for statement in texts.NOT_REFUSED if kind_of(statement).refused] == []


async def test_savepoints_by_text_are_as_good_as_others(one: Database) -> None:
    async with one.transaction() as session:
        for number, statement in enumerate(texts.RETURNING_TO_SAVEPOINT):
            assert kind_of(statement).returns_to_savepoint, statement
            await run(session, text("SAVEPOINT a"))
            await run(session, insert(probes).values(probe(2, value=1)))
            await run(session, text(statement))
            await run(session, insert(probes).values(probe(10 + number, value=2)))
            await run(session, text("RELEASE SAVEPOINT a"))
    assert await stored(one) == 7 + 2 * len(texts.RETURNING_TO_SAVEPOINT)


@pytest.mark.parametrize("statement", texts.STAYING)
def test_what_stays_with_the_session_is_known_and_no_part_of_a_read_session(statement: str) -> None:
    kind = kind_of(statement)
    assert kind.stays
    with pytest.raises(StatementRefused if kind.reads else ReadOnlySession):
        refuse_write(kind, by_cursor=False)


@pytest.mark.parametrize("statement", texts.NOT_STAYING)
def test_what_goes_with_the_transaction_is_known(statement: str) -> None:
    assert not kind_of(statement).stays


async def test_a_value_that_the_statement_has_no_place_for_is_refused_by_its_name(one: Database) -> None:
    """SQLAlchemy leaves it out: what was meant for another column would be lost."""
    id = probes.c.id
    given: list[tuple[Any, dict[str, Any]]] = [
        (insert(probes), probe(2) | {"nmae": "x", "v": 1}),
        (update(probes).where(id == 1), {"nmae": "x", "v": 1}),
        (update(probes).where(id == bindparam("b_id")), {"b_id": 1, "nmae": "x", "v": 1, "name": "y"}),
        (insert(probes).execution_options(of_ours=1), probe(2) | {"nmae": "x", "v": 1}),
    ]
    for statement, values in given:
        for method in ("fetch_all", "fetch_one", "affected"):
            async with one.transaction() as session:
                with pytest.raises(StatementRefused, match="has no place for nmae, v: use"):
                    await getattr(session, method)(statement, values)
    async with one.transaction() as session:
        assert await session.affected(insert(probes), probe(2, value=1)) == 1
        for query in (select(id).where(id == bindparam("b_id")), text("SELECT id FROM probes WHERE id = :b_id")):
            assert await session.fetch_val(query, {"b_id": 2, "nothing": 1}) == 2, "which loses nothing"
        assert await session.affected(update(probes).where(id == bindparam("b_id")), {"b_id": 2, "value": 2}) == 1
    assert await stored(one) == 7 + 2


async def test_savepoints_of_several_tasks_may_stand_one_in_another_and_not_overlap(one: Database) -> None:
    async def inside(session: Session, id: int, *, fails: bool = False) -> str:
        async with savepoint(session):
            await run(session, insert(probes).values(probe(id, value=1)))
            await asyncio.sleep(0.01)
            await run(session, insert(probes).values(probe(id + 1, value=1)))
            if fails:
                raise LookupError
        return "done"

    async with one.transaction() as session, savepoint(session):
        assert await asyncio.create_task(inside(session, 10)) == "done"
        with pytest.raises(LookupError):
            await asyncio.create_task(inside(session, 20, fails=True))
    assert await stored(one) == 7 + 2
    with pytest.raises((StatementRefused, TransactionAborted)):
        async with one.transaction() as session:
            await asyncio.gather(inside(session, 30), inside(session, 40, fails=True), return_exceptions=True)
    assert await stored(one) == 7 + 2


async def test_savepoints_that_overlap_in_the_moment_of_their_first_statement_are_refused(one: Database) -> None:
    """It waits for its turn while others begin theirs."""

    async def inside(session: Session, id: int) -> None:
        async with savepoint(session):
            await run(session, insert(probes).values(probe(id, value=1)))
            if id == 11:
                raise LookupError

    with pytest.raises((StatementRefused, TransactionAborted)):
        async with one.transaction() as session:
            await asyncio.gather(*(inside(session, 10 + n) for n in range(3)), return_exceptions=True)
    assert await stored(one) == 7


@pytest.mark.parametrize("within", [True, False], ids=["in a savepoint", "alone"])
async def test_many_rows_of_which_one_fails_are_undone_by_a_savepoint_or_with_their_unit(
    one: Database, within: bool
) -> None:
    """Drivers send them in parts: half may be stored when somebody catches the error."""
    given = [probe(2 + n, document="x" * 400_000, value=1) for n in range(6)] + [probe(1, document=None)]
    refused = nullcontext() if within else pytest.raises(TransactionAborted)
    with refused:
        async with one.transaction() as session:
            many: Any = getattr(session, "execute_many", session.execute)
            await run(session, insert(probes).values(probe(20, value=1)))
            with pytest.raises(UniqueViolation):
                async with savepoint(session) if within else nullcontext():
                    await many(insert(probes), given)
            await run(session, insert(probes).values(probe(21, value=1)))
    assert await stored(one) == (7 + 2 if within else 7)


async def test_a_row_has_its_values_by_name_by_column_and_by_attribute(one: Database) -> None:
    mapped: Any = Probe
    async with one.read() as session:
        for query in (select(probes.c.id, probes.c.value), select(mapped.id, mapped.number)):
            row: Any = await session.fetch_one(query)
            assert row["value"] == row[probes.c.value] == row[mapped.number] == row[1] == row.value == 7
            with pytest.raises(KeyError):
                row[mapped.name]


async def test_calls_of_one_function_have_each_its_own_name(probe_database: MakeDatabase) -> None:
    query = select(func.max(probes.c.id), func.max(probes.c.value), func.max(probes.c.amount), func.min(probes.c.id))
    async with probe_database().transaction() as session:
        for id in (1, 2):
            await run(session, insert(probes).values(probe(id, value=10 * id, amount=100 * id)))
        row = await session.fetch_one(query)
        assert row is not None
        expected = {"max_1": 2, "max_2": 20, "max_3": 200, "min_1": 1}
        assert dict(row) == row._mapping == {name: getattr(row, name) for name in expected} == expected
        assert await session.fetch_val(query, column="max_1") == 2
        for number, column in enumerate(query.selected_columns):
            assert row[column] == row[number]


async def test_a_key_for_which_the_server_has_to_be_asked_before_is_made(probe_database: MakeDatabase) -> None:
    table = numbered.to_metadata(MetaData())
    table.implicit_returning = False
    async with probe_database().transaction() as session:
        for code in ("a", "b"):
            await session.execute(insert(table).values(code=code))
        assert await session.affected(insert(table), {"code": "c"}) == 1
        assert await session.fetch_all(insert(table).values(code="d")) == []
        assert await rows(session, select(table.c.code).order_by(table.c.id)) == [("a",), ("b",), ("c",), ("d",)]
