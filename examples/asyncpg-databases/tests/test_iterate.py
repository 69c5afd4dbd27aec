"""`iterate` gives the records one by one, and what the caller does meanwhile is not the statement's time."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import insert, select

from app.database import Database, SessionClosed, metrics
from tests.probes import probe, probes

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
