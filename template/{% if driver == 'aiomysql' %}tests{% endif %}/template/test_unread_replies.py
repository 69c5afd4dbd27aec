"""What MySQL and MariaDB have sent and nobody could read, or did not, is never met by whoever comes next."""

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
from pymysql.constants import FIELD_TYPE
from sqlalchemy import insert, select, text

from app.database import Database, Session, StatementRefused, TransactionAborted, UnreadableValue, driver
from tests import facts
from tests.probes import probe, probes
from tests.statements import rows, run, savepoint, value

MakeDatabase = Callable[..., Database]

# What is no UTF-8 although the column says so, as old clients have written it (MariaDB); a type that PyMySQL takes for
# ASCII (MySQL); what a decoder refuses, such as one of the team's own.
UNREADABLE = {
    "MariaDB": "IF(id = 252, _utf8mb4 X'EDA0BDEDB880', 'x')",
    "MySQL": "CASE id WHEN 252 THEN STRING_TO_VECTOR('[1,2]') END",
    "decoder": "IF(id = 252, CAST('10:00:00' AS TIME), NULL)",
}
# Of its 300 rows what follows the one at fault is numbered as a reply that begins.
QUERY = "SELECT {} FROM probes ORDER BY id"


@pytest.fixture(params=UNREADABLE.keys())
async def query(request: pytest.FixtureRequest, server: driver.RawConnection, probe_database: MakeDatabase) -> str:
    version = await driver.scalar(server, "SELECT VERSION()")
    if request.param != "decoder" and (request.param == "MariaDB") != ("MariaDB" in version):
        pytest.skip("the other server refuses such a value, or has no such type")
    if request.param == "MySQL" and int(version.partition(".")[0]) < 9:
        pytest.skip("MySQL has vectors from 9 on")
    async with probe_database().transaction() as session:
        await run(session, insert(probes).values([probe(id) for id in range(300)]))
    return QUERY.format(UNREADABLE[request.param])


async def spoil(session: Session) -> None:
    """Have the connection, and a decoder on it that refuses each time of day."""

    def refuse(text: str) -> None:
        raise ValueError(text)

    await value(session, text("SELECT 1"))
    connection = session._unit._seat.connection
    assert connection is not None
    connection.raw.decoders[FIELD_TYPE.TIME] = refuse


async def test_what_cannot_be_read_costs_its_connection_and_the_next_reads_its_own_reply(
    probe_database: MakeDatabase, query: str
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.read() as session:
        await spoil(session)
        with pytest.raises(UnreadableValue):
            await rows(session, text(query))
        assert await value(session, text("SELECT 42")) == 42
    assert (database.status().in_use, database.status().open) == (0, 1)
    async with database.read() as session:
        for number in (43, 44):
            assert await value(session, text(f"SELECT {number}")) == number


async def at_once(session: Session, query: str) -> None:
    await rows(session, text(query))


async def by_cursor(session: Session, query: str) -> None:
    streamed = await session._unit.run(query, (), driver.stream)
    assert streamed.more is not None
    while await streamed.more(100):
        pass


async def brought_to_memory_by_another(session: Session, query: str) -> None:
    streamed = await session._unit.run(query, (), driver.stream)
    assert streamed.more is not None
    assert len(await streamed.more(100)) == 100
    assert await value(session, text("SELECT 42")) == 42


async def by_the_second_of_several_results(session: Session, query: str) -> None:
    await run(session, text("CALL several()"))


@pytest.mark.parametrize("read", [at_once, by_cursor, brought_to_memory_by_another, by_the_second_of_several_results])
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in a savepoint"])
async def test_a_transaction_that_read_what_cannot_be_read_stores_nothing(
    probe_database: MakeDatabase,
    server: driver.RawConnection,
    query: str,
    read: Callable[[Session, str], Awaitable[None]],
    nested: bool,
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    if read is by_the_second_of_several_results:
        await driver.scalar(server, f"CREATE PROCEDURE several() BEGIN SELECT 1; {query}; SELECT 3; END")
    try:
        with pytest.raises(TransactionAborted):
            async with database.transaction() as session:
                await spoil(session)
                await run(session, insert(probes).values(probe(1000)))
                with pytest.raises(UnreadableValue):
                    if nested:
                        async with savepoint(session):
                            await read(session, query)
                    else:
                        await read(session, query)
                with pytest.raises(TransactionAborted):
                    await value(session, text("SELECT 42"))
    finally:
        if read is by_the_second_of_several_results:
            await driver.scalar(server, "DROP PROCEDURE several")
    async with database.transaction() as session:
        assert await value(session, text("SELECT 43")) == 43
        assert await rows(session, select(probes.c.id).where(probes.c.id >= 1000)) == []
        await run(session, insert(probes).values(probe(1001)))


async def test_a_statement_whose_reply_was_left_is_ended_on_the_server(
    probe_database: MakeDatabase, server: driver.RawConnection, query: str
) -> None:
    """Here one that waits for a lock, and never looks whether its client is there."""
    locking = "UPDATE probes SET value = 1 WHERE id = 1"
    await driver.scalar(server, f"CREATE PROCEDURE waits() BEGIN {query}; {locking}; END")
    try:
        await driver.scalar(server, "START TRANSACTION")
        await driver.scalar(server, locking)
        with pytest.raises(UnreadableValue):
            async with probe_database(statement_timeout=3600).transaction() as session:
                await spoil(session)
                id = await value(session, text(facts.SESSION_ID))
                await run(session, text("CALL waits()"))
        async with asyncio.timeout(10):
            while await facts._count(server, f"{facts._SESSIONS} AND id = {id}"):
                await asyncio.sleep(0.01)
    finally:
        await server.rollback()
        await driver.scalar(server, "DROP PROCEDURE waits")


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_what_is_left_of_a_stream_goes_with_its_transaction_and_takes_no_memory(
    probe_database: MakeDatabase, end: str
) -> None:
    """Its rows are of a megabyte each, and nobody keeps more than one."""
    many = " UNION ALL ".join(["SELECT REPEAT('x', 1000000)"] * 40)
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        streamed = await session._unit.run(many, (), driver.stream)
        assert streamed.more is not None
        assert len(await streamed.more(1)) == 1
        connection = session._unit._seat.connection
        assert connection is not None
        tracemalloc.start()
        try:
            await getattr(session._unit, end)()
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()
        assert connection.raw.finish_stream is None
        with pytest.raises(StatementRefused, match="before its end"):
            await streamed.more(1)
        assert await value(session, text("SELECT 42")) == 42
    assert database.status().open == 1
