"""What SQLAlchemy's session lets a caller do to its connection is refused, or ends with the unit of work."""

from collections.abc import Callable

import pytest
from sqlalchemy import MetaData, bindparam, insert, select, update
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.schema import CreateSchema, DropSchema

from app.database import Database, StatementRefused
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, sqlalchemy_engine, value

MakeDatabase = Callable[..., Database]


class Base(DeclarativeBase):
    metadata = probes.metadata


class Probe(Base):
    __table__ = probes


@pytest.mark.parametrize("level", ["SERIALIZABLE", "AUTOCOMMIT"])
async def test_an_isolation_level_by_option_is_refused_in_a_sentence_that_names_the_other_way(
    probe_database: MakeDatabase, level: str
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        with pytest.raises(StatementRefused, match=r"transaction\(isolation_level="):
            await session.connection(execution_options={"isolation_level": level})
    async with database.transaction() as session:
        connection = await session.connection()
        with pytest.raises(InvalidRequestError, match="may not be altered"):  # by SQLAlchemy
            await connection.execution_options(isolation_level=level)
        await session.execute(select(1), execution_options={"isolation_level": level})  # which is nothing to SQLAlchemy
        await run(session, insert(probes).values(probe(1)))
        assert await facts.isolation_level(session) == "READ COMMITTED"
    async with database.read() as session:
        with pytest.raises(StatementRefused, match=r"transaction\(isolation_level="):
            await session.connection(execution_options={"isolation_level": level})
    async with database.read() as session:
        assert await value(session, select(probes.c.id)) == 1


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
async def test_the_connection_of_a_session_is_not_ended_beside_it(probe_database: MakeDatabase, end: str) -> None:
    database = probe_database()
    async with database.transaction() as session:
        connection = await session.connection()
        await connection.execute(insert(probes).values(probe(1)))
        with pytest.raises(StatementRefused, match="which ends it"):
            await getattr(connection, end)()
        with pytest.raises(StatementRefused, match="which ends it"):
            await session.run_sync(lambda it: getattr(it.connection(), end)())
    async with database.read() as session:
        assert await value(session, select(probes.c.id)) == 1


async def test_other_options_of_the_connection_end_with_the_unit(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        await session.connection(execution_options={"schema_translate_map": {None: "nowhere"}})
    async with database.transaction() as session:
        connection = await session.connection()
        assert connection.sync_connection is not None
        assert "schema_translate_map" not in connection.sync_connection.get_execution_options()
        await run(session, insert(probes).values(probe(1)))
    async with database.read() as session:
        assert await value(session, select(probes.c.id)) == 1


async def test_a_schema_of_the_connection_is_that_of_all_statements(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    """A tenant's rows are never read or written by another one's name."""
    other = probes.to_metadata(MetaData(), schema="tenant")
    engine = sqlalchemy_engine(settings.database)
    async with engine.begin() as connection:
        await connection.execute(CreateSchema("tenant", if_not_exists=True))
        await connection.run_sync(other.metadata.create_all)
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1, name="public")))
        await run(session, insert(other).values(probe(1, name="tenant")))
    async with database.transaction() as session:
        await session.connection(execution_options={"schema_translate_map": {None: "tenant"}})
        name = select(probes.c.name)
        assert await session.scalar(name) == "tenant"
        assert [row[0] for row in await session.fetch_all(name)] == ["tenant"]
        assert await session.fetch_val(name.where(probes.c.id == bindparam("id")), {"id": 1}) == "tenant"
        assert await session.affected(update(probes), {"value": 7}) == 1
    async with database.read() as session:
        both = [await value(session, select(table.c.value)) for table in (probes, other)]
    assert both == [probe(1)["value"], 7]
    async with engine.begin() as connection:
        await connection.run_sync(other.metadata.drop_all)
        await connection.execute(DropSchema("tenant", cascade=facts.SCHEMAS_CASCADE))
    await engine.dispose()


async def test_what_is_not_to_be_flushed_yet_is_not_by_any_way_of_reading(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        with session.no_autoflush:
            session.add(Probe(**probe(1)))
            assert await session.scalar(select(probes.c.id)) is None
            assert await value(session, select(probes.c.id)) is None
            assert await session.fetch_all(select(probes)) == []
            assert await session.affected(update(probes).values(value=0)) == 0
        assert await value(session, select(probes.c.id)) == 1


async def test_bulk_refuses_options_that_it_would_not_follow(probe_database: MakeDatabase) -> None:
    bulk = pytest.importorskip("app.database.bulk", reason="it was deleted: docs/bulk.md")
    async with probe_database().transaction() as session:
        await session.connection(execution_options={"schema_translate_map": {None: "tenant"}})
        with pytest.raises(StatementRefused, match="without the connection's schema_translate_map"):
            await bulk.bulk_insert(session, probes, [probe(2)])
