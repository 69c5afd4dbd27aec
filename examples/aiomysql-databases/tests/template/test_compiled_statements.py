"""Statements are compiled once, whatever their values, and what they return is what was asked for."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from app.database import Database, Session
from tests.probes import Colour, probe, probes
from tests.statements import run

MakeDatabase = Callable[..., Database]


@pytest.fixture
async def database(probe_database: MakeDatabase) -> Database:
    database = probe_database()
    async with database.transaction() as session:
        for id in range(1, 5):
            await run(session, insert(probes).values(probe(id)))
    return database


def compiled(session: Session) -> int:
    return len(session._engine._compiled)


async def test_statements_that_differ_by_values_only_are_compiled_once(database: Database) -> None:
    async with database.read() as session:
        before = compiled(session)
        for id in (1, 2, 3):
            row = await session.fetch_one(select(probes.c.id).where(probes.c.id == id))
            assert row is not None
            assert row["id"] == id
        assert compiled(session) == before + 1


async def test_a_list_of_values_may_have_any_length(database: Database) -> None:
    async with database.read() as session:
        before = compiled(session)
        for ids in ([1], [2, 3], [], [1, 2, 3, 4]):
            query = select(probes.c.id).where(probes.c.id.in_(ids)).order_by(probes.c.id)
            assert [row["id"] for row in await session.fetch_all(query)] == ids
        assert compiled(session) == before + 1


async def test_what_is_written_are_the_values_of_the_call(database: Database) -> None:
    async with database.transaction() as session:
        for value, ids in ((5, [1]), (6, [2, 3])):
            change = update(probes).values(value=value).where(probes.c.id.in_(ids))
            assert await session.affected(change) == len(ids)
        sums = select(func.sum(probes.c.value)).where(probes.c.id < 4)
        assert await session.fetch_val(sums) == 5 + 6 + 6


async def test_values_are_given_by_name_to_a_statement_that_is_made_once(database: Database) -> None:
    by_id = select(probes.c.id).where(probes.c.id == bindparam("id"))
    async with database.read() as session:
        assert [row["id"] for row in await session.fetch_all(by_id, {"id": 2})] == [2]
        row = await session.fetch_one(by_id, {"id": 3})
        assert row is not None
        assert dict(row._mapping) == {"id": 3}
        assert (repr(row), f"{row}") == ("{'id': 3}", "{'id': 3}")
        text = await session.fetch_one("SELECT id FROM probes WHERE id = :id", {"id": 4})
        assert text is not None
        assert dict(text._mapping) == {"id": 4}


async def test_a_value_that_is_missing_is_an_error(database: Database) -> None:
    by_id = select(probes.c.id).where(probes.c.id == bindparam("id"))
    async with database.read() as session:
        with pytest.raises(SQLAlchemyError, match="id"):
            await session.fetch_one(by_id)


async def test_a_mapping_has_the_values_that_the_record_has(database: Database) -> None:
    values = {"document": {"a": [1, "é"]}, "colour": Colour.BLUE, "amount": Decimal("1.5"), "at": datetime.now(UTC)}
    async with database.transaction() as session:
        await run(session, update(probes).values(values).where(probes.c.id == 1))
        row = await session.fetch_one(select(probes).where(probes.c.id == 1))
        assert row is not None
        mapping = dict(row._mapping)
        assert all(name in row for name in row)
        assert "nothing" not in row
        assert 1 not in row
    assert mapping == {column.name: row[column.name] for column in probes.c}
    assert {name: mapping[name] for name in values} == values
