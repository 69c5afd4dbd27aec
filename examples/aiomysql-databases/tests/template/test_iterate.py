"""`iterate` gives the records one by one, and what the caller does meanwhile is not the statement's time."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import func, insert, select, update

from app.database import Database, Session, SessionClosed, StatementRefused, metrics
from tests.probes import numbered, probe, probes

MakeDatabase = Callable[..., Database]


async def test_records_come_one_by_one_in_both_kinds_of_session(probe_database: MakeDatabase) -> None:
    database = probe_database()
    query = select(probes.c.id).order_by(probes.c.id)
    async with database.transaction() as session:
        for id in (1, 2, 3):
            await session.execute(insert(probes).values(probe(id)))
        assert [record.id async for record in session.iterate(query)] == [1, 2, 3]
    async with database.read() as session:
        assert [record.id async for record in session.iterate(query)] == [1, 2, 3]
    with pytest.raises(SessionClosed):
        _ = [record async for record in session.iterate(query)]


async def test_a_slow_reader_of_records_is_no_slow_statement(
    probe_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await session.execute(insert(probes).values(probe(1)))
    monkeypatch.setattr(metrics, "SLOW", 0.5)
    for unit in (database.transaction, database.read):
        async with unit() as session:
            async for _ in session.iterate(select(probes)):
                await asyncio.sleep(0.6)
    assert "A statement took" not in caplog.text


async def test_other_statements_run_inside_the_loop_and_after_one_that_was_left(probe_database: MakeDatabase) -> None:
    query = select(probes.c.id).order_by(probes.c.id)
    async with probe_database().transaction() as session:
        await session.execute_many(insert(probes), [probe(id) for id in range(300)])
        seen = []
        async for record in session.iterate(query):
            seen.append(record.id)
            if record.id % 100 == 0:
                assert await session.affected(update(probes).values(value=1).where(probes.c.id == record.id)) == 1
        assert seen == list(range(300))
        async for _ in session.iterate(query):
            break
        assert await session.fetch_val(select(func.sum(probes.c.value))) == 3


async def test_the_rows_of_a_loop_may_be_inserted_in_bulk(probe_database: MakeDatabase) -> None:
    bulk = pytest.importorskip("app.database.bulk", reason="it was deleted: docs/bulk.md")

    async def copies(session: Session) -> AsyncIterator[dict[str, object]]:
        async for record in session.iterate(select(probes.c.id).order_by(probes.c.id)):
            yield probe(record.id + 1000)

    async with probe_database().transaction() as session:
        await bulk.bulk_insert(session, probes, (probe(id) for id in range(300)))
        assert await bulk.bulk_insert(session, probes, copies(session)) == 300
        assert await session.fetch_val(select(func.count()).select_from(probes)) == 600


async def test_a_statement_without_rows_is_run_and_gives_none(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await session.execute(insert(probes).values(probe(1)))
        assert [record async for record in session.iterate(update(probes).values(value=9))] == []
        assert await session.fetch_val(select(probes.c.value)) == 9


@pytest.mark.parametrize("order", [1, -1], ids=["the first", "the last"])
async def test_a_name_that_some_of_many_values_lack_is_refused(probe_database: MakeDatabase, order: int) -> None:
    """SQLAlchemy looks at the first alone: what others give would be lost, what they lack is an error of its own."""
    given = [probe(1), probe(2), probe(3) | {"nmae": 1, "amount": 1}][::order]
    async with probe_database().transaction() as session:
        for statement in (insert(probes), insert(probes).execution_options(of_ours=1), update(probes)):
            with pytest.raises(StatementRefused, match="Some of the values have no amount, nmae, which others"):
                await session.execute_many(statement, given)
        assert await session.fetch_val(select(func.count()).select_from(probes)) == 0


async def test_a_name_without_a_column_is_refused_for_many_values_too(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        with pytest.raises(StatementRefused, match="has no place for nmae: use"):
            await session.execute_many(insert(probes), [probe(id) | {"nmae": "x"} for id in (1, 2)])
        await session.execute_many(insert(probes), [probe(id) for id in (1, 2)])
        await session.execute_many(insert(probes).execution_options(of_ours=1), [probe(id) for id in (3, 4)])
        await session.execute_many(insert(probes), [])
        assert await session.fetch_val(select(func.count()).select_from(probes)) == 4


async def test_an_insert_whose_key_the_server_makes_is_run_and_gives_no_rows(probe_database: MakeDatabase) -> None:
    """Where the server has a RETURNING, SQLAlchemy asks for the key by one of its own."""
    async with probe_database().transaction() as session:
        for statement in (insert(numbered), insert(numbered).return_defaults()):
            assert [record async for record in session.iterate(statement, {"code": str(id(statement))})] == []
        assert await session.fetch_val(select(func.count()).select_from(numbered)) == 2
