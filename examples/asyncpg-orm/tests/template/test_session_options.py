"""What SQLAlchemy's session lets a caller do to its connection is refused, or ends with the unit of work."""

from collections.abc import Callable

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import InvalidRequestError

from app.database import Database, StatementRefused
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, value

MakeDatabase = Callable[..., Database]


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
