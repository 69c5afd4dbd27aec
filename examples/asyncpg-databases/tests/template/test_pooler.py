"""Which statements stay prepared. Whether a pooler keeps them is found out by asking, and nothing is left of that."""

from collections.abc import Callable

import pytest
from sqlalchemy import literal, or_, select, text

from app.database import Database, driver, pooler
from app.settings import Settings
from tests.probes import probes
from tests.statements import rows, value
from tests.template import ways

MakeDatabase = Callable[..., Database]
PREPARED = "SELECT count(*) FROM pg_prepared_statements"


@pytest.mark.usefixtures("no_pooler")
async def test_what_gives_statements_no_names_of_its_own_keeps_none(settings: Settings) -> None:
    behind = settings.database.model_copy(update={"external_pooler": True})
    connection = await driver.connect(behind.target, behind)
    try:
        assert not await pooler.keeps_plans(connection)
        assert await driver.scalar(connection, PREPARED) == 0  # the next client would meet it
        assert not driver.in_transaction(connection)
    finally:
        await driver.close(connection)


@pytest.mark.usefixtures("no_pooler")
async def test_behind_a_pooler_that_keeps_none_no_statement_has_a_name(probe_database: MakeDatabase) -> None:
    database = probe_database(external_pooler=True, pool_size=1, max_overflow=0)
    for _ in range(2):
        async with database.read() as session:
            await value(session, select(probes.c.id))
    async with database.transaction() as session:
        await value(session, select(probes.c.id))
        assert await value(session, text(PREPARED)) == 0


@pytest.mark.usefixtures("no_pooler")
async def test_a_long_statement_is_not_kept_prepared(probe_database: MakeDatabase) -> None:
    """One for each number of rows would take megabytes of each connection's backend."""
    lengths = text("SELECT length(statement) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1%'")
    async with probe_database(pool_size=1, max_overflow=0).transaction() as session:
        for number in (1000, 1001, 1000):
            listed = select(literal(1)).where(or_(*(literal(n) == number for n in range(number + 1))))
            assert await rows(session, listed) == [(1,)]
            assert await session.fetch_one(listed) is not None
            assert len([row async for row in ways.stream(session, listed)]) == 1
            short = select(literal(number + 1)).where(literal(number) > 0)
            assert await rows(session, short) == [(number + 1,)]
        ((length,),) = await rows(session, lengths)
        assert length < 100
