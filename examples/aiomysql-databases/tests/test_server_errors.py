"""What goes wrong on MySQL and MariaDB alone."""

import asyncio
from collections.abc import Callable
from time import monotonic
from types import SimpleNamespace

import pytest
from sqlalchemy import insert, select, text, update

from app.database import (
    Database,
    InvalidValue,
    SerializationFailure,
    ServerGone,
    Session,
    TransactionAborted,
    connecting,
    driver,
)
from tests.probes import probe, probes
from tests.statements import rows, run, savepoint, value

MakeDatabase = Callable[..., Database]


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in a savepoint"])
async def test_a_row_that_changed_after_the_snapshot_ends_the_unit(
    probe_database: MakeDatabase, server: driver.RawConnection, nested: bool
) -> None:
    if not await driver.scalar(server, "SHOW VARIABLES LIKE 'innodb_snapshot_isolation'"):
        pytest.skip("this server takes no look at its snapshot when it writes: MySQL, or MariaDB before 10.6.18")
    database = probe_database(pool_size=2, max_overflow=0)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))

    async def unit(session: Session) -> None:
        await run(session, text("SET SESSION innodb_snapshot_isolation = ON"))
        assert await value(session, select(probes.c.value)) == 0
        await driver.scalar(server, "UPDATE probes SET value = 1 WHERE id = 1")
        change = update(probes).values(value=5).where(probes.c.id == 1)
        if nested:
            async with savepoint(session):
                await run(session, change)
        await run(session, change)

    with pytest.raises(SerializationFailure):
        async with database.transaction(isolation_level="REPEATABLE READ") as session:
            await unit(session)
    await driver.scalar(server, "UPDATE probes SET value = 0 WHERE id = 1")
    with pytest.raises(TransactionAborted):
        async with database.transaction(isolation_level="REPEATABLE READ") as session:
            await run(session, insert(probes).values(probe(2)))
            with pytest.raises(SerializationFailure):
                await unit(session)
            with pytest.raises(TransactionAborted):
                await run(session, insert(probes).values(probe(3)))
    async with database.read() as session:
        assert await rows(session, select(probes.c.id, probes.c.value)) == [(1, 1)]


async def test_a_number_that_is_none_is_a_value_that_does_not_fit(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        id = await value(session, text("SELECT connection_id()"))
        with pytest.raises(InvalidValue):
            await session.fetch_all(text("SELECT :number").bindparams(number=float("nan")))
        assert await value(session, text("SELECT connection_id()")) == id


@pytest.mark.usefixtures("no_pooler")
async def test_what_was_given_up_is_ended_on_the_server_that_it_ran_on_and_on_no_other(
    server: driver.RawConnection, probe_database: MakeDatabase
) -> None:
    sent: list[str] = []

    def connection(identity: str, uptime: int) -> SimpleNamespace:
        async def query(text: str) -> None:
            sent.append(text)

        result = SimpleNamespace(rows=[("Uptime", str(uptime))])
        return SimpleNamespace(server=identity, query=query, _result=result)

    async with probe_database().read() as session:
        id = await value(session, text("SELECT connection_id()"))
        for other in (connection("another server", 10**6), connection("this server", 0)):  # or it was started anew
            await connecting._end_session("this server", monotonic() - 60, id, other)
        assert not [text for text in sent if "KILL" in text]
        assert await value(session, text("SELECT connection_id()")) == id
        await connecting._end_session("this server", monotonic() - 60, id, connection("this server", 10**6))
        assert sent[-1] == f"KILL {id}"


@pytest.mark.usefixtures("no_pooler")
async def test_servers_are_told_apart_by_what_each_says_of_itself(
    server: driver.RawConnection, probe_database: MakeDatabase
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.read() as session:
        await value(session, select(1))
        connection = session._unit._seat.connection
        assert connection is not None
        raw = connection.raw
        assert raw.server == await driver.scalar(server, connecting.SERVER)
        assert len(raw.server.split()) >= 3  # a name, a port, and what no other server on the machine has
        id = int(raw.thread_id())
        await connecting._end_session(f"{raw.server} of old", raw.opened, id, server)
        assert await value(session, text("SELECT connection_id()")) == id
        await connecting._end_session(raw.server, raw.opened, id, await own(server, raw.server))
        async with asyncio.timeout(10):
            with pytest.raises(ServerGone):
                while await value(session, text("SELECT connection_id()")) == id:
                    pass


async def own(server: driver.RawConnection, identity: str) -> driver.RawConnection:
    """The test's connection as one that the pool has opened."""
    server.server = identity
    return server
