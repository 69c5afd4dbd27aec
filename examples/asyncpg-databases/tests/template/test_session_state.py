"""Nothing that a unit of work does to its session outlives it on the connection (texts.py), and nobody else pays."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import ClauseElement, insert, select, text

from app.database import Database, DatabaseError, Session, StatementRefused
from app.settings import Settings
from tests.probes import probe, probes
from tests.proxy import Proxy
from tests.statements import run, value
from tests.template import texts

MakeDatabase = Callable[..., Database]

STATE = pytest.mark.parametrize(("statements", "look"), texts.STATE.values(), ids=texts.STATE.keys())


def sql(statement: str | ClauseElement) -> ClauseElement:
    """As it stands: a colon in it names no parameter."""
    return text(statement.replace(":", r"\:")) if isinstance(statement, str) else statement


async def seen(session: Session, look: str) -> object:
    """What the session has, or which error says that it has not."""
    try:
        return await value(session, text(look))
    except DatabaseError as error:
        return type(error)


async def seen_by_next(database: Database, look: str) -> object:
    with suppress(DatabaseError):
        async with database.transaction() as session:
            found = await seen(session, look)
    return found


@pytest.mark.usefixtures("no_pooler")
@STATE
@pytest.mark.parametrize("fails", [False, True])
async def test_what_a_unit_did_to_its_session_is_not_seen_by_the_next(
    probe_database: MakeDatabase, statements: list[str | ClauseElement], look: str, fails: bool
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    before = await seen_by_next(database, look)
    with suppress(DatabaseError, LookupError):
        async with database.transaction() as session:
            for statement in statements:
                await run(session, sql(statement))
            inside = await seen(session, look)
            assert inside != before or str(statements[0]).startswith("LISTEN")  # which begins with the COMMIT
            if fails:
                raise LookupError
    assert await seen_by_next(database, look) == before


@pytest.mark.usefixtures("no_pooler")
@STATE
async def test_a_read_session_refuses_what_would_stay(
    probe_database: MakeDatabase, statements: list[str | ClauseElement], look: str
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    before = await seen_by_next(database, look)
    async with database.read() as session:
        with pytest.raises(StatementRefused, match=r"use a (transaction|WriteSession)"):
            for statement in statements:
                await session.fetch_all(sql(statement))
        assert await value(session, select(1)) == 1
    assert await seen_by_next(database, look) == before


@STATE
async def test_behind_a_pooler_what_would_stay_is_refused_before_it_is_sent(
    probe_database: MakeDatabase, statements: list[str | ClauseElement], look: str
) -> None:
    database = probe_database(external_pooler=True)
    async with database.read() as session:  # what is compiled depends on the server
        await value(session, select(1))
    async with database.transaction() as session:
        with pytest.raises(StatementRefused, match="Behind a pooler a session keeps nothing"):
            for statement in statements:
                await run(session, sql(statement))
        assert database.status().in_use == 0
        await run(session, insert(probes).values(probe(1)))
    async with database.read() as session:
        assert await value(session, select(probes.c.id)) == 1


@pytest.mark.usefixtures("no_pooler")
async def test_a_session_that_was_changed_costs_its_connection_and_no_other(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_size=1, max_overflow=0)
        (changing,), _ = next(iter(texts.STATE.values()))

        async def unit(statement: str | ClauseElement) -> int:
            before = proxy.connections
            async with database.transaction() as session:
                await run(session, sql(statement))
            async with database.read() as session:
                await value(session, select(1))
            return proxy.connections - before

        assert await unit("SELECT 1") == 1
        for statement in texts.LOCAL:
            assert await unit(statement) == 0, statement
        assert await unit(changing) == 1
        assert await unit("SELECT 1") == 0
        assert (database.status().open, database.status().in_use) == (1, 0)
        await database.close()


@pytest.mark.usefixtures("no_pooler")
async def test_what_is_committed_is_so_however_long_its_connection_takes_to_close(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_size=1, max_overflow=0, transaction_timeout=0.9)
        (changing,), _ = next(iter(texts.STATE.values()))
        proxy.falls_silent_after = b"COMMIT"
        async with database.transaction() as session:
            await run(session, sql(changing))
            await run(session, insert(probes).values(probe(1)))
        proxy.falls_silent_after = None
        proxy.speak_again()
        async with database.read() as session:
            assert await value(session, select(probes.c.id)) == 1
        await database.close()
